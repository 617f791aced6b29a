"""Spectra: from coadded arms to one grid in shards."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats.desi import FLUX_UNIT, IVAR_UNIT, STEP, WAVELENGTH, Coadd, combine_arms, good_pixels, read_coadd
from skyloom.formats.fits_files import open_fits, read_table
from skyloom.tokens.galaxies import Quarantine, blocks, shard_rows
from skyloom.tokens.store import shard_writer

log = logging.getLogger(__name__)

UNITS = {"flux": FLUX_UNIT, "ivar": IVAR_UNIT}
_BLOCK = 256  # spectra in memory at once: about 40 MB


def tokenize_spectra(
    galaxies_path: str | os.PathLike,
    coadd_paths: Sequence[str | os.PathLike],
    shard: int,
    out_path: str | os.PathLike,
    quarantine_path: str | os.PathLike,
    compression: str = "none",
    minimum_good: float = 0.5,
) -> None:
    """Write the spectra of one shard of galaxies on the common grid; a few hundred spectra are in memory at once.

    Parameters
    ----------
    galaxies_path : galaxies.parquet
    coadd_paths : DESI coadds that hold (at least) the galaxies of this shard
    shard : number of the shard in column `shard`
    out_path : shard with targetid (N,), flux (N, 7781) and ivar (N, 7781); masked pixels have flux 0 and ivar 0
    quarantine_path : csv of the spectra left out, with the reason; those kept without an arm are counted in the log
    compression : see `store.shard_writer`
    minimum_good : least fraction of the 7781 pixels that must be finite with positive ivar, 0..1

    Raises
    ------
    BadInput : a coadd or the catalogue is broken, or they do not belong together.
    BadConfig : minimum_good out of range.
    """
    if not 0 <= minimum_good <= 1:
        raise BadConfig(f"minimum_good: {minimum_good} is not a fraction between 0 and 1")
    quarantine, blind = Quarantine(), Counter()
    attrs = {"modality": "spectrum", "wavelength_start": WAVELENGTH[0], "wavelength_step": STEP}
    with shard_writer(out_path, attrs, UNITS, compression) as writer:
        writer.declare(flux=WAVELENGTH.shape, ivar=WAVELENGTH.shape)
        for path, targetid, row in blocks(shard_rows(galaxies_path, shard, "spectrum"), coadd_paths, _BLOCK):
            if (row < 0).any():
                targetid, row = _found(path, targetid, quarantine)
                if not len(row):
                    continue
            coadd = read_coadd(path, rows=row)
            found = np.asarray(coadd.fibermap["TARGETID"])
            if not np.array_equal(found, targetid):
                first = np.flatnonzero(found != targetid)[0]
                raise BadInput(
                    f"{path}: FIBERMAP row {row[first]} has TARGETID {found[first]}, but {galaxies_path} expects"
                    f" {targetid[first]}; they were not made from the same files"
                )
            flux, ivar = combine_arms(coadd)
            good = quarantine.add(path, targetid, row, reasons(coadd, flux, ivar, minimum_good))
            writer.append(targetid[good], flux=flux[good], ivar=ivar[good])
            blind.update({(path.name, arm): int((bad & good).sum()) for arm, bad in blind_arms(coadd).items()})
        quarantine.write(quarantine_path)
    for (name, arm), count in sorted(blind.items()):
        if count:
            log.warning("%s: arm %s has no good pixel in %d spectra that are kept without it", name, arm, count)
    log.info("%s: %d spectra, %d quarantined", out_path, writer.rows, len(quarantine.rows))


def _found(path: Path, targetid: np.ndarray, quarantine: Quarantine) -> tuple[np.ndarray, np.ndarray]:
    """TARGETID (n,) and rows (n,) of those of `targetid` that a coadd has, by row; the others are quarantined."""
    with open_fits(path) as hdus:
        table = read_table(path, hdus, "FIBERMAP", {"TARGETID": "integers"}, columns=["TARGETID"])
    found = np.asarray(table["TARGETID"], np.int64)
    rows = np.flatnonzero(np.isin(found, targetid))
    absent = np.setdiff1d(targetid, found)
    if len(absent):
        why = np.full(len(absent), "not in the coadd that the redshift catalogue says")
        quarantine.add(path, absent, np.full(len(absent), -1), why)
    return found[rows], rows


def blind_arms(coadd: Coadd) -> dict[str, np.ndarray]:
    """For each arm, which of the N spectra have no good pixel in it, (N,) bool."""
    return {arm: ~good_pixels(coadd, arm).any(axis=1) for arm in coadd.flux}


def reasons(coadd: Coadd, flux: np.ndarray, ivar: np.ndarray, minimum_good: float) -> np.ndarray:
    """Why each spectrum cannot be used, (N,) str; empty for a good one. flux, ivar (N, W) as from `combine_arms`."""
    finite = np.zeros(len(flux), bool)
    for values in coadd.flux.values():
        finite |= np.isfinite(values).any(axis=1)
    fraction = (ivar > 0).mean(axis=1)
    enough = f"fewer than {minimum_good:g} of the pixels are good"
    checks = [(~finite, "flux is NaN everywhere"), (fraction == 0, "ivar is zero everywhere")]
    checks += [(fraction < minimum_good, enough), (~flux.any(axis=1), "flux is zero everywhere")]
    return np.select([bad for bad, _ in checks], [why for _, why in checks], default="")
