"""Hide stretches of test spectra, fill them in in several ways, score and draw them."""

import logging
from pathlib import Path

import numpy as np
import torch

from skyloom.analysis.common import tables
from skyloom.analysis.common.batches import Tokens, of_split
from skyloom.analysis.filling import Settings, baselines, figures
from skyloom.analysis.filling.scores import HIDDEN, NETWORK, SMOOTHED, at_lines, errors, rows
from skyloom.figures import style
from skyloom.models import networks
from skyloom.nn.draws import Draws
from skyloom.settings.analysis import Job
from skyloom.training.numerics import reproducible

log = logging.getLogger(__name__)

TOGETHER = 64
LINE, MEAN, PCA = "straight line", "mean spectrum", "PCA"


def measure(job: Job) -> None:
    """Score and draw what is filled in.

    Inputs: galaxies (targetid, z), splits, model (weights and card), tokens (shards). Outputs: table (csv), figure
    (png). What is hidden of a galaxy depends on the seed and on its place among the test galaxies. Without test or
    training galaxies the table has no rows.

    Raises
    ------
    BadInput : the model or a shard is damaged.
    """
    s: Settings = job.settings
    model, card = networks.load(Path(job.inputs["model"][0]).parent)
    (modality,) = model.inputs
    tokens = Tokens(modality, job.inputs["tokens"], model.inputs[modality])
    ids = {
        split: of_split(job.one("splits"), split, tokens.targetid, most, job.seed)
        for split, most in (("train", s.training), ("test", s.galaxies))
    }
    if min(map(len, ids.values())) < 2:
        tables.write_csv(job.outputs["table"], [])
        return style.nothing("too few galaxies to train and test on", job.outputs["figure"])
    with reproducible(1), torch.inference_mode():
        train = _read(model, tokens, ids["train"])
        common = baselines.learn(*train, s.components)
        usual = baselines.usual_noise(train[1])
        flux, ivar = _read(model, tokens, ids["test"])
        mask = model.hide(Draws(job.seed, "filling", len(flux)))
        hidden = model.hidden(mask).numpy()
        seen = np.where(hidden, 0, ivar)
        noise = baselines.noise_in_common(usual, seen)
        filled = {NETWORK: _fill(model, flux, ivar, mask, noise)}
    filled[LINE] = baselines.straight(model.wavelength, flux, seen, hidden, s.edge)
    filled[MEAN] = baselines.fitted(flux, seen, common, 0)
    filled[PCA] = baselines.fitted(flux, seen, common, s.components)
    z = tables.read_galaxies(job.one("galaxies"), columns=["z"])["z"].reindex(ids["test"]).to_numpy(float)
    lines = at_lines(model.wavelength, z, s.near)
    size = max(1, round(s.smooth / float(np.median(np.diff(model.wavelength)))))
    found = errors(flux, ivar, hidden, lines, filled, size)
    tables.write_csv(job.outputs["table"], rows(job.survey, card["name"], modality, found, s.resamples, job.seed))
    spectra = figures.Spectra(model.wavelength, ids["test"], z, flux, ivar, hidden, filled, size)
    chosen = figures.choose(found[NETWORK, HIDDEN, SMOOTHED], (hidden & lines & (ivar > 0)).any(1), s.shown)
    figures.draw(spectra, chosen, found[NETWORK, HIDDEN, SMOOTHED], s.insets, job.outputs["figure"])
    log.info("%d spectra filled in, %.0f %% of each hidden", len(flux), 100 * hidden.mean())


def _read(model, tokens: Tokens, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Flux and inverse variance (N, W) as the model cuts them into slices, 0 where there are no data."""
    parts = [model.read(tokens.batch(some)) for some in np.array_split(ids, -(-len(ids) // TOGETHER))]
    flux, ivar = (torch.cat(part).double().numpy() for part in zip(*parts, strict=True))
    good = (ivar > 0) & np.isfinite(flux)
    return np.where(good, flux, 0), np.where(good, ivar, 0)


def _fill(model, flux: np.ndarray, ivar: np.ndarray, mask: torch.Tensor, noise: np.ndarray) -> np.ndarray:
    arrays = [torch.from_numpy(values).float() for values in (flux, ivar)] + [mask, torch.from_numpy(noise).float()]
    parts = zip(*(values.split(TOGETHER) for values in arrays), strict=True)
    return torch.cat([model.fill(*part) for part in parts]).double().numpy()
