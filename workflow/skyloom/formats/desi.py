"""DESI: coadded spectra, redrock redshifts and the redshift catalogue, read and written in the archive's format.

Spectra come in three arms, b, r and z, on one 0.8 Angstrom grid that overlaps between arms. Flux is in units of
1e-17 erg/s/cm2/Angstrom, ivar is the inverse variance of that. HDUs and columns are found by name, never by position.
Source: the DESI data model (desidatamodel.readthedocs.io), releases EDR "fuji" and DR1 "iron".
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from astropy.table import Column, Table, vstack

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.formats.fits_files import (
    check_rows,
    encoded,
    hdu_named,
    header_keywords,
    image_hdu,
    open_fits,
    primary_hdu,
    read_image_rows,
    read_table,
    reserve_image,
    table_blocks,
    table_hdu,
    write_fits,
)

STEP = 0.8
"""Angstrom a pixel, in every arm."""
ARMS = {"b": (3600.0, 2751), "r": (5760.0, 2326), "z": (7520.0, 2881)}
"""Arm -> (first wavelength in Angstrom, number of pixels)."""
WAVELENGTH = 3600.0 + STEP * np.arange(7781)
"""(7781,) Angstrom: the three arms together, 3600 to 9824."""
NDIAG = 11
"""Diagonals of the resolution matrix."""
FLUX_UNIT = "10**-17 erg/(s cm2 Angstrom)"
IVAR_UNIT = "10**+34 (s2 cm4 Angstrom2) / erg2"
# HDUs of an arm after its wavelength: type, unit
_ARM_HDUS = {"flux": ("f4", FLUX_UNIT), "ivar": ("f4", IVAR_UNIT), "mask": ("i4", None), "resolution": ("f4", None)}

FIBERMAP_COLUMNS = {
    "TARGETID": "integers",
    "COADD_FIBERSTATUS": "integers",
    "TARGET_RA": "numbers",
    "TARGET_DEC": "numbers",
    "OBJTYPE": "text",
}
REDSHIFT_COLUMNS = {
    "TARGETID": "integers",
    "Z": "numbers",
    "ZERR": "numbers",
    "ZWARN": "integers",
    "SPECTYPE": "text",
    "DELTACHI2": "numbers",
}
ZCATALOG_COLUMNS = {**REDSHIFT_COLUMNS, **FIBERMAP_COLUMNS}
_FLUX_BANDS = ("G", "R", "Z", "W1", "W2")
UNITS = {
    **{f"TARGET_{axis}": "deg" for axis in ("RA", "DEC")},
    **{f"{kind}_{band}": "nanomaggy" for kind in ("FLUX", "FIBERFLUX", "FIBERTOTFLUX") for band in _FLUX_BANDS},
    **{f"FLUX_IVAR_{band}": "nanomaggy^-2" for band in _FLUX_BANDS},
    "EBV": "mag",
    "SHAPE_R": "arcsec",
    "COADD_EXPTIME": "s",
    "EXPTIME": "s",
    "MJD": "d",
}
"""Units as the archive writes them (astropy spells nanomaggy differently)."""
# Redrock columns that nobody here uses, written so that the file has its documented form.
_REDROCK_DEFAULTS = {
    "TARGETID": None,
    "Z": None,
    "ZERR": None,
    "ZWARN": None,
    "CHI2": np.zeros((), "f8"),
    "COEFF": np.zeros(10, "f8"),
    "NPIXELS": np.zeros((), "i8"),
    "SPECTYPE": None,
    "SUBTYPE": np.zeros((), "S20"),
    "NCOEFF": np.zeros((), "i8"),
    "DELTACHI2": None,
}
_EXPOSURE_COLUMNS = {"NIGHT": "i4", "EXPID": "i4", "MJD": "f8", "TILEID": "i4", "PETAL_LOC": "i2", "FIBER": "i4"}


@dataclass
class Coadd:
    """Coadded spectra of N targets, one array an arm; row i of every array is row i of `fibermap`."""

    fibermap: Table
    """N rows: TARGETID, TARGET_RA, TARGET_DEC, COADD_FIBERSTATUS, OBJTYPE, and the archive's other columns."""
    wavelength: dict[str, np.ndarray]
    """(n_arm,) f8, Angstrom."""
    flux: dict[str, np.ndarray]
    """(N, n_arm) f4, 1e-17 erg/s/cm2/Angstrom."""
    ivar: dict[str, np.ndarray]
    """(N, n_arm) f4, inverse variance of flux."""
    mask: dict[str, np.ndarray]
    """(N, n_arm) i4, not 0 where the pixel is bad."""
    resolution: dict[str, np.ndarray] | None = None
    """(N, 11, n_arm) f4, diagonals of the resolution matrix; None when not asked for."""
    header: dict[str, object] = field(default_factory=dict)
    """Keywords of HDU 0: SPGRP, SPGRPVAL, HPXPIXEL, HPXNSIDE, HPXNEST, SURVEY, PROGRAM."""


