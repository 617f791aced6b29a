"""The same spectra measured again as users may have them: without inverse variances, smoothed."""

import logging
from collections.abc import Iterator

import numpy as np
import pandas
import torch
from scipy.ndimage import gaussian_filter1d

from skyloom.analysis.redshift import QUERY
from skyloom.core.mixing import uniform
from skyloom.formats.noise import estimate_ivar
from skyloom.nn.batch import Batch
from skyloom.tokens.store import Shards

log = logging.getLogger(__name__)

BATCH = 64
SMOOTHED = 4.0
"""Standard deviation in pixels of the smoothing that is tried: about ten pixels share one value, as in spectra that
archives publish for looking at."""


def chosen(table: pandas.DataFrame, most: int) -> pandas.DataFrame:
    """At most so many spectra of known redshift and given inverse variance, by a hash of the targetid."""
    estimated = table.get("ivar_estimated", pandas.Series(False, table.index)).astype(bool)
    some = table[table["z_known"].notna() & ~estimated]
    order = np.argsort(uniform(0, some["targetid"].to_numpy()), kind="stable")
    return some.iloc[np.sort(order[:most])]


def without_ivar(model, shards: Shards, targetid: np.ndarray) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """(what was done to the spectra, column -> (n,) of what `model` says of them then); those without noise are NaN."""
    rows = shards.rows(targetid)
    for name, sigma in (("without ivar", 0.0), ("without ivar, smoothed", SMOOTHED)):
        parts = []
        for start in range(0, len(rows), BATCH):
            data = shards.read(rows[start : start + BATCH], ["flux", "ivar"])
            parts.append(measured(model, *degraded(data["flux"], data["ivar"] > 0, sigma)))
        yield name, {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def degraded(flux: np.ndarray, good: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Flux (n, W), smoothed over `sigma` pixels if above 0, and the inverse variance that its scatter suggests."""
    if sigma:
        weight = gaussian_filter1d(good.astype("f4"), sigma, axis=1)
        flux = gaussian_filter1d(np.where(good, flux, 0), sigma, axis=1) / np.maximum(weight, 1e-6)
    ivar = estimate_ivar(flux, good)
    return np.where(ivar > 0, flux, 0).astype("f4"), ivar.astype("f4")


def measured(model, flux: np.ndarray, ivar: np.ndarray) -> dict[str, np.ndarray]:
    """What the model says of spectra (n, W): z, flag, both NaN where there is nothing to see."""
    with torch.inference_mode():
        batch = Batch({model.modality: {"flux": torch.from_numpy(flux), "ivar": torch.from_numpy(ivar)}})
        said = model.predict(batch, QUERY)
    seen = (ivar > 0).any(axis=1)
    return {name: np.where(seen, said[name].double().numpy(), np.nan) for name in ("z", "flag")}
