"""One reader for every form of file, found by what the file holds: `read`.

==================  ====================================================================================================
table               FITS, HDF5, NumPy or Parquet with a column map, or with names that speak for themselves (`GUESSES`)
sdss                ``spec-PLATE-MJD-FIBER.fits``: HDU COADD (flux, loglam, ivar, and_mask) and SPECOBJ or SPALL
desi                coadds of DESI, healpix or tile; sky and broken fibres are put aside, a redshift they have none
multimodal_universe HDF5 (``spectrum_flux``, ...), Parquet (``spectrum.flux``, ...) or npz of the Multimodal Universe:
                    padded pixels have wavelength -1, the mask is true for bad ones; the version of DESI's EDR that has
                    ``spectrum_lambda_min`` and ``_max`` instead of wavelengths is read too
astroclip           HDF5 of AstroCLIP: groups 0 to 9 with spectra (N, 7781, 1), redshifts, targetids; or the data set of
                    the same as Parquet (spectrum, redshift, targetid). DESI's pixels, no ivar
galaxiesml_spectra  HDF5 of GalaxiesML-Spectra (`skyloom.formats.galaxiesml_spectra`)
==================  ====================================================================================================

Sources: data.sdss.org/datamodel (spec); desidatamodel.readthedocs.io (coadd); github.com/MultimodalUniverse
(scripts/{desi,sdss}/build_parent_sample.py); github.com/PolymathicAI/AstroCLIP (cross_match/export_data.py and
datasets/legacy_survey.py).
"""

import logging
import os
from collections.abc import Iterator, Mapping

import numpy as np

from skyloom.core.errors import BadInput, SkyloomError
from skyloom.formats import desi, galaxiesml_spectra, published_splits
from skyloom.formats.fits_files import MEND, one_row, open_fits
from skyloom.formats.hdf5_files import group_number
from skyloom.formats.spectrum_files.sources import FITS, Source, open_source
from skyloom.formats.spectrum_files.spectra import NOISE, NUMBERS, Spectra, angstrom, blank, classes
from skyloom.formats.spectrum_files.tables import BLOCK, read_table

log = logging.getLogger(__name__)

GUESSES: dict[str, tuple[str, ...]] = {
    "flux": ("flux", "spectrum_flux", "spectrum.flux", "f_lambda", "flam", "signal"),
    "ivar": ("ivar", "spectrum_ivar", "spectrum.ivar", "flux_ivar", "invvar"),
    "error": ("error", "err", "flux_error", "flux_err", "fluxerr", "sigma", "uncertainty", "noise"),
    "variance": ("variance", "var", "flux_var"),
    "wavelength": ("wavelength", "wave", "lambda", "lam", "spectrum_lambda", "spectrum.lambda"),
    "log_wavelength": ("loglam", "log_wavelength", "log_wave", "loglambda"),
    "mask": ("mask", "spectrum_mask", "spectrum.mask"),
    "identifier": ("targetid", "object_id", "objid", "identifier", "id", "source_id", "specobjid", "name"),
    "redshift": ("z", "redshift", "z_true"),
    "zerr": ("zerr", "z_err"),
    "class": ("class", "spectype"),
    "ra": ("ra", "target_ra", "plug_ra"),
    "dec": ("dec", "target_dec", "plug_dec"),
    **{name: (name,) for name in ("flux_g", "flux_r", "flux_z", "ebv")},
}
"""Names, in any case, by which a column is known when there is no column map."""

SDSS_BAD = 1 << 18 | 1 << 22 | 1 << 23 | 1 << 24
"""Bits of SPPIXMASK that are bad in all exposures: FULLREJECT, NOSKY, BRIGHTSKY, NODATA. The others of and_mask, as
LOWFLAT, are true of most pixels of many good spectra."""
_SDSS_COLUMNS = ("flux", "loglam", "ivar", "and_mask")
_SDSS_NAMES = {"ra": ("PLUG_RA", "FIBER_RA", "RA"), "dec": ("PLUG_DEC", "FIBER_DEC", "DEC")}
_MULTIMODAL = ("spectrum_flux", "spectrum.flux")
_ASTROCLIP = {
    "flux": {"column": "spectra"},
    "redshift": {"column": "redshifts"},
    "identifier": {"column": "targetids"},
    "wavelength": {"start": float(desi.WAVELENGTH[0]), "step": desi.STEP},
}


def read(
    path: str | os.PathLike, form: str = "auto", columns: Mapping[str, Mapping] | None = None
) -> Iterator[Spectra]:
    """Yield the spectra of a file, a few hundred at a time.

    Parameters
    ----------
    form : one of the forms above, or "auto"
    columns : of a table: quantity -> place (`skyloom.surveys.common.places.ColumnMap`)

    Raises
    ------
    BadInput : the file cannot be read, or is not of this form.
    BadConfig : a unit that cannot be.
    """
    try:
        yield from _read(path, form, columns)
    except (SkyloomError, MemoryError):
        raise
    except Exception as error:  # damage inside a file makes libraries raise anything
        log.exception("%s", path)
        words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BadInput(f"{path}: cannot be read ({words}); {MEND}") from error