def arm_wavelength(arm: str) -> np.ndarray:
    """(n_arm,) Angstrom."""
    start, npix = ARMS[arm]
    return start + STEP * np.arange(npix)


def healpix_header(hpix: int, survey: str, program: str) -> dict[str, object]:
    """The HDU 0 keywords of a file that holds one HEALPix pixel (nside 64, nested)."""
    return {
        "SPGRP": "healpix",
        "SPGRPVAL": int(hpix),
        "HPXPIXEL": int(hpix),
        "HPXNSIDE": 64,
        "HPXNEST": True,
        "SURVEY": survey,
        "PROGRAM": program,
        "LONGSTRN": "OGIP 1.0",
    }


def read_coadd(path: str | os.PathLike, rows: Sequence[int] | None = None, resolution: bool = False) -> Coadd:
    """Read spectra of a coadd file.

    Parameters
    ----------
    path
        A ``coadd-*.fits``.
    rows
        (n,) rows in the order wanted, all when None. Only these are read from the disk.
    resolution
        Read the resolution matrices too (three quarters of the file).

    Raises
    ------
    BadInput
        One line naming the HDU or column that is missing, truncated, or of the wrong type, shape or wavelength grid.
    """
    with open_fits(path) as hdus:
        header = header_keywords(hdus[0].header)
        total = int(hdu_named(path, hdus, "FIBERMAP").header.get("NAXIS2", 0))
        rows = check_rows(path, rows, total)
        coadd = Coadd(read_table(path, hdus, "FIBERMAP", FIBERMAP_COLUMNS, rows), {}, {}, {}, {}, header=header)
        if resolution:
            coadd.resolution = {}
        for arm, (_, npix) in ARMS.items():
            coadd.wavelength[arm] = _read_wavelength(path, hdus, arm)
            shape = (total, npix)
            coadd.flux[arm] = _read_image(path, hdus, f"{arm.upper()}_FLUX", "f", shape, rows, "f4")
            coadd.ivar[arm] = _read_image(path, hdus, f"{arm.upper()}_IVAR", "f", shape, rows, "f4")
            coadd.mask[arm] = _read_image(path, hdus, f"{arm.upper()}_MASK", "iu", shape, rows, "i4")
            if resolution:
                shape = (total, NDIAG, npix)
                coadd.resolution[arm] = _read_image(path, hdus, f"{arm.upper()}_RESOLUTION", "f", shape, rows, "f4")
    return coadd


def _read_wavelength(path: str | os.PathLike, hdus: fits.HDUList, arm: str) -> np.ndarray:
    name, expected = f"{arm.upper()}_WAVELENGTH", arm_wavelength(arm)
    values = _read_image(path, hdus, name, "f", expected.shape, None, "f8")
    if not np.allclose(values, expected, rtol=0, atol=1e-4):
        raise BadInput(
            f"{path}: HDU {name} runs {values[0]:.2f}..{values[-1]:.2f} Angstrom, "
            f"expected {expected[0]:.2f}..{expected[-1]:.2f} in steps of {STEP}"
        )
    return values


def _read_image(
    path: str | os.PathLike,
    hdus: fits.HDUList,
    name: str,
    kinds: str,
    shape: tuple[int, ...],
    rows: np.ndarray | None,
    dtype: str,
) -> np.ndarray:
    hdu = hdu_named(path, hdus, name)
    if not hdu.is_image:
        raise BadInput(f"{path}: HDU {name} is a table, expected an image")
    if hdu.shape != shape:
        raise BadInput(
            f"{path}: HDU {name} has shape {hdu.shape}, expected {shape} (rows of FIBERMAP, pixels of the arm)"
        )
    stored = np.dtype(fits.BITPIX2DTYPE[hdu.header["BITPIX"]])
    if stored.kind not in kinds:
        raise BadInput(f"{path}: HDU {name} holds {stored.name}, expected {'floats' if kinds == 'f' else 'integers'}")
    return np.array(hdu.data, dtype) if rows is None else read_image_rows(hdu, rows, dtype)


