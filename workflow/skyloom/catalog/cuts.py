"""Quality cuts, applied one after the other, and how many galaxies each of them lost.

A cut is an entry of the configuration: a name, a column and one operator, such as
``{name: redshift_ok, column: ZWARN, equals: 0}``. A value that is missing (NaN or masked) passes no cut.
"""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats import ranges

log = logging.getLogger(__name__)

OPERATORS: dict[str, Callable[[np.ndarray, object], np.ndarray]] = {
    "equals": lambda values, wanted: values == wanted,
    "at_least": lambda values, limit: values >= limit,
    "at_most": lambda values, limit: values <= limit,
    "above": lambda values, limit: values > limit,
    "below": lambda values, limit: values < limit,
    "in": lambda values, allowed: np.isin(values, allowed),
    "finite": lambda values, wanted: np.isfinite(values.astype(np.float64)) == wanted,
}

DESI_GALAXIES = (
    {"name": "is_target", "column": "OBJTYPE", "equals": "TGT"},
    {"name": "fibre_ok", "column": "COADD_FIBERSTATUS", "equals": 0},
    {"name": "redshift_ok", "column": "ZWARN", "equals": 0},
    {"name": "is_galaxy", "column": "SPECTYPE", "equals": "GALAXY"},
    {"name": "best_spectrum", "column": "ZCAT_PRIMARY", "equals": True},
)
"""Good galaxies of a DESI redshift catalogue: one spectrum each, on a working fibre, with a trusted redshift.

The order is that of causes: redrock warns on the sky and on broken fibres too, which should not count as bad fits.
"""

DESI_TARGETS = DESI_GALAXIES[:2]
"""What can be asked of spectra without a redshift catalogue: a working fibre that was on a target."""

PROPERTIES = (
    {"name": "mass_measured", "column": "LOG_MSTAR", "above": 0},
    {"name": "mag_g_measured", "column": "MAG_G", "above": 0},
    {"name": "mag_r_measured", "column": "MAG_R", "above": 0},
    {"name": "mag_z_measured", "column": "MAG_Z", "above": 0},
)
"""Physical properties that are measurements: zero stands for none. The cuts of AstroCLIP (arXiv 2310.03024)."""


OPTIONAL_STEPS = ("labels", "values", "with image", "with hsc_image")
"""Steps whose losses stay in the catalogue, without that part."""


class Flow:
    """The flow table: what each step kept and lost, in order.

    Columns: survey, step (catalogue, quality, spectrum, image, hsc_image, properties, or one of OPTIONAL_STEPS), cut,
    kept, lost. "values" counts values that became NaN because they cannot be; it has a line only where there are any.
    """

    def __init__(self, survey: str):
        self.survey = survey
        self.rows: list[dict] = []

    def record(self, step: str, cut: str, kept: int, lost: int, what: str = "") -> None:
        """Add a line; raises BadInput when nothing is left, saying which cut lost the last galaxy."""
        self.rows.append({"survey": self.survey, "step": step, "cut": cut, "kept": int(kept), "lost": int(lost)})
        log.info("%s: %s, %s: %d kept, %d lost", self.survey, step, cut, kept, lost)
        if kept == 0 and step not in OPTIONAL_STEPS:
            total = max(row["kept"] + row["lost"] for row in self.rows)
            raise BadInput(f"{self.survey}: no galaxy left: '{cut}'{what} lost the last {lost} of {total}")

    def frame(self) -> pd.DataFrame:
        """The table so far."""
        return pd.DataFrame(self.rows, columns=["survey", "step", "cut", "kept", "lost"])


def plausible(values: np.ndarray, name: str, flow: Flow) -> np.ndarray:
    """`values` (N,) of a quantity of `ranges.RANGES`, NaN where they cannot be; a warning and a line say how many."""
    found, lost = ranges.within(name, values)
    if lost:
        strange = np.asarray(values, np.float64)[np.isnan(found) & ~np.isnan(np.asarray(values, np.float64))]
        flow.record("values", ranges.words(name), np.isfinite(found).sum(), lost)
        log.warning(
            "%s: %d values of %s are outside %s (%g to %g) and count as missing",
            *(flow.survey, lost, name, ranges.words(name), strange.min(), strange.max()),
        )
    return found


