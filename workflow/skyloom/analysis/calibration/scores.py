"""Scores of posteriors: proper scores, sharpness, coverage, tests of calibration, overall and group by group."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from skyloom.analysis.common import conformal
from skyloom.analysis.common.bins import OVERALL, Groups
from skyloom.analysis.common.conformal import Recalibration
from skyloom.analysis.common.densities import Densities

COVERED = (50, 68, 90, 95)
"""Per cent of the intervals whose coverage is measured."""
JUDGED, OVERALL_MARGIN, BIN_MARGIN = 90, 0.02, 0.05
"""The interval that must hold what it says, and by how much it may miss, overall and in a bin."""
CURVE = np.arange(5, 100, 5)
"""Per cent of the intervals of the coverage curve."""
COLUMNS = [
    *("survey", "source", "given", "kind", "trained", "property", "group", "low", "high", "n", "calibrated_on"),
    *("crps", "log_score", "pit_p", "pit_p_before", "width68", "width90"),
    *(f"coverage{level}{end}" for level in COVERED for end in ("", "_low", "_high")),
    *(f"coverage{JUDGED}_before", f"coverage{JUDGED}_chance_low", f"coverage{JUDGED}_chance_high", "shift", "holds"),
]
"""The table. Ends of bins are low and high; a class is its own low end. Units of crps and widths are the property's."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """The scores of n galaxies of the test split that have the property and the source.

    Attributes
    ----------
    rows : (n,) numbers of these galaxies among those of the split
    truth, crps, log_density, pit, before : (n,); `before`: the PIT before the conformal step
    median, width68, width90 : (n,)
    covered : (n, len(COVERED))
    """

    rows: np.ndarray
    truth: np.ndarray
    crps: np.ndarray
    log_density: np.ndarray
    pit: np.ndarray
    before: np.ndarray
    median: np.ndarray
    width68: np.ndarray
    width90: np.ndarray
    covered: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, truth: np.ndarray, densities: Densities, before: np.ndarray) -> "Scored":
        """Of a block of galaxies; those without a label are left out."""
        known = np.isfinite(truth)
        rows, truth, before = rows[known], truth[known], before[known]
        densities = Densities(densities.quantiles[known], densities.pit[known], densities.log_density[known])
        ends = {level: densities.interval(level / 100) for level in COVERED}
        covered = np.stack([(low <= truth) & (truth <= high) for low, high in ends.values()], axis=1)
        widths = [ends[level][1] - ends[level][0] for level in (68, 90)]
        median = densities.at([0.5])[:, 0]
        columns = (rows, truth, densities.crps(truth), densities.log_density, densities.pit, before, median, *widths)
        return cls(*columns, covered)

    @classmethod
    def join(cls, parts: list["Scored"]) -> "Scored":
        """Blocks put together."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def curve(self, pit: np.ndarray) -> np.ndarray:
        """Share of galaxies inside the central intervals of CURVE, by their PIT; NaN for none."""
        if not len(pit):
            return np.full(len(CURVE), np.nan)
        off = np.sort(np.abs(pit - 0.5) * 200)
        return np.searchsorted(off, CURVE, side="right") / len(pit)


def table_rows(key: dict, scored: Scored, step: Recalibration, groups: Groups, labelled: np.ndarray) -> Iterator[dict]:
    """A row of COLUMNS for all galaxies and for each group; `key` : what the rows have in common."""
    for group, low, high, inside in groups.within(labelled, scored.rows, scored.median):
        yield key | {"group": group, "low": low, "high": high} | _row(scored, inside, step, group, groups.least)


def _row(scored: Scored, inside: np.ndarray, step: Recalibration, group: str, least: int) -> dict:
    n = int(inside.sum())
    row = {"n": n, "calibrated_on": step.n, "shift": step.shift, "holds": ""}
    if not n:
        return row
    shares = scored.covered[inside].mean(axis=0)
    row |= {
        "crps": scored.crps[inside].mean(),
        "log_score": scored.log_density[inside].mean(),
        "pit_p": conformal.uniformity(scored.pit[inside], step.n),
        "pit_p_before": conformal.uniformity(scored.before[inside]),
        "width68": np.median(scored.width68[inside]),
        "width90": np.median(scored.width90[inside]),
        f"coverage{JUDGED}_before": (np.abs(scored.before[inside] - 0.5) <= JUDGED / 200).mean(),
    }
    for level, share in zip(COVERED, shares, strict=True):
        ends = conformal.share_interval(share, n)
        row |= dict(zip((f"coverage{level}{end}" for end in ("", "_low", "_high")), (share, *ends), strict=True))
    chance = conformal.by_chance(JUDGED / 100, n, step.n).ppf([0.025, 0.975]) / n
    row |= dict(zip((f"coverage{JUDGED}_chance_low", f"coverage{JUDGED}_chance_high"), chance, strict=True))
    if n >= least:
        margin = OVERALL_MARGIN if group == OVERALL else BIN_MARGIN
        row["holds"] = "yes" if abs(shares[COVERED.index(JUDGED)] - JUDGED / 100) <= margin + 1e-9 else "no"
    return row
