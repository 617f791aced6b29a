"""Is what is found physically alike?

A query and its nearest other galaxy, against random pairs of the same redshift.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas

from skyloom.analysis.common import statistics, tables
from skyloom.analysis.retrieval import Settings
from skyloom.analysis.retrieval.pairs import Pairing
from skyloom.analysis.retrieval.similarity import window
from skyloom.figures import style

DIFFERENCE, RATIO = "median_abs_difference", "likeness_ratio"
RANDOM = "same_redshift"
"""The method of random pairs of the same redshift."""
MINUS = " - "


def read(path: str, names: Sequence[str]) -> pandas.DataFrame:
    """A column for each name by targetid; a name is a column of galaxies.parquet, or two with " - " between them.

    NaN where unknown, and everywhere in a column that the catalogue lacks.
    """
    parts = {name: name.split(MINUS, 1) for name in names}
    table = tables.read_known(path, [column for columns in parts.values() for column in columns])
    values = {}
    for name, (first, *other) in parts.items():
        values[name] = table[first].astype(float) - (table[other[0]].astype(float) if other else 0.0)
    return pandas.DataFrame(values, index=table.index)


def alike(
    survey: str, pair: Pairing, near: np.ndarray, values: pandas.DataFrame, settings: Settings, seed: int
) -> Iterator[dict]:
    """Rows of the median |difference| in each property, of what is found and of random pairs, and of their ratio.

    The interval of the ratio is that of a bootstrap over queries, the same for both. A ratio below 1: what is found is
    more alike than galaxies of the same redshift are. Queries count whose own value, neighbour's value and a partner
    within `narrow` in redshift are known.

    Parameters
    ----------
    near : (n,) rows of the most similar other galaxies
    values : by targetid, a column for each property
    """
    for name in values:
        known = values[name].reindex(pair.targetid).to_numpy(float)
        partner = partners(np.where(np.isfinite(known), pair.z, np.nan), settings.narrow, seed)
        rows = np.flatnonzero((partner >= 0) & np.isfinite(known[near]))
        if len(rows) < 2:
            continue
        pairs = {"cosine": near[rows], RANDOM: partner[rows]}
        key, draws, medians = (survey, pair.model, pair.name), {}, {}
        for method, other in pairs.items():
            apart = np.abs(known[rows] - known[other])
            medians[method] = np.median(apart)
            draws[method] = statistics.bootstrap(_median, apart, count=settings.resamples, seed=seed)
            ci = statistics.interval(draws[method])
            yield tables.row(*key, method, name, settings.split, DIFFERENCE, medians[method], ci, len(rows))
        if medians[RANDOM] > 0:
            spread = draws["cosine"] / np.where(draws[RANDOM] > 0, draws[RANDOM], np.nan)
            ratio = medians["cosine"] / medians[RANDOM]
            yield tables.row(*key, "cosine", name, settings.split, RATIO, ratio, statistics.interval(spread), len(rows))


def partners(z: np.ndarray, narrow: float, seed: int) -> np.ndarray:
    """A random other galaxy (n,) within |dz|/(1 + z) < `narrow` of each, by row; -1 where there is none or z is NaN."""
    order, low, high = window(z, narrow)
    place = np.arange(len(order))
    drawn = low + np.floor(np.random.default_rng(seed).random(len(order)) * (high - low - 1)).astype(int)
    drawn += drawn >= place  # the galaxy itself is skipped
    found = np.full(len(z), -1)
    alone = high - low < 2
    found[order] = np.where(alone, -1, order[np.where(alone, 0, drawn)])
    return found


def called(name: str) -> str:
    """What a property or a difference of two is called: `mag_g - mag_r` -> `g - r`."""
    parts = [style.label(part).split(" [")[0] for part in name.split(MINUS)]
    return MINUS.join(part.removeprefix("mag_") if len(parts) > 1 else part for part in parts)


def _median(values: np.ndarray) -> np.ndarray:
    return np.median(values, axis=-1)
