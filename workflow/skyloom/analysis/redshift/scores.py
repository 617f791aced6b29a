"""How right redshifts are: shares within limits, completeness and purity of those accepted, scatter."""

from collections.abc import Iterator

import numpy as np
from scipy.stats import beta

from skyloom.models.redshift import CLOSE

WIDE = 0.01
"""Limit of |dz| / (1 + z) that is stated besides CLOSE."""
COLUMNS = ["method", "group", "metric", "value", "ci_low", "ci_high", "n"]
LEAST = 5
"""Spectra below which a group has no scores."""


def error(z: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(z - known) / (1 + known)."""
    return (z - known) / (1 + known)


def interval(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Exact (Clopper and Pearson 1934) interval of a share of `hits` among `n`."""
    tail = (1 - level) / 2
    low = beta.ppf(tail, hits, n - hits + 1) if hits else 0.0
    high = beta.ppf(1 - tail, hits + 1, n - hits) if hits < n else 1.0
    return float(low), float(high)


def groups(known: np.ndarray, quasar: np.ndarray, star: np.ndarray, zwarn: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> which spectra (n,) bool: galaxies, quasars and stars; galaxies by redshift too, and those whose redshift
    the catalogue gives without warning where it warns of some."""
    there = np.isfinite(known)
    galaxy = there & ~quasar & ~star
    found = {"galaxies": galaxy, "quasars": there & quasar, "stars": there & star}
    for low, high in ((0, 0.6), (0.6, 1.1), (1.1, np.inf)):
        name = f"galaxies z {low:g} to {high:g}" if np.isfinite(high) else f"galaxies z above {low:g}"
        found[name] = galaxy & (known >= low) & (known < high)
    if (zwarn > 0).any():
        sure = {name: found[name] & (zwarn == 0) for name in ("galaxies", "quasars")}
        found |= {f"{name} without warning in the catalogue": mask for name, mask in sure.items()}
    return {name: mask for name, mask in found.items() if mask.any()}


def rows(method: str, group: str, dz: np.ndarray, accepted: np.ndarray | None, right) -> Iterator[dict]:
    """Tidy rows (COLUMNS) of the errors `dz` (n,) of one group; `accepted` (n,) bool where a method says which; `right`
    the limit of |dz|, a number or (n,)."""
    dz = np.where(np.isfinite(dz), dz, np.inf)
    n = len(dz)
    for name, limit in ((f"within {CLOSE:g}", CLOSE), (f"within {WIDE:g}", WIDE)):
        yield share(method, group, name, (abs(dz) < limit).sum(), n)
    finite = dz[np.isfinite(dz)]
    spread = 1.4826 * np.median(abs(finite - np.median(finite))) if len(finite) else np.nan
    yield row(method, group, "sigma_nmad", spread, n)
    yield row(method, group, "bias", np.median(finite) if len(finite) else np.nan, n)
    if accepted is not None:
        yield share(method, group, "accepted", accepted.sum(), n)
        yield share(method, group, "accepted right", (accepted & (abs(dz) < right)).sum(), int(accepted.sum()))


def credible_level(probability: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Share (n,) of each posterior (n, G) that is more probable than the bin at a place (n,), and half of that bin.

    Uniform between 0 and 1 if posteriors mean what they say: intervals of highest density of level L hold the truth
    where this is below L. A place outside of the bins has 1.
    """
    inside = (place >= 0) & (place < probability.shape[1])
    own = np.take_along_axis(probability, place.clip(0, probability.shape[1] - 1)[:, None], 1)
    level = (probability * (probability > own)).sum(1) + 0.5 * own[:, 0]
    return np.where(inside & (own[:, 0] > 0), level, 1.0)


def trust(method: str, group: str, probability: np.ndarray, level: np.ndarray) -> Iterator[dict]:
    """Tidy rows of what posteriors promise: the mean probability (n,) of the redshifts, which should be the share
    within CLOSE, and how many intervals of highest density hold the truth, given its credible level (n,)."""
    yield row(method, group, "mean probability", probability.mean(), len(probability))
    for wanted in (0.68, 0.9):
        yield share(method, group, f"{wanted:.0%} intervals hold", (level < wanted).sum(), len(level))


def share(method: str, group: str, metric: str, hits: int, n: int) -> dict:
    """A share with its interval."""
    value = hits / n if n else np.nan
    return row(method, group, metric, value, n, interval(int(hits), int(n)) if n else (np.nan, np.nan))


def row(method, group, metric, value, n, ci=(np.nan, np.nan)) -> dict:
    """One tidy row (COLUMNS); `ci` is (low, high), NaN where a value has no interval."""
    return dict(zip(COLUMNS, (method, group, metric, float(value), *ci, int(n)), strict=True))


def curve(probability: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Completeness and purity of the redshifts with at least a probability, and that probability, most probable first.

    Completeness is the share of all spectra that are accepted and right, purity that of the accepted ones.
    """
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(right[order])
    count = np.arange(1, len(order) + 1)
    return hits / max(len(order), 1), hits / count, probability[order]


def threshold(probability: np.ndarray, right: np.ndarray, purity: float) -> float:
    """The least probability at which the accepted ones are as pure as asked for; infinite where none is."""
    _, pure, at = curve(probability, right)
    enough = np.flatnonzero(pure >= purity)
    return float(at[enough[-1]]) if len(enough) else np.inf
