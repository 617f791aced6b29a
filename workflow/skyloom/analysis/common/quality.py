"""How good spectra are."""

from collections.abc import Sequence

import numpy as np

from skyloom.tokens.store import Shards

_ROWS = 512  # spectra read at once


def signal_to_noise(paths: Sequence[str], targetid: np.ndarray) -> np.ndarray | None:
    """The median of flux * sqrt(ivar) over the pixels (n,) of each galaxy's spectrum; NaN where it has none.

    None when there are no shards, or these hold no spectra. 512 spectra are held at a time.
    """
    shards = Shards(paths) if paths else None
    if shards is None or not {"flux", "ivar"} <= set(shards.names) or len(shards.shapes["ivar"]) != 1:
        return None
    rows, found = shards.rows(targetid), np.full(len(targetid), np.nan)
    for some in np.array_split(np.flatnonzero(rows >= 0), np.ceil((rows >= 0).sum() / _ROWS).clip(min=1)):
        read = shards.read(rows[some], ["flux", "ivar"])
        good = read["ivar"] > 0
        values = np.where(good, read["flux"] * np.sqrt(np.where(good, read["ivar"], 0)), np.nan)
        measured = good.any(axis=1)
        found[some[measured]] = np.nanmedian(values[measured], axis=1)
    shards.close()
    return found
