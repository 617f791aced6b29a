"""Predictions that models give themselves, when asked for properties: attentive probes of frozen encoders."""

import json
import os
from collections.abc import Sequence

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet

from skyloom.analysis.common.predictors.predict import Prediction
from skyloom.core.errors import BadInput

METHOD = "probe"
SCORED = ("validation", "test")


def probed(path: str | os.PathLike, samples: dict[str, pandas.DataFrame], properties: Sequence[str]) -> Prediction:
    """What a table of answers says of the validation and test galaxies that it has.

    Parameters
    ----------
    samples : split -> its galaxies by targetid
    properties : of which predictions are wanted; what the table lacks stays NaN

    Raises
    ------
    BadInput : the file is not a table of answers of a model.
    """
    try:
        schema = pyarrow.parquet.read_schema(path)
        traits = json.loads((schema.metadata or {})[b"skyloom"])
        names = [name for name in properties if name in schema.names]
        table = pyarrow.parquet.read_table(path, columns=["targetid", *names]).to_pandas().set_index("targetid")
    except (OSError, KeyError, ValueError, pyarrow.ArrowException) as error:
        raise BadInput(f"{path}: not a table of predictions ({str(error).splitlines()[0]}); delete it") from error
    rows, values = {}, {}
    for split in SCORED:
        targetid = samples[split].index
        rows[split] = np.flatnonzero(targetid.isin(table.index))
        values[split] = table.reindex(columns=properties).loc[targetid[rows[split]]].to_numpy(float)
    chosen = [{} if name in names else None for name in properties]
    return Prediction(traits["model"], "+".join(traits["modalities"]), METHOD, traits, values, rows, chosen)
