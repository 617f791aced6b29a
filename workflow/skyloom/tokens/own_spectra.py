"""A user's own spectra, which are on one grid already, in shards."""

import logging
import os
from collections.abc import Sequence

from skyloom.formats.file_names import sorted_paths
from skyloom.formats.spectrum_parts import read_part, read_spectra
from skyloom.tokens.galaxies import Quarantine, blocks, shard_rows
from skyloom.tokens.spectra import UNITS
from skyloom.tokens.store import shard_writer

log = logging.getLogger(__name__)

_BLOCK = 256  # spectra in memory at once: about 20 MB


def tokenize_own_spectra(
    galaxies_path: str | os.PathLike,
    part_paths: Sequence[str | os.PathLike],
    grid: dict,
    shard: int,
    out_path: str | os.PathLike,
    quarantine_path: str | os.PathLike,
    compression: str = "none",
    aside: bool = True,
) -> None:
    """Write the spectra of one shard; a few hundred are in memory at once.

    Parameters
    ----------
    galaxies_path : galaxies.parquet
    part_paths : part files (`skyloom.formats.spectrum_parts`) of the galaxies of this shard
    grid : `start`, `step`, `pixels` of the survey
    shard : number of the shard in column `shard`
    out_path : shard with targetid (N,), flux (N, P) and ivar (N, P), as `skyloom.tokens.spectra` writes it
    quarantine_path : csv of the spectra of these parts that are not in the catalogue, with the reason; they have no
        targetid (-1), a row of -1 stands for a whole file
    compression : see `store.shard_writer`
    aside : list what is not in the catalogue; of several shards of one part only the first does

    Raises
    ------
    BadInput : a part or the catalogue is broken, or they do not belong together.
    """
    quarantine, shape = Quarantine(), (grid["pixels"],)
    attrs = {"modality": "spectrum", "wavelength_start": grid["start"], "wavelength_step": grid["step"]}
    with shard_writer(out_path, attrs, UNITS, compression) as writer:
        writer.declare(flux=shape, ivar=shape)
        for path, targetid, row in blocks(shard_rows(galaxies_path, shard, "part"), part_paths, _BLOCK):
            flux, ivar = read_spectra(path, row, grid)
            writer.append(targetid, flux=flux, ivar=ivar)
    for path in sorted_paths(part_paths) if aside else ():
        aside = read_part(path)[1]
        for file, row, reason in zip(aside["file"], aside["row"].tolist(), aside["reason"], strict=True):
            quarantine.rows.append((-1, file, row, reason))
    quarantine.write(quarantine_path)
    log.info("%s: %d spectra, %d quarantined", out_path, writer.rows, len(quarantine.rows))
