"""What tests of training share: changing a configuration, reading metrics."""

import json

KINDS = ("specformer", "astrodino", "astroclip")


def change(config, **parts):
    """A config with some keys of `model` and `training` changed."""
    return {**config, **{part: {**config.get(part, {}), **values} for part, values in parts.items()}}


def rows(folder, split=None):
    """Rows of metrics, of one split or all."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in lines if split in (None, row["split"])]
