"""What is told of a training while it runs; nothing of it goes into results."""

import time


def brief(means: dict[str, float]) -> str:
    """The numbers besides the loss, for the log."""
    return " ".join(f"{name} {value:.3g}" for name, value in means.items() if name != "loss")


class Clock:
    """Rate and time left, for the log."""

    def __init__(self, step: int, steps: int, batch_size: int):
        self.first, self.steps, self.batch_size, self.start = step, steps, batch_size, time.monotonic()

    def progress(self, step: int) -> str:
        elapsed = time.monotonic() - self.start
        rate = (step - self.first) / max(elapsed, 1e-9)
        left = (self.steps - step) / max(rate, 1e-9)
        return f"step {step}/{self.steps} {rate * self.batch_size:.0f} samples/s, {left:.0f} s left,"