def _read(path, form: str, columns: Mapping[str, Mapping] | None) -> Iterator[Spectra]:
    form = recognised(path) if form == "auto" and not columns else form
    if form == "sdss":
        return _read_sdss(path)
    if form == "desi":
        return _read_desi(path)
    if form == "multimodal_universe":
        return _read_multimodal(path)
    if form == "astroclip":
        return _read_astroclip(path)
    if form == "galaxiesml_spectra":
        return _read_galaxiesml_spectra(path)
    return read_table(path, columns or _guessed(path))


def recognised(path: str | os.PathLike) -> str:
    """The form of a file, by what it holds; "table" for one that is none of the others. Raises BadInput."""
    if str(path).lower().endswith(FITS):
        with open_fits(path, whole=False) as hdus:
            if _is_sdss(hdus):
                return "sdss"
    with open_source(path) as source:
        names = set(source.names)
        if {"B_FLUX", "R_FLUX", "Z_FLUX"} <= names:
            return "desi"
        if names & set(_MULTIMODAL):
            return "multimodal_universe"
        if {"spectrum", "redshift", "targetid"} <= names or any(name.endswith("/targetids") for name in names):
            return "astroclip"
        if {"image", "targetid", "spectrum/flux"} <= names:
            return "galaxiesml_spectra"
    return "table"


def _guessed(path: str | os.PathLike) -> dict[str, Mapping]:
    """A column map from names that speak for themselves. Raises BadInput without a flux among them."""
    with open_source(path) as source:
        found = _by_name(source, GUESSES)
        if "flux" not in found:
            raise source.missing("of flux (no columns.flux was given)")
    noise = next((name for name in NOISE if name in found), None)
    found = {name: place for name, place in found.items() if name not in NOISE or name == noise}
    if place := found.pop("log_wavelength", None):
        found.setdefault("wavelength", {**place, "scale": "log10"})
    log.info("%s: columns %s", path, ", ".join(f"{name}: {place['column']}" for name, place in found.items()))
    return found


def _by_name(source: Source, names: Mapping[str, tuple[str, ...]]) -> dict[str, dict]:
    there = {name.lower(): name for name in reversed(source.names)}
    found = {}
    for quantity, known in names.items():
        if name := next((there[name] for name in known if name in there), None):
            found[quantity] = {"column": name}
    return found


def _read_sdss(path) -> Iterator[Spectra]:
    with open_fits(path, whole=False) as hdus:
        if not _is_sdss(hdus):
            raise BadInput(f"{path}: HDU 1 is not COADD with {', '.join(_SDSS_COLUMNS)}, expected an SDSS spec file")
        data = hdus[1].data
        flux, ivar = (np.asarray(data[name], np.float64)[None] for name in ("flux", "ivar"))
        mask = np.asarray(data["and_mask"], np.int64)[None]
        wavelength = angstrom(np.asarray(data["loglam"], np.float64), "Angstrom", "log10", "vacuum")
        known = _sdss_object(path, hdus)
    yield Spectra(
        row=np.zeros(1, np.int64),
        wavelength=wavelength,
        flux=flux,
        ivar=np.where(np.isfinite(ivar), ivar, 0),
        good=np.isfinite(flux) & (mask & SDSS_BAD == 0),
        identifier=np.array([known.get("identifier", "")], dtype=object),
        spectype=classes(np.array([known.get("class", "")])),
        numbers={name: np.array([known.get(name, np.nan)], np.float64) for name in NUMBERS},
        reason=blank(1),
    )


def _is_sdss(hdus) -> bool:
    """True for a file whose HDU 1 is COADD of SDSS."""
    try:
        hdu = hdus[1]
    except IndexError:
        return False
    names = {str(value).strip().lower() for key, value in hdu.header.items() if key.startswith("TTYPE")}
    return hdu.name == "COADD" and names >= set(_SDSS_COLUMNS)


def _sdss_object(path, hdus) -> dict[str, object]:
    """What HDU 2, the object's row of specObj or spAll, says of it; a redshift only where ZWARNING is 0."""
    try:
        hdu = hdus[2]
    except IndexError:
        return {}
    wanted = ("Z", "Z_ERR", "ZWARNING", "CLASS", "PLATE", "MJD", "FIBERID", *sum(_SDSS_NAMES.values(), ()))
    row = one_row(path, hdu, wanted) if hdu.header.get("NAXIS2") == 1 else {}
    found = {"class": row.get("CLASS", "")}
    if not row.get("ZWARNING", 0):
        found |= {"redshift": row.get("Z", np.nan), "zerr": row.get("Z_ERR", np.nan)}
    for axis, names in _SDSS_NAMES.items():
        found[axis] = next((row[name] for name in names if name in row), np.nan)
    if {"PLATE", "MJD", "FIBERID"} <= set(row):
        found["identifier"] = f"{row['PLATE']:04d}-{row['MJD']:05d}-{row['FIBERID']:04d}"
    return found


