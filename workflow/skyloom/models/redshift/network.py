"""The network: features of the observed spectrum, correlated with learned rest-frame templates at every shift."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from skyloom.models.redshift import CLASSES, CLOSE, FLAGS, Config
from skyloom.models.redshift import posterior as peaks
from skyloom.models.redshift.refine import REACH, Fits, best_fit, curve
from skyloom.models.redshift.templates import embedding
from skyloom.nn.batch import Batch
from skyloom.nn.correlation import correlate
from skyloom.nn.line_features import convolutions, features_of
from skyloom.nn.log_grid import LogGrid, Rebin
from skyloom.nn.places import Stretches

FINE = 2  # fine bins of the fit in a bin of the network
LONGEST = 4.0  # period of the code of ln(1+z): more than twice what is searched
PART, PARTS = 16, 4  # bins whose features are averaged, and such averages in a token
PLACES = 4  # sines and cosines that say where in the rest frame a token is
CANDIDATES = 4  # peaks that are fitted
APART = 3000.0  # km/s within which there is one peak


class RedshiftNet(nn.Module):
    """Spectra to a posterior over class and ln(1+z). Takes flux and ivar, both (B, pixels), of its modality.

    Every class has a template for each feature, on a rest-frame grid of the same step; a score is the sum of the
    features times the templates at that shift, for all shifts at once by Fourier transform. Nothing in the network
    prefers one shift to another: the prior is uniform in ln(1+z) over the range of each class, the same for all
    classes.
    """

    def __init__(self, config: Config, takes: tuple[str, ...]):
        super().__init__()
        self.config = c = config
        self.width = PARTS * c.features + 2 * PLACES
        (self.modality,) = takes
        self.inputs = {self.modality: ("flux", "ivar")}
        pixels = (c.grid.start, c.grid.step, c.grid.pixels)
        self.grid = LogGrid.over(*c.grid.span, c.velocity)
        self.rebin = Rebin(*pixels, self.grid)
        self.apart = self.grid.bins_of(APART)
        self.fine = LogGrid(self.grid.start, self.grid.step / FINE, self.grid.bins * FINE)
        self.rebin_fine = Rebin(*pixels, self.fine)
        ranges = (c.galaxy_redshifts, c.quasar_redshifts)
        bounds = [[round(math.log1p(z) / self.grid.step) for z in pair] for pair in ranges]
        self.lowest, self.highest = min(low for low, _ in bounds), max(high for _, high in bounds)
        shift = torch.arange(self.lowest, self.highest + 1)
        searched = torch.stack([(shift >= low) & (shift <= high) for low, high in bounds])
        self.register_buffer("searched", searched, persistent=False)
        self.register_buffer("log_scale", shift.double() * self.grid.step, persistent=False)  # ln(1+z) of each shift
        self.layers = convolutions(c.channels, c.features, c.width)
        length = self.grid.bins + len(shift) - 1
        self.templates = nn.Parameter(torch.randn(len(CLASSES), c.features, length) * 0.01)
        # what is known once the training is over (`Objective.finish`)
        self.margin = FINE * -self.lowest + REACH + FINE
        self.top = FINE * self.highest + REACH + FINE
        self.rest_bins = self.fine.bins + self.top + self.margin
        self.register_buffer("known", torch.ones(len(CLASSES), dtype=torch.bool))
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("misfit", torch.tensor(torch.inf))
        self.register_buffer("error_scale", torch.ones(len(CLASSES)))
        self.register_buffer("basis", torch.zeros(len(CLASSES), c.basis, self.rest_bins))
        self.register_buffer("rest_basis", torch.zeros(c.dim, self.rest_bins))
        self.register_buffer("rest_variance", torch.ones(c.dim))

    @property
    def shifts(self) -> int:
        """How many redshifts are compared."""
        return self.highest - self.lowest + 1

    def rest_place(self, log_scale: Tensor) -> Tensor:
        """Place of the first fine bin of a spectrum on the fine rest-frame grid, int64, given its ln(1+z)."""
        return self.top - (log_scale / self.fine.step).round().long()

    def binned(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Flux and inverse variance in bins of equal velocity, (B, bins) each."""
        spectra = batch[self.modality]
        return self.rebin(spectra["flux"], spectra["ivar"])

    def finely_binned(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The same in the bins of the fit, (B, FINE * bins)."""
        spectra = batch[self.modality]
        return self.rebin_fine(spectra["flux"], spectra["ivar"])

    def features(self, flux: Tensor, ivar: Tensor) -> Tensor:
        """(B, features, bins), zero where nothing was measured."""
        widths = map(self.grid.odd_bins_of, (self.config.continuum, self.config.broad))
        return features_of(self.layers, flux, ivar, *widths)

    def scores(self, features: Tensor) -> Tensor:
        """Agreement with the templates of each class at each shift, (B, classes, shifts)."""
        with torch.autocast(features.device.type, enabled=False):
            lags = correlate(features, self.templates)
        return lags.flip(-1)

    def log_posterior(self, flux: Tensor, ivar: Tensor) -> Tensor:
        """ln p(class, shift), (B, classes, shifts), of spectra on the logarithmic grid; -inf where none is searched."""
        scores = self.scores(self.features(flux, ivar)) / self.temperature
        searched = self.searched & self.known[:, None]
        return torch.where(searched, scores, -torch.inf).flatten(1).log_softmax(1).view_as(scores)

    def predict(self, batch: Batch, query: str) -> dict[str, Tensor]:
        """Class and redshift of every spectrum, how sure they are, and the whole posterior.

        Returns
        -------
        column -> (B,): z, zerr (of the chi2 fit, else the spread of the posterior about the peak), z_network (the
        posterior's peak, not refined), class (place in CLASSES), probability (that the redshift is within CLOSE (1+z)
        of z), z_second and probability_second (the next peak), p_qso, delta_chi2 (the best fit elsewhere, less the one
        here), reduced_chi2 (both NaN without a fit), good (share of the bins with data), flag (a sum of FLAGS);
        posterior (B, shifts): of ln(1+z), all classes together, 0 where below 1e-7
        """
        flux, ivar = self.binned(batch)
        log_p = self.log_posterior(flux, ivar)
        kind, place, _ = peaks.highest(log_p, CANDIDATES, self.apart)
        marginal = log_p.exp().sum(1)
        near = round(math.log1p(CLOSE) / self.grid.step)
        probability = peaks.within(marginal, place, near)
        good = (ivar > 0).sum(1) / flux.shape[1]
        if self.config.refine:
            fitted, seen = self.refined(batch, kind, place, probability)
            error = fitted.error[:, 0].double() * self.fine.step
        else:
            fitted, seen = Fits.none(place), good
            error = peaks.spread(marginal, place[:, 0], near) * self.grid.step
        log_scale = self.log_scale[place] - fitted.shift.double() * self.fine.step
        z = torch.expm1(log_scale)
        other = peaks.elsewhere(log_scale, math.log1p(CLOSE))
        chi2 = fitted.chi2
        delta = torch.where(other, chi2[:, 1:], torch.inf).amin(1) - chi2[:, 0]
        second = torch.where(other, probability[:, 1:], -1).argmax(1, keepdim=True) + 1
        reduced = chi2[:, 0] / seen.clamp(min=1)
        flag = self.flag(kind[:, 0], place[:, 0], probability[:, 0], delta, reduced, good)
        return {
            "z": z[:, 0],
            "zerr": error * self.error_scale[kind[:, 0]] * (1 + z[:, 0]),
            "z_network": torch.expm1(self.log_scale[place[:, 0]]),
            "class": kind[:, 0],
            "probability": probability[:, 0],
            "z_second": z.gather(1, second)[:, 0],
            "probability_second": probability.gather(1, second)[:, 0],
            "p_qso": log_p[:, 1].exp().sum(1),
            "delta_chi2": delta,
            "reduced_chi2": reduced,
            "good": good,
            "flag": flag,
            "posterior": torch.where(marginal < 1e-7, 0, marginal),
        }

    def refined(self, batch: Batch, kind: Tensor, place: Tensor, probability: Tensor) -> tuple[Fits, Tensor]:
        """The chi2 fit around the peaks (B, CANDIDATES) that are worth it, and how many bins it counts, (B,)."""
        flux, ivar = self.finely_binned(batch)
        log_scale = self.log_scale[place]
        apart = torch.nn.functional.pad(peaks.elsewhere(log_scale, math.log1p(CLOSE)), (1, 0))
        worth = (probability > 1e-3) | (apart & (apart.cumsum(1) == 1))  # and the best that means another redshift
        worth[:, 0] = True
        return best_fit(flux, ivar, self.basis, kind, self.rest_place(log_scale), worth), (ivar > 0).sum(1)

    def flag(
        self, kind: Tensor, place: Tensor, probability: Tensor, delta: Tensor, reduced: Tensor, good: Tensor
    ) -> Tensor:
        """Reasons for doubt, (B,) int64, a sum of FLAGS, of class, place among the shifts, probability, Delta chi2,
        reduced chi2 and share of bins with data, (B,) each."""
        c, searched = self.config, torch.nn.functional.pad(self.searched, (1, 1))
        raised = {
            "unsure": probability < c.accept,
            "fits_elsewhere": delta < -c.delta_chi2,
            "misfit": reduced > self.misfit,
            "few_pixels": good < c.least_good,
            "edge": ~(searched[kind, place] & searched[kind, place + 2]),  # of what is searched for this class
        }
        return sum(bit * raised[name].long() for name, bit in FLAGS.items())

    def about(self, query: str) -> dict:
        """What a table of predictions says of its columns: ln(1+z) of the first column of `posterior`, their step and
        number."""
        return {"log_scale": [float(self.log_scale[0]), self.grid.step, self.shifts]}

    def fitted(self, batch: Batch, kind: Tensor, z: Tensor) -> Tensor:
        """The best sum of templates at a known class (place in CLASSES) and redshift, (B, bins) in bins of `fine`."""
        flux, ivar = self.finely_binned(batch)
        begin = self.rest_place(torch.log1p(z.double()))
        rows = [slice(i, i + 1) for i in range(len(z))]
        return torch.cat([curve(flux[i], ivar[i], self.basis[kind[i][0]], begin[i]) for i in rows])

    def embed(self, batch: Batch, name: str) -> Tensor:
        """The rest-frame spectrum in few numbers, its brightness, and ln(1+z), (B, dim + 1 + 2 code).

        The numbers are what a spectrum says of the rest-frame components at its most likely redshift; a noisy spectrum
        says little, and they stay near zero (the posterior mean of probabilistic PCA). ln(1+z) is written as sines and
        cosines of several periods: in a single column it would be one of many, and neighbours would not agree in it.
        For the same reason the numbers are not many: those that are mostly noise would count as much as the others.
        """
        log_p = self.log_posterior(*self.binned(batch))
        _, place, _ = peaks.highest(log_p, 1, self.apart)
        log_scale = self.log_scale[place[:, 0]]
        flux, ivar = self.finely_binned(batch)
        numbers, scale = embedding(flux, ivar, self.rest_place(log_scale), self.rest_basis, self.rest_variance)
        periods = LONGEST * 2 ** (-0.5 * torch.arange(self.config.code).to(scale))
        turn = 2 * math.pi * log_scale[:, None].float() / periods
        return torch.cat([numbers, scale, turn.sin(), turn.cos()], 1)

    def tokens(self, batch: Batch) -> Tensor:
        """Features of the spectrum at its most likely redshift, in pieces of the rest frame, (B, T, width).

        A piece is the same part of the rest frame in every spectrum, PARTS averages of PART bins, 0 where the spectrum
        does not reach, and where it is.
        """
        flux, ivar = self.binned(batch)
        features = self.features(flux, ivar)
        scores = torch.where(self.searched & self.known[:, None], self.scores(features), -torch.inf)
        _, place, _ = peaks.highest(scores, 1, self.apart)
        length = self.grid.bins + self.shifts - 1
        whole = math.ceil(length / (PART * PARTS)) * PART * PARTS
        index = self.shifts - 1 - place[:, :, None] + torch.arange(self.grid.bins, device=place.device)
        rest = torch.zeros(*features.shape[:2], whole, device=place.device, dtype=features.dtype)
        rest.scatter_(2, index.expand_as(features), features)
        pieces = rest.unflatten(2, (-1, PARTS, PART)).mean(4).transpose(1, 2).flatten(2)
        where = torch.linspace(0, math.pi, pieces.shape[1], device=place.device)
        turn = where[:, None] * 2.0 ** torch.arange(PLACES, device=place.device)
        return torch.cat([pieces, torch.cat([turn.sin(), turn.cos()], 1).expand(pieces.shape[0], -1, -1)], 2)

    def places(self) -> Stretches:
        """What `tokens` show, of the rest frame at the redshift that the network takes for the most likely one."""
        count = math.ceil((self.grid.bins + self.shifts - 1) / (PART * PARTS))
        edge = np.arange(count + 1) * PART * PARTS - (self.shifts - 1)
        wavelength = self.grid.start * np.exp(self.grid.step * (edge - self.lowest))
        return Stretches(0, wavelength[:-1], wavelength[1:], self.config.grid.span, rest_frame=True)
