"""An attentive probe: properties from the tokens of a frozen encoder, found by learned queries (few-shot)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.settings.kinds import ModelKind
from skyloom.settings.names import PROPERTIES, PROPERTIES_QUERY
from skyloom.settings.section import Section, refuse, setting


class Config(Section):
    """The head, and what it learns."""

    properties: Annotated[list[Literal[tuple(PROPERTIES)]], Field(min_length=1)] = setting(
        ["z", "log_mstar", "log_z_mw", "t_age", "log_ssfr"]
    )
    "columns of galaxies.parquet; each must be known of some training galaxies"
    dim: int = setting(64, ge=1)
    "width of the attention"
    heads: int = setting(4, ge=1)
    "attention heads; they divide dim"
    queries: int = setting(16, ge=1)
    "learned queries that attend to the tokens"
    dropout: float = setting(0.1, ge=0, lt=1)
    "of what is pooled, in training"

    @model_validator(mode="after")
    def _combinations(self):
        if self.dim % self.heads:
            raise refuse("heads", f"{self.heads} does not divide dim {self.dim}")
        return self


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.probe.network:Probe",
    objective="skyloom.models.probe.network:Objective",
    takes="backbones",
    fewest=1,
    embeddings=lambda model: (),
    queries=lambda model: (PROPERTIES_QUERY,),
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
