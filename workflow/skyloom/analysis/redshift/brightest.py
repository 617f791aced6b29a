"""The simplest way to a redshift: the most significant emission line is H-alpha.

What a spectrum with a single line invites one to say, and what any method must beat.
"""

from collections.abc import Sequence

import numpy as np
import torch

from skyloom.nn.log_grid import LogGrid, Rebin, running_mean
from skyloom.tokens.store import Shards

H_ALPHA = 6564.6  # Angstrom, vacuum
BIN = 125.0  # km/s
WIDTHS = (3, 5, 9)  # bins of the lines looked for
CONTINUUM = 151  # bins of the running mean that is taken off
_BLOCK = 256  # spectra at once


def redshifts(tokens: Sequence[str], targetid: np.ndarray) -> np.ndarray:
    """Redshifts (n,) of the spectra `targetid` (n,) of token shards; NaN where a spectrum is not there."""
    shards = Shards(tokens)
    start, step = (float(shards.attrs[f"wavelength_{name}"]) for name in ("start", "step"))
    (pixels,) = shards.shapes["flux"]
    grid = LogGrid.over(start - step / 2, start + step * (pixels - 0.5), BIN)
    rebin = Rebin(start, step, pixels, grid)
    rows = shards.rows(targetid)
    found = np.full(len(targetid), np.nan)
    there = np.flatnonzero(rows >= 0)
    for some in np.array_split(there, max(1, -(-len(there) // _BLOCK))):
        if len(some):
            data = {
                name: torch.from_numpy(values) for name, values in shards.read(rows[some], ["flux", "ivar"]).items()
            }
            place = brightest(*rebin(data["flux"], data["ivar"]))
            found[some] = grid.centres[place.numpy()] / H_ALPHA - 1
    return found


def brightest(flux: torch.Tensor, ivar: torch.Tensor) -> torch.Tensor:
    """Bin (n,) in the middle of the most significant excess over the continuum of spectra (n, bins)."""
    near, _ = running_mean(flux, ivar, CONTINUUM)
    significance = []
    for width in WIDTHS:
        mean, weight = running_mean(flux - near, ivar, width)
        significance.append(mean * weight.sqrt())
    return torch.stack(significance).amax(0).argmax(1)