class CoaddWriter:
    """Append blocks of spectra to an open file that will have `total` of them; use through `coadd_writer`."""

    def __init__(self, file: BinaryIO, total: int, header: Mapping[str, object], resolution: bool):
        self._file, self._total, self._header, self._resolution = file, total, header, resolution
        self._fibermaps: list[Table] = []
        self._scores: list[Table] = []
        self._begin: dict[str, int] = {}  # HDU name -> where its data begin, in bytes
        self._count = 0

    def append(self, coadd: Coadd) -> None:
        """Append the spectra of `coadd`; ValueError if the arrays do not fit, each other or the file."""
        _check_shapes(coadd)
        if self._count + len(coadd.fibermap) > self._total:
            raise ValueError(f"{self._count + len(coadd.fibermap)} spectra for a file of {self._total}")
        if not self._begin:
            self._lay_out(_with_bytes(coadd.fibermap))
        for arm in ARMS:
            for kind, (dtype, _) in _ARM_HDUS.items():
                if kind != "resolution" or self._resolution:
                    values = np.ascontiguousarray(getattr(coadd, kind)[arm], np.dtype(dtype).newbyteorder(">"))
                    row_bytes = values.itemsize * int(np.prod(values.shape[1:]))
                    self._file.seek(self._begin[f"{arm}_{kind}".upper()] + self._count * row_bytes)
                    self._file.write(values.data)
        self._fibermaps.append(_with_bytes(coadd.fibermap))
        self._scores.append(scores(coadd))
        self._count += len(coadd.fibermap)

    def _lay_out(self, fibermap: Table) -> None:
        """Write the headers and leave room for the tables before the arms, whose size their columns tell."""
        self._file.write(primary_hdu(self._header).header.tostring().encode("ascii"))
        self._tables = self._file.tell()
        room = Table({name: np.zeros(self._total, fibermap[name].dtype) for name in fibermap.colnames})
        self._file.write(self._encoded_tables(room))
        for arm, (_, npix) in ARMS.items():
            self._file.seek(0, os.SEEK_END)
            self._file.write(encoded(image_hdu(arm_wavelength(arm), f"{arm.upper()}_WAVELENGTH", "Angstrom")))
            for kind, (dtype, unit) in _ARM_HDUS.items():
                if kind != "resolution" or self._resolution:
                    shape = (self._total, NDIAG, npix) if kind == "resolution" else (self._total, npix)
                    name = f"{arm}_{kind}".upper()
                    self._begin[name] = reserve_image(self._file, shape, dtype, name, unit)

    def _encoded_tables(self, fibermap: Table) -> bytes:
        tables = {"FIBERMAP": fibermap, "EXP_FIBERMAP": _exposures(fibermap)}
        return b"".join(encoded(table_hdu(table, name, UNITS)) for name, table in tables.items())

    def finish(self) -> None:
        """Write the tables."""
        if self._count != self._total or not self._begin:
            raise ValueError(f"{self._count} spectra for a file of {self._total}")
        self._file.seek(self._tables)
        self._file.write(self._encoded_tables(vstack(self._fibermaps, "exact", metadata_conflicts="silent")))
        self._file.seek(0, os.SEEK_END)
        self._file.write(encoded(table_hdu(vstack(self._scores, "exact"), "SCORES", {})))


@contextlib.contextmanager
def coadd_writer(
    path: str | os.PathLike, total: int, header: Mapping[str, object], resolution: bool = False
) -> Iterator[CoaddWriter]:
    """Yield a writer of a coadd file of `total` spectra as the archive has them: FIBERMAP, EXP_FIBERMAP, five HDUs an
    arm, SCORES; the file appears when the ``with`` block ends well.

    EXP_FIBERMAP has one exposure a target. Only spectra of one `append` are in memory, and how they are divided into
    blocks does not change the file. RESOLUTION HDUs are written if `resolution`.
    """
    with atomic(path) as temporary, open(temporary, "w+b") as file:
        made = CoaddWriter(file, total, header, resolution)
        yield made
        made.finish()