def _read_desi(path) -> Iterator[Spectra]:
    with open_fits(path) as hdus:
        if "FIBERMAP" not in hdus:
            raise BadInput(f"{path}: no HDU FIBERMAP, expected a DESI coadd")
        total = int(hdus["FIBERMAP"].header.get("NAXIS2", 0))
    for start in range(0, total, BLOCK):
        rows = np.arange(start, min(start + BLOCK, total))
        coadd = desi.read_coadd(path, rows)
        flux, ivar = desi.combine_arms(coadd)
        table = coadd.fibermap
        numbers = {name: np.full(len(rows), np.nan) for name in NUMBERS}
        numbers |= {axis: np.asarray(table[f"TARGET_{axis.upper()}"], np.float64) for axis in ("ra", "dec")}
        target, status = np.asarray(table["OBJTYPE"]) == "TGT", np.asarray(table["COADD_FIBERSTATUS"])
        reason = np.where(target, "", "not a target: OBJTYPE is not TGT").astype(object)
        reason[target & (status != 0)] = "broken fibre: COADD_FIBERSTATUS is not 0"
        yield Spectra(
            row=rows,
            wavelength=desi.WAVELENGTH,
            flux=flux.astype(np.float64),
            ivar=ivar.astype(np.float64),
            good=ivar > 0,
            identifier=np.array([str(number) for number in table["TARGETID"]], dtype=object),
            spectype=blank(len(rows)).astype("U6"),
            numbers=numbers,
            reason=reason,
        )


def _read_multimodal(path) -> Iterator[Spectra]:
    with open_source(path) as source:
        found = _by_name(source, GUESSES)
        found.pop("log_wavelength", None)
        if "flux" not in found:
            raise source.missing("of flux, expected a file of the Multimodal Universe")
        if "wavelength" not in found:
            found["wavelength"] = _ends(source, found)
    return read_table(path, found)


def _ends(source: Source, columns: Mapping[str, Mapping]) -> dict[str, float]:
    """Wavelengths from their first and last, which must be the same in every row."""
    first, last = (
        np.unique(np.asarray(source.find({"column": f"spectrum_lambda_{end}"})[0][:], np.float64))
        for end in ("min", "max")
    )
    if len(first) != 1 or len(last) != 1:
        raise BadInput(
            f"{source.path}: spectrum_lambda_min or _max differ from row to row; expected one wavelength grid"
        )
    pixels = np.shape(source.find(columns["flux"])[0])[1]
    return {"start": float(first[0]), "step": float(last[0] - first[0]) / (pixels - 1)}


def _read_astroclip(path) -> Iterator[Spectra]:
    with open_source(path) as source:
        names = source.names
        groups = sorted({name.rpartition("/")[0] for name in names if name.endswith("/targetids")}, key=group_number)
        single = {"flux": "spectrum", "redshift": "redshift", "identifier": "targetid"}
        if not groups and not set(single.values()) <= set(names):
            raise source.missing("spectra, redshifts, targetids or spectrum, redshift, targetid, as AstroCLIP has them")
        if not groups:
            places = {quantity: {"column": name} for quantity, name in single.items()}
            yield from read_table(path, {**places, "wavelength": _ASTROCLIP["wavelength"]})
            return
        sizes = [len(source.find({"column": f"{group}/targetids"})[0]) for group in groups]
    split = published_splits.of_astroclip(sizes)
    for spectra in read_table(path, _ASTROCLIP, groups):
        spectra.split = split[spectra.row]
        yield spectra


def _read_galaxiesml_spectra(path) -> Iterator[Spectra]:
    table = galaxiesml_spectra.read_catalog(path)
    known = galaxiesml_spectra.known(table)
    for start in range(0, len(table), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(table)))
        wavelength, flux, ivar = galaxiesml_spectra.read_pixels(path, rows)
        yield Spectra(
            row=rows,
            wavelength=wavelength,
            flux=flux.astype(np.float64),
            ivar=ivar.astype(np.float64),
            good=ivar > 0,
            identifier=np.array([str(number) for number in table["targetid"][rows]], dtype=object),
            spectype=blank(len(rows)).astype("U6"),
            numbers={name: known[name][rows] if name in known else np.full(len(rows), np.nan) for name in NUMBERS},
            reason=blank(len(rows)),
        )
