"""How a model is trained: the keys of `training` in a model's configuration."""

from typing import Literal

from pydantic import model_validator

from skyloom.settings.section import Section, refuse, setting


class Training(Section):
    """Optimisation of a model by the training engine; a kind of model may have defaults of its own."""

    steps: int = setting(1000, ge=0)
    "optimizer steps; 0 leaves the network untrained"
    batch_size: int = setting(64, ge=1)
    "galaxies in a step, over all processes"
    accumulate: int = setting(1, ge=1)
    "parts in which a step is computed, to save memory; what a loss compares between galaxies, it compares in each part"
    learning_rate: float = setting(1e-3, gt=0)
    "peak of the learning rate"
    learning_rates: dict[str, float] = setting({})
    "factors of the learning rate for parts of the model, by the beginning of their parameters' names; 0 freezes"
    warmup: int = setting(50, ge=0)
    "steps up to the peak, along a line"
    minimum_rate: float = setting(0.0, ge=0)
    "learning rate that the cosine after the peak ends with"
    weight_decay: float = setting(0.05, ge=0)
    "of matrices, not of biases, norms and positions"
    weight_decay_end: float = setting(-1.0)
    "weight decay at the end of a cosine; negative: constant"
    betas: tuple[float, float] = setting((0.9, 0.999))
    "of AdamW"
    clip: float = setting(1.0, ge=0)
    "largest norm of the gradient; 0 for none"
    log_every: int = setting(20, ge=1)
    "steps between two rows of metrics"
    validate_every: int = setting(100, ge=1)
    "steps between two looks at the validation galaxies"
    checkpoint_every: int = setting(100, ge=1)
    "steps between two checkpoints"
    validation_samples: int = setting(512, ge=1)
    "at most this many validation galaxies are used while training, chosen by a hash"
    select: Literal["last", "best"] = setting("last")
    "keep the weights of the last step, or of the best validation loss"
    precision: Literal["auto", "float32", "bfloat16"] = setting("auto")
    "auto is bfloat16 autocast on a GPU or a CPU with AVX512-BF16, else float32; the card says which"
    resident: Literal["auto", True, False] = setting("auto")
    "hold all samples in memory; auto: when they fit in 2 GiB"
    incomplete: Literal["drop", "keep"] = setting("drop")
    "galaxies that lack one of the model's modalities: left out, or kept with that modality marked as absent"
    cache_tokens: bool = setting(True)
    "compute the tokens of frozen backbones once"
    device: str = setting("auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")
    "auto is cuda when there is one"

    @model_validator(mode="after")
    def _rates(self):
        for prefix, factor in self.learning_rates.items():
            if factor < 0:
                raise refuse(f"learning_rates.{prefix}", f"{factor:g} is not allowed; must be at least 0")
        return self