def write_coadd(path: str | os.PathLike, coadd: Coadd) -> None:
    """Write a whole file of spectra in memory, with RESOLUTION if they have it; see `CoaddWriter.append`."""
    with coadd_writer(path, len(coadd.fibermap), coadd.header, coadd.resolution is not None) as file:
        file.append(coadd)


def _with_bytes(table: Table) -> Table:
    """`table` with text as bytes of the width of its type, so that every block of rows has the same columns."""
    table = table.copy(copy_data=False)
    for name in table.colnames:
        if table[name].dtype.kind == "U":
            table[name] = table[name].astype(f"S{table[name].dtype.itemsize // 4}")
    return table


def _check_shapes(coadd: Coadd) -> None:
    for arm, (_, npix) in ARMS.items():
        if not np.allclose(coadd.wavelength[arm], arm_wavelength(arm), rtol=0, atol=1e-4):
            raise ValueError(f"arm {arm}: the wavelengths are not the grid of DESI")
        for name in ("flux", "ivar", "mask"):
            shape = getattr(coadd, name)[arm].shape
            if shape != (len(coadd.fibermap), npix):
                raise ValueError(f"arm {arm}: {name} has shape {shape}, expected {(len(coadd.fibermap), npix)}")


def _exposures(fibermap: Table) -> Table:
    """One exposure a target, with what the fibermap knows of it."""
    exposures = Table({"TARGETID": np.asarray(fibermap["TARGETID"], "i8")})
    for name, dtype in _EXPOSURE_COLUMNS.items():
        exposures[name] = _column_or_zero(fibermap, name, dtype)
    exposures["EXPTIME"] = _column_or_zero(fibermap, "COADD_EXPTIME", "f8")
    exposures["FIBERSTATUS"] = _column_or_zero(fibermap, "COADD_FIBERSTATUS", "i4")
    return exposures


def _column_or_zero(table: Table, name: str, dtype: str) -> np.ndarray:
    return np.asarray(table[name], dtype) if name in table.colnames else np.zeros(len(table), dtype)


SCORE_RANGE = {"b": (4000.0, 5800.0), "r": (5800.0, 7600.0), "z": (7600.0, 9800.0)}
"""Angstrom over which the scores of an arm are taken (desispec.specscore)."""


def scores(coadd: Coadd) -> Table:
    """The SCORES table: integrated flux, median flux and median signal to noise (per sqrt Angstrom) of each arm."""
    table = Table({"TARGETID": np.asarray(coadd.fibermap["TARGETID"], "i8")})
    for arm, (low, high) in SCORE_RANGE.items():
        wavelength = coadd.wavelength[arm]
        part = slice(*np.searchsorted(wavelength, (low, high)))
        flux, ivar = coadd.flux[arm][:, part], coadd.ivar[arm][:, part]
        snr = np.sqrt(np.maximum(ivar, 0) / STEP) * flux
        table[f"INTEG_COADD_FLUX_{arm.upper()}"] = (flux.sum(axis=1, dtype="f8") * STEP).astype("f4")
        table[f"MEDIAN_COADD_FLUX_{arm.upper()}"] = _row_median(flux)
        table[f"MEDIAN_COADD_SNR_{arm.upper()}"] = _row_median(snr)
    return table


def _row_median(values: np.ndarray) -> np.ndarray:
    return np.median(values, axis=1).astype("f4")


def combine_arms(coadd: Coadd) -> tuple[np.ndarray, np.ndarray]:
    """Combine the arms to one spectrum by inverse variance.

    Returns
    -------
    flux, ivar : (N, 7781) f4 on WAVELENGTH
        A pixel that is masked, not finite or without variance counts for nothing; where no arm has a good pixel both
        are 0. Agrees with ``desispec.coaddition.coadd_cameras``, which ignores the mask (in released coadds masked
        pixels have ivar 0, so nothing differs) and keeps the flux of pixels without ivar.
    """
    total = len(coadd.fibermap)
    flux = np.zeros((total, WAVELENGTH.size), "f4")
    ivar = np.zeros((total, WAVELENGTH.size), "f4")
    for start in range(0, total, 128):  # float64 sums of a block of rows at a time: memory stays at the result's size
        block = slice(start, start + 128)
        flux[block], ivar[block] = _combine_block(coadd, block)
    return flux, ivar


