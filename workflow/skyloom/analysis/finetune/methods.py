"""Labels, and what models say of them: tasks, each a label with all that learn it."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet

from skyloom.analysis.common import tables
from skyloom.core.errors import BadInput
from skyloom.embedding.parts import METADATA
from skyloom.settings.analysis import Job
from skyloom.training.labels import read_labels

ALONE, SCRATCH, WHOLE = "head alone", "from scratch", "whole network"


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to a label.

    Attributes
    ----------
    model, modality, encoder : names; `encoder` is "" of what stands on none
    way : what of the encoder learned, in words
    said : by targetid: `value` (a number, or the place of a class) and `lower`, `upper`, or `probability`
    """

    model: str
    modality: str
    encoder: str
    way: str
    said: pandas.DataFrame


@dataclasses.dataclass
class Task:
    """A label: `truth` by targetid (a number, or the place in `classes`) and `split`, of all galaxies."""

    label: str
    classes: tuple[str, ...]
    truth: pandas.Series
    split: pandas.Series
    level: float
    methods: list[Method]

    def of(self, split: str) -> np.ndarray:
        """Galaxies of a split of which the label is known and all methods say something, by rising targetid."""
        found = self.truth.index[np.isfinite(self.truth) & (self.split == split)]
        for method in self.methods:
            found = found.intersection(method.said.index)
        return np.sort(found.to_numpy())

    def words(self, places: np.ndarray) -> np.ndarray:
        """Values as a table shows them: numbers, or the names of classes."""
        if not self.classes:
            return places
        return np.array([self.classes[int(place)] if np.isfinite(place) else "" for place in places], object)


def way(unfrozen: int | str, pretrained: bool) -> str:
    """What learned of an encoder, in words."""
    if unfrozen == "all":
        return WHOLE if pretrained else SCRATCH
    words = ALONE if unfrozen == 0 else f"last {unfrozen} block{'s' * (unfrozen > 1)}"
    return words if pretrained else f"{words}, untrained encoder"


def read_tasks(job: Job) -> list[Task]:
    """Every label, with the models that learn it from the same table, in the order of the models."""
    splits = tables.read_parquet(job.one("splits"), ["targetid", "split"]).set_index("targetid")["split"]
    found: dict[tuple, Task] = {}
    files = (job.inputs[role] for role in ("predictions", "cards", "encoders"))
    for predictions, card, encoder in zip(*files, strict=True):
        about, base = _json(card)["config"]["model"], _json(encoder)
        names, table = tuple(map(str, _about(predictions).get("classes", ()))), about.get("table") or ""
        modality = "+".join(_about(predictions)["modalities"])
        words = way(about["unfrozen"], base["steps"] > 0)
        for label in about["labels"]:
            key = (label, table, names)
            if key not in found:
                truth = _truth(table or job.one("galaxies"), label, splits.index, names)
                found[key] = Task(label, names, truth, splits, float(about["level"]), [])
            said = _said(predictions, label, bool(names))
            found[key].methods.append(Method(_json(card)["name"], modality, base["name"], words, said))
    return list(found.values())


def _truth(path: str, label: str, targetid: pandas.Index, names: Sequence[str]) -> pandas.Series:
    values = read_labels(path, [label], targetid.to_numpy(), {label: names} if names else {})[label]
    return pandas.Series(values.astype(float), targetid)


def _said(path: str, label: str, classes: bool) -> pandas.DataFrame:
    columns = {label: "value"}
    columns |= {f"{label}_probability": "probability"} if classes else {f"{label}_{e}": e for e in ("lower", "upper")}
    found = tables.read_parquet(path, ["targetid", *columns]).rename(columns=columns).set_index("targetid")
    return found.astype(float)


def _about(path: str) -> dict:
    return json.loads((pyarrow.parquet.read_schema(path).metadata or {}).get(METADATA, b"{}"))


def _json(path: str) -> dict:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not a model card ({error}); delete the model's folder and rerun") from error
