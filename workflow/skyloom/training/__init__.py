"""Training: deterministic, resumable, with or without torchrun; `python -m skyloom.training --help`."""
