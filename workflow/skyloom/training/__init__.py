"""Training and embedding: deterministic, resumable, with or without torchrun; `python -m skyloom.training --help`."""


def train(*arguments, **keywords) -> None:
    """See `skyloom.training.loop.train`; imported when called, since it needs the models and they need this package."""
    from skyloom.training import loop

    loop.train(*arguments, **keywords)
