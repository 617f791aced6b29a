"""Fine-tuning: labels of galaxies, numbers or classes, to a head on a trained encoder, and on to its last blocks."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from skyloom.settings.kinds import ModelKind
from skyloom.settings.names import PROPERTIES, PROPERTIES_QUERY
from skyloom.settings.section import Section, refuse, setting

if TYPE_CHECKING:
    from skyloom.settings.config import Survey
    from skyloom.settings.models import Model

LABELS_QUERY = "labels"
"""What it is asked where its labels are not all columns of galaxies.parquet that an analysis knows."""
LEAST = 2
"""Training galaxies of which a label must be known, and members that a class must have among them."""
ALL = "all"


class Config(Section):
    """Labels, what learns, and the head."""

    labels: Annotated[list[str], Field(min_length=1)] = setting()
    "columns to learn and predict; a galaxy without a value is left out of the training, and predicted"
    table: str | None = setting(None)
    "table with these columns and targetid: CSV, ECSV, Parquet, FITS or VOTable; without it galaxies.parquet"
    classes: list[str | bool | int] = setting([])
    "values of the one label, where it is a class; other values count as unknown. Without this key labels are numbers"
    unfrozen: Annotated[int, Field(ge=0)] | Literal["all"] = setting(0)
    "last blocks of the encoder that learn with the head; 0: the head alone; all: whatever its tokens are made of"
    rate: float = setting(0.1, gt=0)
    "learning rate of what learns of the encoder, over that of the head"
    pooling: Literal["attention", "mean", "first"] = setting("attention")
    "what the head reads: what learned queries find, the mean over tokens, or the first one (an image's class token)"
    dim: int = setting(64, ge=1)
    "width of the attention"
    heads: int = setting(4, ge=1)
    "attention heads; they divide dim"
    queries: int = setting(16, ge=1)
    "learned queries that attend to the tokens"
    dropout: float = setting(0.1, ge=0, lt=1)
    "of what is pooled, in training"
    level: float = setting(0.9, gt=0, lt=1)
    "probability that a number lies in the interval that is stated"

    @model_validator(mode="after")
    def _combinations(self):
        if self.dim % self.heads:
            raise refuse("heads", f"{self.heads} does not divide dim {self.dim}")
        if self.classes and len(self.labels) > 1:
            raise refuse("labels", f"{self.labels} is not allowed; classes are those of one label")
        for key, values in (("labels", self.labels), ("classes", self.names)):
            for name in values:
                if values.count(name) > 1:
                    raise refuse(key, f"'{name}' is named twice")
        if len(self.classes) == 1:
            raise refuse("classes", f"{self.classes} is not allowed; needs at least 2 entries")
        for name in self.labels:
            if name.lower() in ("targetid", "split"):
                raise refuse("labels", f"'{name}' is not allowed; it says which galaxy, not what it is")
        return self

    @property
    def names(self) -> list[str]:
        """The classes as text, as `skyloom.formats.label_tables.text` writes a value."""
        return [str(name).lower() if isinstance(name, bool) else str(name) for name in self.classes]


def check(model: "Model", survey: "Survey") -> None:
    """The table is there, or will be, and has the labels; a class has members. Raises BadConfig or BadInput."""
    from skyloom.models.finetune.check import check_labels

    check_labels(model.settings, f"models.{model.name}.model", survey)


def query(model: "Model") -> str:
    """What it is asked for its labels."""
    s = model.settings
    return PROPERTIES_QUERY if s.table is None and set(s.labels) <= set(PROPERTIES) else LABELS_QUERY


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.finetune.network:FineTuned",
    objective="skyloom.models.finetune.objective:Objective",
    takes="backbones",
    fewest=1,
    embeddings=lambda model: (),
    queries=lambda model: (query(model),),
    unfrozen=lambda settings, modality: settings.unfrozen,
    label_table=lambda settings: settings.table,
    check=check,
    training={
        "steps": 500,
        "batch_size": 128,
        "learning_rate": 1e-2,
        "weight_decay": 0.05,
        "clip": 1.0,
        "select": "best",
        "validate_every": 50,
        "validation_samples": 2000,
    },
)
