"""AdamW over the trained parameters of an objective, with rates of their own for parts of it."""

import torch
from torch import nn

from skyloom.core.errors import BadConfig
from skyloom.nn.schedules import cosine, warmup_cosine
from skyloom.settings.training import Training
from skyloom.training.sharding import complete


def optimizer_for(objective: nn.Module, settings: Training) -> torch.optim.AdamW:
    """AdamW; weight decay for matrices only; a group a factor of the rate. What has the factor 0 is frozen.

    Raises
    ------
    BadConfig : a key of `learning_rates` begins no trained parameter's name, or nothing is left to train.
    """
    trained = {name: parameter for name, parameter in objective.named_parameters() if parameter.requires_grad}
    rates = {**getattr(objective, "rates", {}), **settings.learning_rates}
    factors = {name: factor_of(name, rates) for name in trained}
    for prefix in settings.learning_rates:
        if not any(name.startswith(prefix) for name in trained):
            parts = sorted({".".join(name.split(".")[:2]) for name in trained})
            raise BadConfig(
                f"training.learning_rates: no trained parameter begins with '{prefix}'; they begin with"
                f" {', '.join(parts)}"
            )
    for name, parameter in trained.items():
        parameter.requires_grad_(factors[name] > 0)
    if settings.steps and not any(factors.values()):
        raise BadConfig("training.learning_rates: 0 for all parameters; nothing is left to train")
    groups = []
    for factor in sorted({factor for factor in factors.values() if factor > 0}, reverse=True) or [1.0]:
        of_factor = [parameter for name, parameter in trained.items() if factors[name] == factor]
        for matrices, decay in ((True, settings.weight_decay), (False, 0.0)):
            parameters = [parameter for parameter in of_factor if (parameter.ndim == 2) == matrices]
            groups.append({"params": parameters, "weight_decay": decay, "factor": factor})
    fused = all(parameter.device.type == "cpu" for parameter in trained.values())  # one pass over the weights, not ten
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=fused)


def factor_of(name: str, factors: dict[str, float]) -> float:
    """The factor of the longest beginning of a name that is listed; 1 when none is."""
    found = max((prefix for prefix in factors if name.startswith(prefix)), key=len, default=None)
    return 1.0 if found is None else factors[found]


def schedule(optimizer: torch.optim.AdamW, settings: Training, step: int) -> float:
    """Set rates and weight decay of a step; the rate before factors."""
    s = settings
    rate = warmup_cosine(step, s.steps, s.warmup, s.learning_rate, s.minimum_rate)
    for group in optimizer.param_groups:
        group["lr"] = group["factor"] * rate
        if group["weight_decay"] and s.weight_decay_end >= 0:
            group["weight_decay"] = cosine(step / s.steps, s.weight_decay, s.weight_decay_end)
    return rate


def clip(optimizer: torch.optim.AdamW, largest: float) -> torch.Tensor:
    """Scale the gradient down to a norm of `largest` (0: leave it); the norm it had."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = complete(nn.utils.get_total_norm(grads))
    if largest and norm > largest:
        nn.utils.clip_grads_with_norm_(parameters, largest, norm)
    return norm
