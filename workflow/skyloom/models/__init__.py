"""The models, a package each: what it is in its own module, its network beside it."""
