"""Token shards by the modality that each file states."""

import os
from collections.abc import Sequence

from skyloom.core.errors import BadInput
from skyloom.tokens.store import Shards


def by_modality(paths: Sequence[str | os.PathLike]) -> dict[str, list[str]]:
    """Modality -> its shards. Raises BadInput for a file that states none."""
    tokens: dict[str, list[str]] = {}
    for path in paths:
        attrs = Shards([path]).attrs
        if "modality" not in attrs:
            raise BadInput(f"{path}: does not state its modality; delete it and rerun")
        tokens.setdefault(str(attrs["modality"]), []).append(str(path))
    return tokens


def one_by_modality(paths: Sequence[str | os.PathLike]) -> dict[str, str]:
    """Modality -> its only shard. Raises BadInput when there are two of one modality."""
    tokens = by_modality(paths)
    for modality, several in tokens.items():
        if len(several) > 1:
            raise BadInput(f"{several[1]}: a second shard of {modality}, besides {several[0]}; expected one a modality")
    return {modality: path for modality, (path,) in tokens.items()}
