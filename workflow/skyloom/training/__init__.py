"""Training and embedding: deterministic, resumable, with or without torchrun; `python -m skyloom.training --help`."""


def train(*arguments, **keywords) -> None:
    """See `skyloom.training.loop.train` (imported when called: models import parts of this package, and it imports them)."""
    from skyloom.training import loop

    loop.train(*arguments, **keywords)