def good_pixels(coadd: Coadd, arm: str, rows: slice = slice(None)) -> np.ndarray:
    """Which pixels (n, W) of an arm are not masked and have a finite flux and a finite, positive ivar."""
    flux, ivar = coadd.flux[arm][rows], coadd.ivar[arm][rows]
    return (coadd.mask[arm][rows] == 0) & np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)


def _combine_block(coadd: Coadd, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    weighted = np.zeros((len(coadd.fibermap[rows]), WAVELENGTH.size))
    weight = np.zeros_like(weighted)
    for arm, (first, npix) in ARMS.items():
        begin = round((first - WAVELENGTH[0]) / STEP)
        flux, ivar, good = coadd.flux[arm][rows], coadd.ivar[arm][rows], good_pixels(coadd, arm, rows)
        good_ivar = np.where(good, ivar, 0).astype("f8")
        # float64: the product of two float32 is exact, so a pixel of one arm comes out with exactly its own flux
        weighted[:, begin : begin + npix] += good_ivar * np.where(good, flux, 0)
        weight[:, begin : begin + npix] += good_ivar
    return np.divide(weighted, weight, out=weighted, where=weight > 0), weight


def read_redrock(path: str | os.PathLike) -> Table:
    """The REDSHIFTS table of a ``redrock-*.fits``: at least the columns of REDSHIFT_COLUMNS."""
    with open_fits(path) as hdus:
        return read_table(path, hdus, "REDSHIFTS", REDSHIFT_COLUMNS)


def write_redrock(
    path: str | os.PathLike, redshifts: Table, fibermap: Table, header: Mapping[str, object] | None = None
) -> None:
    """Write a redrock file: REDSHIFTS, FIBERMAP, EXP_FIBERMAP, TSNR2.

    `redshifts` needs the columns of REDSHIFT_COLUMNS; the format's other columns are zero unless given. Columns TSNR2_*
    of it go to the TSNR2 table.
    """
    table, signal = Table(), Table({"TARGETID": np.asarray(redshifts["TARGETID"], "i8")})
    for name, default in _REDROCK_DEFAULTS.items():
        if name in redshifts.colnames:
            table[name] = redshifts[name]
        elif default is None:
            raise ValueError(f"redshifts has no column {name}")
        else:
            table[name] = Column(np.broadcast_to(default, (len(redshifts), *default.shape)).copy())
    for name in redshifts.colnames:
        if name.startswith("TSNR2_"):
            signal[name] = np.asarray(redshifts[name], "f4")
    hdus = [
        primary_hdu(header or {}),
        table_hdu(table, "REDSHIFTS", {}),
        table_hdu(fibermap, "FIBERMAP", UNITS),
        table_hdu(_exposures(fibermap), "EXP_FIBERMAP", UNITS),
        table_hdu(signal, "TSNR2", {}),
    ]
    write_fits(path, hdus)


def read_zcatalog(path: str | os.PathLike, columns: Sequence[str] | None = None) -> Table:
    """The ZCATALOG table of a ``zall-pix-*.fits``, all columns or only `columns` (millions of rows: name them)."""
    with open_fits(path) as hdus:
        return read_table(path, hdus, "ZCATALOG", ZCATALOG_COLUMNS, columns=columns)


def zcatalog_blocks(path: str | os.PathLike, columns: Sequence[str] | None = None) -> Iterator[Table]:
    """The ZCATALOG table of a ``zall-pix-*.fits`` a block of rows at a time: that of DR1 has 28 million of 150
    columns, 20 GB."""
    return table_blocks(path, "ZCATALOG", ZCATALOG_COLUMNS, columns=columns)


def write_zcatalog(path: str | os.PathLike, table: Table) -> None:
    """Write a redshift catalogue: HDU 1, ZCATALOG."""
    missing = [name for name in ZCATALOG_COLUMNS if name not in table.colnames]
    if missing:
        raise ValueError(f"a redshift catalogue needs the columns {', '.join(missing)}")
    write_fits(path, [primary_hdu({}), table_hdu(table, "ZCATALOG", UNITS)])
