"""Posteriors in the field's own format: a `qp` ensemble, each on the redshifts where it is not zero."""

import os
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.core.files import atomic

_ROWS = 4096
_MOST = 512  # redshifts of one posterior; of flatter ones only the most probable are kept


def blocks(path: str | os.PathLike) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """targetid (n,) and the probability of every bin (n, G), a few thousand spectra at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS, columns=["targetid", "posterior"]):
            values = batch.column("posterior")
            width = values.type.list_size
            flat = pa.Array.to_numpy(values.flatten(), zero_copy_only=False)
            yield batch.column("targetid").to_numpy(), flat.reshape(-1, width)


def write_qp(path: str | os.PathLike, targetid: np.ndarray, log_scale: np.ndarray, parts: Sequence[np.ndarray]) -> None:
    """Write p(z) of spectra (n,) given the probability of each bin of ln(1 + z) (n, G), as HDF5 that `qp.read` reads.

    Piecewise linear, on the redshifts of each spectrum where it has any probability (`interp_irregular`); what has no
    place in a table of this width is left out, the least probable first.
    """
    import qp

    probability = np.concatenate(parts) if parts else np.zeros((0, len(log_scale)))
    kept = probability > 0
    kept |= np.roll(kept, 1, 1) | np.roll(kept, -1, 1)  # zero on both sides of a peak
    width = int(min(max(kept.sum(1).max(initial=2), 2), _MOST))
    rank = np.argsort(np.where(kept, -probability, 1), axis=1, kind="stable")[:, :width]
    chosen = np.sort(rank, axis=1)
    z = np.expm1(log_scale)
    density = np.take_along_axis(probability, chosen, 1) / ((1 + z[chosen]) * (log_scale[1] - log_scale[0]))
    ensemble = qp.Ensemble(
        qp.interp_irregular,
        data={"xvals": z[chosen].astype("f4"), "yvals": density.astype("f4")},
        ancil={"targetid": targetid},
    )
    with atomic(path) as temporary:
        ensemble.write_to(str(temporary))
