"""What the rules of the token stage do with the shards of a modality, one after the other."""

import json
from collections.abc import Sequence
from pathlib import Path

from skyloom.tokens.statistics import merge_statistics, shard_statistics


def gather(folder: Path, shards: Sequence[Path], quarantine: Sequence[Path], name: str) -> dict:
    """Write and read the statistics of `shards`, whose galaxies have their splits in `folder`."""
    sums = [path.with_suffix(".sums.json") for path in shards]
    for shard, path in zip(shards, sums, strict=True):
        shard_statistics(shard, folder / "splits.parquet", path)
    out = folder / f"{name}.json"
    merge_statistics(sums[::-1], quarantine, out, folder / "quarantine.csv")
    return json.loads(out.read_text())
