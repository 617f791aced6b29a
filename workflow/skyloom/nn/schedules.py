"""Learning rate and weight decay as pure functions of the step."""

import math


def warmup_cosine(step: int, steps: int, warmup: int, peak: float, floor: float = 0.0) -> float:
    """Learning rate of step 0..steps-1: a line up to `peak` in `warmup` steps, then a cosine down to `floor`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return cosine((step - warmup) / max(1, steps - warmup), peak, floor)


def cosine(progress: float, start: float, end: float) -> float:
    """From `start` at progress 0 to `end` at progress 1 along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * min(1.0, progress))) / 2
