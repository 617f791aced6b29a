"""The table of predictions, and what they were made with: it lies in the table's metadata, for other analyses.

Light enough to be read without making anything again: settings, and what was chosen for each source and property.
"""

import dataclasses
import json
import os
from collections.abc import Sequence

import pandas
import pyarrow
import pyarrow.parquet

from skyloom.analysis.common.predictors import PredictorSettings
from skyloom.analysis.common.predictors.predict import Prediction
from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.settings.section import parse

KEY = b"skyloom"


@dataclasses.dataclass(frozen=True)
class Choices:
    """What predictions were made with.

    Attributes
    ----------
    settings : of them
    chosen : (model, modality, method) -> property -> components, whitened (how many of them, or 0), metric, k of kNN,
        components and epochs of the MLP
    """

    settings: PredictorSettings
    chosen: dict[tuple[str, str, str], dict[str, dict]]


def write_predictions(
    path: str | os.PathLike,
    frame: pandas.DataFrame,
    settings: PredictorSettings,
    predictions: Sequence[Prediction] = (),
    properties: Sequence[str] = (),
) -> None:
    """Write the table of predictions with settings and choices in its metadata."""
    chosen = [
        {"model": got.model, "modality": got.modality, "method": got.method, "property": name, **choice}
        for got in predictions
        for name, choice in zip(properties, got.chosen, strict=True)
        if choice
    ]
    own = {name: value for name, value in settings.plain().items() if name in PredictorSettings.model_fields}
    about = json.dumps({"predictors": {"settings": own, "chosen": chosen}}, sort_keys=True)
    table = pyarrow.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata({KEY: about})
    with atomic(path) as temporary:
        pyarrow.parquet.write_table(table, temporary)


def read_choices(path: str | os.PathLike) -> Choices:
    """What the predictions were made with; BadInput if the table does not say it."""
    try:
        about = json.loads((pyarrow.parquet.read_schema(path).metadata or {})[KEY])["predictors"]
        settings, rows = about["settings"], about["chosen"]
    except (OSError, KeyError, TypeError, ValueError, pyarrow.ArrowException) as error:
        words = str(error).splitlines()[0]
        raise BadInput(f"{path}: not predictions that say what was chosen ({words}); delete it and rerun") from error
    chosen: dict[tuple[str, str, str], dict[str, dict]] = {}
    for row in rows:
        key, name = (row.pop("model"), row.pop("modality"), row.pop("method")), row.pop("property")
        chosen.setdefault(key, {})[name] = row
    return Choices(parse(PredictorSettings, settings, str(path)), chosen)
