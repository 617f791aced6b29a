"""How right redshifts are, with paired intervals: bias, sigma_NMAD, outliers, catastrophic errors, by group.

dz = (z - z_known) / (1 + z_known). Outliers: |dz| > 0.15. Catastrophic: |z - z_known| > 1, not scaled, as in the
public code of MMAE. A redshift that is not finite counts as infinitely wrong.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from skyloom.analysis.common import statistics
from skyloom.analysis.photoz import NEAR

METRICS = ("bias", "sigma_nmad", "outliers", "catastrophic")
SIGMA = METRICS.index("sigma_nmad")
ALL, BELOW = "all", f"z < {NEAR:g}"
FAR = 1.0
"""Error in z, not scaled, beyond which a redshift is catastrophic."""


def measured(known: np.ndarray, said: np.ndarray) -> np.ndarray:
    """The four METRICS (..., 4) of redshifts (..., n)."""
    with np.errstate(invalid="ignore"):  # where half of the redshifts are infinitely wrong there is no scatter
        found = [f(known, said) for f in (statistics.bias, statistics.sigma_nmad, statistics.outlier_rate)]
        return np.stack([*found, (np.abs(said - known) > FAR).mean(axis=-1)], axis=-1)


def counted(said: np.ndarray) -> np.ndarray:
    """Redshifts (n,) as they are scored: those that are not finite are infinite."""
    said = np.asarray(said, float)
    return np.where(np.isfinite(said), said, np.inf)


def drawn(known: np.ndarray, said: np.ndarray, count: int, seed: int) -> np.ndarray:
    """METRICS of `count` resamples of the galaxies (count, 4). The same number of galaxies and seed give the same
    resamples, so that differences of two methods are paired."""
    return statistics.bootstrap(measured, known, said, count=count, seed=seed)


def groups(known: np.ndarray, spectype: np.ndarray, edges: list[float], least: int) -> dict[str, tuple]:
    """Name -> low end, high end (NaN where there is none) and which galaxies (n,): all, those near, bins of the known
    redshift, and classes where they are known; but for all, groups of fewer than `least` are left out."""
    found = {BELOW: (0.0, NEAR, known < NEAR)}
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        found[f"z {low:g} to {high:g}"] = (low, high, (known >= low) & (known < high))
    for name, kind in (("galaxies", "GALAXY"), ("quasars", "QSO")):
        found[name] = (np.nan, np.nan, spectype == kind)
    kept = {name: group for name, group in found.items() if group[2].sum() >= least}
    return {ALL: (np.nan, np.nan, np.ones(len(known), bool)), **kept}


def rows(values: np.ndarray, resampled: np.ndarray, n: int) -> Iterator[dict]:
    """A row for each of METRICS: value, its interval, and how many galaxies."""
    for place, metric in enumerate(METRICS):
        low, high = statistics.interval(_finite(resampled[:, place]))
        yield {"metric": metric, "value": float(values[place]), "ci_low": low, "ci_high": high, "n": n}


def difference(one: np.ndarray, other: np.ndarray, draws: tuple[np.ndarray, np.ndarray], n: int) -> Iterator[dict]:
    """Rows of one method's METRICS (4,) less another's, and the ratio of their sigma_NMAD, with paired intervals of
    the `draws` (count, 4) of both."""
    for place, metric in enumerate(METRICS):
        low, high = statistics.interval(_finite(draws[0][:, place] - draws[1][:, place]))
        value = float(one[place] - other[place])
        yield {"metric": f"{metric}_difference", "value": value, "ci_low": low, "ci_high": high, "n": n}
    yield {"metric": "sigma_nmad_ratio", **ratio(one[SIGMA], other[SIGMA], draws[0][:, SIGMA], draws[1][:, SIGMA], n)}


def ratio(one: float, other: float, drawn_one: np.ndarray, drawn_other: np.ndarray, n: int) -> dict:
    """A ratio with the interval of the ratios of paired resamples."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value, spread = np.float64(one) / other, drawn_one / drawn_other
    low, high = statistics.interval(_finite(spread))
    return {"value": float(value), "ci_low": low, "ci_high": high, "n": n}


def _finite(values: np.ndarray) -> np.ndarray:
    """NaN for what is infinite, which percentiles leave out; all NaN becomes one NaN without a warning."""
    known = values[np.isfinite(values)]
    return known if len(known) else np.array([np.nan])


def scored(
    methods: Mapping[str, np.ndarray], known: np.ndarray, found: Mapping[str, tuple], count: int, seed: int
) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """(method, group) -> METRICS (4,) and their resamples (count, 4), of redshifts (n,) of the same galaxies."""
    return {
        (method, group): (measured(known[mask], said[mask]), drawn(known[mask], said[mask], count, seed))
        for group, (_, _, mask) in found.items()
        for method, said in methods.items()
    }
