"""A model of one's own: two modalities to one latent, from which redshift is read."""

from skyloom.settings.kinds import ModelKind
from skyloom.settings.names import JOINT
from skyloom.settings.section import Section, setting


class Config(Section):
    """Shape of a toy model."""

    dim: int = setting(8, ge=1)
    "length of the latent"
    width: int = setting(16, ge=1)
    "numbers of a galaxy, all modalities together"


KIND = ModelKind(
    settings=Config,
    network="toy_model.network:ToyModel",
    objective="toy_model.network:Objective",
    takes="several",
    embeddings=lambda model: (JOINT,),
    queries=lambda model: ("redshift",),
    training={"steps": 600, "batch_size": 32, "learning_rate": 0.02, "warmup": 5},
)
