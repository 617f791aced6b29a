"""Posteriors over redshift in tables of predictions: which redshifts their columns are."""

import json
import os

import numpy as np
import pyarrow
import pyarrow.parquet

from skyloom.core.errors import BadInput
from skyloom.embedding.parts import METADATA


def read_log_scale(path: str | os.PathLike) -> np.ndarray:
    """ln(1 + z) of the bins of the column `posterior`, (G,), which holds the probability of each bin.

    The metadata `skyloom` (JSON) have the key `log_scale`: that of the first bin, the step, and how many there are.

    Raises
    ------
    BadInput : the file is not such a table, or does not say.
    """
    try:
        schema = pyarrow.parquet.read_schema(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except pyarrow.ArrowInvalid as error:
        raise BadInput(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from error
    for column in ("targetid", "posterior"):
        if column not in schema.names:
            raise BadInput(f"{path}: no column {column!r}; it has {', '.join(schema.names)}")
    kind = schema.field("posterior").type
    if not pyarrow.types.is_fixed_size_list(kind):
        raise BadInput(f"{path}: column posterior is {kind}; expected a fixed-size list of float")
    said = json.loads((schema.metadata or {}).get(METADATA, b"{}")).get("log_scale")
    if not said:
        raise BadInput(f"{path}: does not say on which redshifts its posteriors are; delete it and rerun")
    first, step, count = said
    if count != kind.list_size or count < 2 or step <= 0:
        raise BadInput(f"{path}: metadata skyloom.log_scale is {said}; expected {kind.list_size} bins, rising")
    return first + step * np.arange(int(count))
