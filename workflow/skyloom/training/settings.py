"""How a model is trained: the keys of `training` in a model's configuration."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Settings:
    """Attributes
    ----------
    steps : optimizer steps; 0 leaves the network untrained
    batch_size : galaxies in a step, over all processes
    learning_rate, warmup, minimum_rate : peak, steps up to it, and the rate a cosine ends with
    weight_decay, weight_decay_end : of matrices (not of biases, norms and positions); along a cosine to the second
        when that is not negative
    betas : of AdamW
    clip : largest norm of the gradient; 0 for none
    log_every, validate_every, checkpoint_every : steps
    validation_samples : at most this many validation galaxies are used while training
    select : keep the weights of the "last" step, or of the "best" validation loss
    precision : "auto" is bfloat16 autocast on a GPU or a CPU with AVX512-BF16, else float32; the card says which
    resident : hold all samples in memory ("auto": when they fit in 2 GiB)
    cache_tokens : compute the tokens of frozen backbones once (astroclip)
    device : "auto" is cuda when there is one
    """

    steps: int = 1000
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup: int = 50
    minimum_rate: float = 0.0
    weight_decay: float = 0.05
    weight_decay_end: float = -1.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 1.0
    log_every: int = 20
    validate_every: int = 100
    checkpoint_every: int = 100
    validation_samples: int = 512
    select: Literal["last", "best"] = "last"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    resident: Literal["auto", True, False] = "auto"
    cache_tokens: bool = True
    device: str = "auto"
