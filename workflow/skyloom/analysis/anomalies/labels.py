"""What is known to be wrong with a galaxy: of a simulated survey that put it in."""

from collections.abc import Sequence

import numpy as np
import pandas

from skyloom.analysis.common import tables

COLUMN, TRUE = "anomaly", "anomaly_true"
"""In a truth file; in galaxies.parquet, which is read if it has it."""


def labels(galaxies: str, truth: Sequence[str], targetid: np.ndarray) -> pandas.Series:
    """The kind of anomaly of each galaxy (n,) by targetid: "" for none, None where nobody knows."""
    if TRUE in tables.column_names(galaxies):
        frame = tables.read_parquet(galaxies, ["targetid", TRUE]).rename(columns={TRUE: COLUMN})
    else:
        there = [path for path in truth if COLUMN in tables.column_names(path)]
        parts = [tables.read_parquet(path, ["targetid", COLUMN]) for path in there]
        frame = pandas.concat(parts) if parts else pandas.DataFrame({"targetid": [], COLUMN: []}, dtype=object)
    known = frame.drop_duplicates("targetid").set_index("targetid")[COLUMN].astype(object).reindex(targetid)
    return known.where(known.notna(), None)
