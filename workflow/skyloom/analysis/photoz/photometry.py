"""The baseline: light in circles on the images, as magnitudes and colours, to gradient boosting of ln(1 + z)."""

import itertools
import logging
from collections.abc import Sequence

import numpy as np
import pandas
from sklearn.ensemble import HistGradientBoostingRegressor

from skyloom.analysis.common import statistics
from skyloom.analysis.photoz import PHOTOMETRY, Settings
from skyloom.analysis.photoz.methods import Method
from skyloom.core.errors import BadInput
from skyloom.settings.names import IMAGES
from skyloom.tokens.store import Shards

log = logging.getLogger(__name__)

BLOCK = 512
"""Images read at once: 42 MB of five bands of 64 pixels."""
FINE = 9
"""Points a side of a pixel, by which its share inside a circle is found."""
LEAVES, RATES, AT_LEAST = (7, 15, 31), (0.05, 0.1), 10
"""What is tried: leaves of a tree and learning rates; and galaxies in a leaf at least."""
LEAST = 50
"""Galaxies of a split without which there is no baseline."""
POGSON = 2.5 / np.log(10)


def circles(size: int, pixel: float, radii: Sequence[float]) -> np.ndarray:
    """Share (size * size, A) of each pixel of an image that lies within radii (A,) of its middle, arcsec as `pixel`."""
    edge = pixel * size / 2
    if max(radii) > edge:
        raise BadInput(f"apertures of {max(radii):g} arcsec reach beyond the images, {edge:.2f} arcsec from the middle")
    at = (np.arange(size * FINE) + 0.5) / FINE - size / 2
    radius = pixel * np.hypot(at[:, None], at[None])
    inside = radius[..., None] <= np.asarray(radii)
    return inside.reshape(size, FINE, size, FINE, -1).mean(axis=(1, 3)).reshape(size * size, -1)


def noise(flux: np.ndarray) -> np.ndarray:
    """Scatter (n, bands) of the pixels at the border of images (n, bands, S, S), an eighth of a side wide."""
    width = max(1, flux.shape[-1] // 8)
    parts = [flux[..., :width, :], flux[..., -width:, :], flux[..., :, :width], flux[..., :, -width:]]
    border = np.concatenate([part.reshape(*part.shape[:2], -1) for part in parts], axis=2)
    return 1.4826 * np.median(np.abs(border - np.median(border, axis=2, keepdims=True)), axis=2)


def measure(shards: Shards, targetid: np.ndarray, radii: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Flux (n, bands, A) in circles and pixel noise (n, bands), nanomaggy; NaN in bands without any light."""
    bands, size, _ = shards.shapes["flux"]
    mask = circles(size, float(shards.attrs["pixel_arcsec"]), radii).astype("f4")
    flux, scatter = np.full((len(targetid), bands, mask.shape[1]), np.nan), np.full((len(targetid), bands), np.nan)
    rows = shards.rows(targetid)
    for start in range(0, len(rows), BLOCK):
        image = np.nan_to_num(shards.read(rows[start : start + BLOCK], ["flux"])["flux"])
        lit = image.any(axis=(2, 3))
        light = image.reshape(*image.shape[:2], -1) @ mask
        flux[start : start + BLOCK] = np.where(lit[..., None], light, np.nan)
        scatter[start : start + BLOCK] = np.where(lit, noise(image), np.nan)
    return flux, scatter


def features(flux: np.ndarray, softening: np.ndarray) -> np.ndarray:
    """Arcsinh magnitudes (Lupton, Gunn and Szalay 1999), colours of neighbouring bands and differences of neighbouring
    circles, (n, f), of flux (n, bands, A) with softening (bands, A) nanomaggy."""
    magnitude = 22.5 - POGSON * (np.arcsinh(flux / (2 * softening)) + np.log(softening))
    parts = [magnitude, magnitude[:, :-1] - magnitude[:, 1:], magnitude[:, :, :-1] - magnitude[:, :, 1:]]
    return np.concatenate([part.reshape(len(flux), -1) for part in parts], axis=1)


def boosted(seen: dict[str, np.ndarray], z: dict[str, np.ndarray], settings: Settings, seed: int) -> np.ndarray:
    """Redshifts (n,) of the features `seen["test"]` (n, f), learned from those of "train" with redshifts z["train"];
    the size and number of trees have the least sigma_NMAD of "validation"."""
    best, found = np.inf, np.zeros(0)
    for leaves, rate in itertools.product(LEAVES, RATES):
        model = HistGradientBoostingRegressor(
            loss="absolute_error", max_iter=settings.trees, learning_rate=rate, max_leaf_nodes=leaves,
            min_samples_leaf=AT_LEAST, early_stopping=False, random_state=seed,
        ).fit(seen["train"], np.log1p(z["train"]))  # fmt: skip
        said = np.array(list(model.staged_predict(seen["validation"])))
        spread = statistics.sigma_nmad(z["validation"], np.expm1(said))
        count = int(np.argmin(spread)) + 1
        if spread[count - 1] < best:
            best = spread[count - 1]
            chosen = next(itertools.islice(model.staged_predict(seen["test"]), count - 1, None))
            found = np.expm1(chosen)
            log.info("photometry: %d trees of %d leaves, sigma_NMAD %.4f (validation)", count, leaves, best)
    return found


def photometry(paths: Sequence[str], galaxies: pandas.DataFrame, settings: Settings, seed: int) -> Method | None:
    """The baseline's redshifts of the test galaxies; None where too few galaxies could teach it.

    `galaxies` : by targetid, with `z_learned` and `split`, as `skyloom.analysis.photoz.methods.Sky` has them.
    """
    shards = Shards(paths)
    galaxies = galaxies[np.isin(galaxies.index, shards.targetid)]
    parts = {split: galaxies[galaxies["split"] == split] for split in ("train", "validation", "test")}
    for split in ("train", "validation"):
        parts[split] = parts[split][np.isfinite(parts[split]["z_learned"])]
    if min(map(len, parts.values())) == 0 or len(parts["train"]) < LEAST:
        log.info("no photometry baseline: %s galaxies with images", {name: len(part) for name, part in parts.items()})
        return None
    light, scatter = {}, {}
    for split, part in parts.items():
        light[split], scatter[split] = measure(shards, part.index.to_numpy(), settings.apertures)
    shards.close()
    pixel = float(shards.attrs["pixel_arcsec"])
    pixels = np.pi * (np.asarray(settings.apertures) / pixel) ** 2
    softening = np.nan_to_num(np.nanmedian(scatter["train"], axis=0), nan=1.0).clip(1e-6)[:, None] * np.sqrt(pixels)
    seen = {split: features(flux, softening) for split, flux in light.items()}
    found = boosted(seen, {split: part["z_learned"].to_numpy() for split, part in parts.items()}, settings, seed)
    modality = str(shards.attrs.get("modality", IMAGES[-1]))
    return Method(PHOTOMETRY, PHOTOMETRY, (modality,), pandas.Series(found, parts["test"].index))