def apply_cuts(
    table,
    cuts: Sequence[dict],
    survey: str = "",
    source: str = "catalogue",
    flow: Flow | None = None,
    step: str = "quality",
) -> tuple[np.ndarray, pd.DataFrame]:
    """Apply `cuts` in order.

    Parameters
    ----------
    table : astropy Table or DataFrame
        N rows.
    cuts : list of dict
        ``name``, ``column`` and one of equals, at_least, at_most, above, below, in, finite.
    survey, source : str
        The survey for the flow table; the file of `table` for messages.
    flow, step
        A flow table to continue, and the step of it that these cuts are.

    Returns
    -------
    mask : (N,) bool
        True for rows that pass all cuts.
    flow : DataFrame
        survey, step, cut, kept, lost: a line a cut.

    Raises
    ------
    BadInput
        A column that is missing or of the wrong type, or a cut that leaves nothing.
    BadConfig
        A cut without a name, a column or exactly one known operator.
    """
    flow = Flow(survey) if flow is None else flow
    tally = Tally(cuts, source)
    mask = tally.passing(table)
    tally.record(flow, step)
    return mask, flow.frame()


class Tally:
    """Cuts that are applied to a catalogue a block of rows at a time, and what each of them lost of all blocks.

    Raises BadConfig and BadInput as `apply_cuts`.
    """

    def __init__(self, cuts: Sequence[dict], source: str):
        self._cuts = [(cut, check_cut(cut)) for cut in cuts]
        self._source = source
        self._kept, self._lost = np.zeros(len(cuts), int), np.zeros(len(cuts), int)

    def passing(self, table) -> np.ndarray:
        """(N,) bool: the rows of a block that pass all cuts."""
        mask = np.ones(len(table), bool)
        for number, (cut, operator) in enumerate(self._cuts):
            before = mask.sum()
            mask &= _passes(table, cut, operator, self._source)
            self._kept[number] += mask.sum()
            self._lost[number] += before - mask.sum()
        return mask

    def record(self, flow: Flow, step: str) -> None:
        """A line of the flow table for each cut."""
        for (cut, operator), kept, lost in zip(self._cuts, self._kept, self._lost, strict=True):
            flow.record(step, cut["name"], kept, lost, f" ({cut['column']} {operator} {cut[operator]})")


def check_cut(cut: dict) -> str:
    """The operator of a cut; raises BadConfig unless it has a name, a column, one operator and nothing else."""
    operators = [key for key in cut if key not in ("name", "column")]
    if "name" not in cut or "column" not in cut or len(operators) != 1 or operators[0] not in OPERATORS:
        raise BadConfig(f"cut {dict(cut)}: expected a name, a column and one of {', '.join(OPERATORS)}")
    return operators[0]


def _passes(table, cut: dict, operator: str, source: str) -> np.ndarray:
    name, wanted = cut["column"], cut[operator]
    if name not in table.keys():
        raise BadInput(f"{source}: no column {name}, which the cut '{cut['name']}' needs")
    values = table[name]
    missing = np.ma.getmaskarray(values) if np.ma.isMaskedArray(values) else np.zeros(len(values), bool)
    values = np.ma.getdata(np.asarray(values))
    if values.dtype.kind in "SO":
        values = values.astype(str)
    is_text = values.dtype.kind == "U"
    if is_text != isinstance(np.ravel(wanted).tolist()[0], str):
        found = "text" if is_text else f"numbers ({values.dtype})"
        raise BadInput(f"{source}: column {name} holds {found}; the cut '{cut['name']}' asks for {operator} {wanted!r}")
    return OPERATORS[operator](np.char.strip(values) if is_text else values, wanted) & ~missing
