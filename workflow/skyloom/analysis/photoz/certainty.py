"""Whether densities of the redshift mean what they say, as the model gives them and after a conformal step.

The step takes the validation galaxies (`skyloom.analysis.common.conformal`); the test galaxies are only scored.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
from scipy import stats

from skyloom.analysis.common import conformal, statistics
from skyloom.analysis.common.bins import Groups
from skyloom.analysis.common.conformal import Recalibration
from skyloom.analysis.common.densities import Family, Grids, tabulate
from skyloom.analysis.common.posteriors import PosteriorFile
from skyloom.analysis.photoz import Settings
from skyloom.analysis.photoz.methods import Method, Sky

LEVELS = (68, 90)
"""Per cent of the intervals whose coverage is measured."""
RAW, CONFORMAL = "raw", "conformal"
COLUMNS = [
    *("survey", "method", "model", "given", "image_hidden", "spectrum_hidden", "bands"),
    *("stage", "group", "low", "high", "n", "calibrated_on"),
    *(f"coverage{level}{end}" for level in LEVELS for end in ("", "_low", "_high")),
    *("pit_p", "crps", "width90"),
]


@dataclasses.dataclass(frozen=True)
class Certainty:
    """Densities of n test galaxies, scored at the known redshifts.

    Attributes
    ----------
    pit, crps, width90, median : (n,), the last three in redshift
    covered : (n, len(LEVELS)) whether the central intervals hold the known redshift
    calibrated_on : galaxies of the conformal step; None of densities as they are
    """

    pit: np.ndarray
    crps: np.ndarray
    width90: np.ndarray
    median: np.ndarray
    covered: np.ndarray
    calibrated_on: int | None

    @classmethod
    def of(cls, family: Family, known: np.ndarray, step: Recalibration | None = None) -> "Certainty":
        """Of densities of galaxies whose redshifts (n,) are known."""
        found = tabulate(family, known, step)
        ends = [found.interval(level / 100) for level in LEVELS]
        covered = np.stack([(low <= known) & (known <= high) for low, high in ends], axis=1)
        width = ends[LEVELS.index(90)][1] - ends[LEVELS.index(90)][0]
        median = found.at([0.5])[:, 0]
        return cls(found.pit, found.crps(known), width, median, covered, None if step is None else step.n)

    @classmethod
    def join(cls, parts: list["Certainty"]) -> "Certainty":
        """Blocks of galaxies put together."""
        names = [field.name for field in dataclasses.fields(cls) if field.name != "calibrated_on"]
        arrays = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
        return cls(*arrays, parts[0].calibrated_on)


def judged(method: Method, sky: Sky) -> dict[str, Certainty]:
    """Densities of the scored galaxies, RAW and, where there are validation galaxies, CONFORMAL."""
    file, test = method.density, sky.test
    validation = sky.of("validation")
    validation = validation[np.isin(validation.index, file.targetid)]
    truths = validation["z_known"].to_numpy()
    pits = [family.cdf(truths[some]) for some, family in _blocks(file, validation.index.to_numpy())]
    steps = {RAW: None} | ({CONFORMAL: Recalibration.of(np.concatenate(pits))} if pits else {})
    known, parts = test["z_known"].to_numpy(), {name: [] for name in steps}
    for some, family in _blocks(file, test.index.to_numpy()):
        for name, step in steps.items():
            parts[name].append(Certainty.of(family, known[some], step))
    return {name: Certainty.join(found) for name, found in parts.items()}


def _blocks(file: PosteriorFile, targetid: np.ndarray) -> Iterator[tuple[slice, Family]]:
    for start in range(0, len(targetid), file.block):
        some = slice(start, start + file.block)
        yield some, Grids(file.grid, file.of(targetid[some]))


def rows(method: Method, found: Mapping[str, Certainty], sky: Sky, s: Settings) -> Iterator[dict]:
    """Rows of COLUMNS but for the survey: all galaxies, and bins of the estimate and of the magnitude."""
    test = sky.test
    values = {}
    if np.isfinite(test[s.magnitude].astype(float)).sum() >= s.least:
        values[s.magnitude] = test[s.magnitude].to_numpy(float)
    every = np.arange(len(test))
    for stage, certain in found.items():
        for group, low, high, inside in Groups(values, s.bins, s.least).within(every, every, certain.median):
            if inside.any():
                row = {"stage": stage, "group": group, "low": low, "high": high}
                yield method.columns() | row | _row(certain, inside)


def _row(certain: Certainty, inside: np.ndarray) -> dict:
    n = int(inside.sum())
    row = {"n": n, "calibrated_on": certain.calibrated_on or 0}
    for place, level in enumerate(LEVELS):
        hits = int(certain.covered[inside, place].sum())
        ends = stats.binomtest(hits, n).proportion_ci(0.95, "exact")
        row |= {f"coverage{level}": hits / n, f"coverage{level}_low": ends.low, f"coverage{level}_high": ends.high}
    row["pit_p"] = conformal.uniformity(certain.pit[inside], certain.calibrated_on)
    return row | {"crps": certain.crps[inside].mean(), "width90": np.median(certain.width90[inside])}


def wider(methods: list[Method], widths: Mapping[str, np.ndarray], s: Settings, seed: int) -> Iterator[dict]:
    """Rows of the table of scores: the median width of the 90 % intervals of a method that is shown less over that of
    one of the same model that is shown more, with its paired interval; `widths` (n,) by name of the method."""
    for less in methods:
        for more in methods:
            if less.name in widths and more.name in widths and less.shows_less(more):
                one, other = widths[less.name], widths[more.name]
                spread = statistics.bootstrap(_median_ratio, one, other, count=s.resamples, seed=seed)
                low, high = statistics.interval(spread)
                value = float(_median_ratio(one, other))
                ends = {"value": value, "ci_low": low, "ci_high": high, "n": len(one)}
                yield less.columns() | {"group": "all", "metric": "width90_ratio", "other": more.name} | ends


def _median_ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.median(one, axis=-1) / np.median(other, axis=-1)
