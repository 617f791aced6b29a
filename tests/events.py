"""Waiting for what another process does, never for a time."""

import time
from collections.abc import Callable


def wait_until(happened: Callable[[], bool], what: str, deadline: float = 1800.0) -> None:
    """Return as soon as `happened()` is true; fail after `deadline` seconds, which only a broken program reaches."""
    end = time.monotonic() + deadline
    while not happened():
        assert time.monotonic() < end, f"{what}: not within {deadline:.0f} s"
        time.sleep(0.02)
