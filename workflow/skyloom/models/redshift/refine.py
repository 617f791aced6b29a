"""A chi2 scan around the peaks that the network proposes: redshifts to a fraction of a bin."""

import dataclasses

import torch
from torch import Tensor

from skyloom.models.redshift.templates import normalised, windows

REACH = 5  # fine bins searched on each side of a peak
BLOCK = 256  # spectra at once


def scan(flux: Tensor, ivar: Tensor, templates: Tensor, begin: Tensor, reach: int = REACH) -> Tensor:
    """chi2 of the best sum of templates and polynomials, (n, 2 reach + 1), at places begin - reach .. begin + reach.

    The sums behind the normal equations are correlations with the weights, at all places at once a product of two
    matrices: a third of a millisecond a spectrum.

    Parameters
    ----------
    flux, ivar : (n, N) on the fine logarithmic grid
    templates : (K, L)
    begin : (n,) place of the first bin on the rest-frame grid
    """
    d, w, _ = normalised(flux, ivar)
    (n, bins), count, places = d.shape, len(templates), 2 * reach + 1
    upper = torch.triu_indices(count, count, device=d.device)
    products = templates[upper[0]] * templates[upper[1]]
    smooth = polynomials(bins).to(d)
    total = count + len(smooth)
    matrix = torch.empty(n, places, total, total, device=d.device)
    right = torch.empty(n, places, total, device=d.device)
    long = bins + 2 * reach
    for i, first in enumerate((begin - reach).clamp(0, templates.shape[1] - long).tolist()):
        rows = torch.cat([torch.stack([w[i], w[i] * d[i]]), w[i] * smooth])
        # rows[r, j - s] for every place s: what a template's bin j meets there
        moved = torch.nn.functional.pad(rows, (2 * reach, 2 * reach)).unfold(1, long, 1).flip(1)
        piece = templates[:, first : first + long]
        block = (products[:, first : first + long] @ moved[0].T).T
        matrix[i, :, upper[0], upper[1]] = block
        matrix[i, :, upper[1], upper[0]] = block
        right[i, :, :count] = (piece @ moved[1].T).T
        mixed = (piece @ moved[2:].flatten(0, 1).T).view(count, len(smooth), places).permute(2, 0, 1)
        matrix[i, :, :count, count:] = mixed
        matrix[i, :, count:, :count] = mixed.transpose(1, 2)
        matrix[i, :, count:, count:] = rows[2:] @ smooth.T
        right[i, :, count:] = rows[2:] @ d[i]
    explained = (right * torch.linalg.solve(_steady(matrix), right)).sum(2)
    return (w * d.square()).sum(1, keepdim=True) - explained


def curve(flux: Tensor, ivar: Tensor, templates: Tensor, begin: Tensor) -> Tensor:
    """The best sum itself at places `begin`, (n, N), in the unit of the flux."""
    d, w, scale = normalised(flux, ivar)
    bins = d.shape[1]
    smooth = polynomials(bins).to(d).expand(len(d), -1, -1)
    parts = torch.cat([windows(templates, begin.clamp(0, templates.shape[1] - bins), bins), smooth], 1)
    weighted = parts * w[:, None]
    best = torch.linalg.solve(_steady(weighted @ parts.transpose(1, 2)), weighted @ d[..., None])
    return (best * parts).sum(1) * scale


def polynomials(bins: int) -> Tensor:
    """What is fitted besides the templates, for the calibration: Legendre polynomials of the place, (3, bins)."""
    x = torch.linspace(-1, 1, bins)
    return torch.stack([torch.ones_like(x), x, 1.5 * x * x - 0.5])


def _steady(matrix: Tensor) -> Tensor:
    """Normal equations with a little on the diagonal: a template may not be seen at all."""
    return matrix + torch.diag_embed(1e-5 * torch.diagonal(matrix, dim1=-2, dim2=-1) + 1e-8)


@dataclasses.dataclass(frozen=True)
class Fits:
    """chi2, shift (fine bins towards larger places, smaller redshifts) and error (fine bins), (n, candidates) each."""

    chi2: Tensor
    shift: Tensor
    error: Tensor

    @classmethod
    def none(cls, place: Tensor) -> "Fits":
        """No fit at peaks (n, candidates): chi2 and error NaN, shift 0."""
        nothing = torch.full(place.shape, torch.nan, device=place.device)
        return cls(nothing, torch.zeros_like(nothing), nothing)


def best_fit(flux: Tensor, ivar: Tensor, basis: Tensor, kind: Tensor, begin: Tensor, worth: Tensor) -> Fits:
    """Fit the candidates (n, candidates) that are `worth` it, of class `kind` at place `begin`, with the templates
    `basis` (classes, K, L); the others have an infinite chi2."""
    shape, device = begin.shape, flux.device
    found = [torch.zeros(shape, device=device), torch.full(shape, torch.inf, device=device)]
    found.append(torch.full(shape, torch.nan, device=device))
    for candidate in range(shape[1]):
        for number, templates in enumerate(basis):
            for rows in ((kind[:, candidate] == number) & worth[:, candidate]).nonzero()[:, 0].split(BLOCK):
                chi2 = scan(flux[rows], ivar[rows], templates, begin[rows, candidate])
                for whole, part in zip(found, minimum(chi2), strict=True):
                    whole[rows, candidate] = part
    shift, chi2, error = found
    return Fits(chi2, shift, error)


def minimum(chi2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Place of the least chi2 (n,), in bins from the middle, by a parabola, its value, and the error, to chi2 + 1."""
    reach = chi2.shape[1] // 2
    best = chi2.argmin(1)
    inner = best.clamp(1, chi2.shape[1] - 2)
    left, middle, right = (chi2.gather(1, (inner + k)[:, None])[:, 0] for k in (-1, 0, 1))
    curvature = (left - 2 * middle + right).clamp(min=1e-6)
    shift = (0.5 * (left - right) / curvature).clamp(-1, 1)
    value = middle - 0.125 * (left - right).square() / curvature
    edge = best != inner
    place = torch.where(edge, best.float(), inner + shift) - reach
    return place, torch.where(edge, chi2.amin(1), value), (2 / curvature).sqrt()
