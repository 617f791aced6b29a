"""Real observations, read from a folder that the user names: small public samples, each optional.

What is looked for, by file name, anywhere below the folder:

- ``big_coadd-*.fits`` with ``big_zbest-*.fits``: mini-SV spectra of DESI (March 2020) as the DESI High project has them
  (github.com/DESIHIGH/desihigh): 25 BGS and 25 LRG, flux calibrated, smoothed with a Gaussian of SMOOTHING pixels (from
  the correlation of their noise), without ivar; rows of both arms where these overlap.
- ``hsc_cosmos_*.npz``: a Hyper Suprime-Cam scene, g, r, i, z, y with variance and PSFs (github.com/pmelchior/scarlet).
- ``survey-ccds-1.fits.gz`` with the exposures it names: DECam g, r, z (github.com/legacysurvey/obiwan, tests).
- ``test_dc2_training_*.hdf5``: 10,225 galaxies of the simulation cosmoDC2 with LSST magnitudes (wheel pz-rail-base).
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from astropy.io import fits
from astropy.table import Table
from scipy.ndimage import zoom

from skyloom.core.errors import BadInput
from skyloom.formats import galaxiesml, legacy
from skyloom.formats.desi import WAVELENGTH

SMOOTHING = 3.0  # pixels, sigma
FINER = 8  # times, when the width of a PSF is measured


@dataclass
class Spectra:
    """Real spectra of one kind of target: flux (n, 7781), 1e-17 erg/s/cm2/Angstrom; magnitudes AB, not dereddened."""

    z: np.ndarray
    flux: np.ndarray
    magnitude: np.ndarray  # (n, 3) g, r, z


@dataclass
class Picture:
    """Real images of one camera: bands -> what was measured of them, and the pixels (bands, y, x)."""

    bands: tuple[str, ...]
    fwhm: np.ndarray  # (bands,) arcsec
    sigma: np.ndarray  # (bands,) noise of a pixel, nanomaggy
    pixels: np.ndarray  # nanomaggy
    pixel_scale: float


@dataclass
class Observations:
    """What the folder holds; `found` and `missing` say in words what can be compared."""

    spectra: dict[str, Spectra] = field(default_factory=dict)  # bgs, lrg
    hsc: Picture | None = None
    decam: Picture | None = None
    dc2: Table | None = None  # g, r, z (LSST, AB), redshift
    found: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def read_observations(folder: str | os.PathLike) -> Observations:
    """Everything known below `folder`; an empty name gives no observations, a folder that is not there BadInput."""
    out = Observations()
    root = Path(folder) if folder else None
    if root is not None and not root.is_dir():
        raise BadInput(f"{folder}: no such folder; analyses.mock_validation.observations names one, or is empty")
    for kind in ("bgs", "lrg"):
        if paths := _find(root, f"big_coadd-{kind}-*.fits"):
            out.spectra[kind] = read_minisv(paths[0])
        _say(out, bool(paths), f"mini-SV spectra of 25 {kind.upper()} targets")
    for name, pattern, reader, text in (
        ("hsc", "hsc_cosmos_*.npz", read_hsc, "a Hyper Suprime-Cam scene in COSMOS"),
        ("decam", "survey-ccds-1.fits.gz", read_decam, "DECam exposures in g, r and z"),
        ("dc2", "test_dc2_training_*.hdf5", read_dc2, "galaxies of the simulation cosmoDC2"),
    ):
        if paths := _find(root, pattern):
            setattr(out, name, reader(paths[0]))
        _say(out, bool(paths), text)
    return out


def _find(root: Path | None, pattern: str) -> list[Path]:
    return sorted(root.rglob(pattern)) if root is not None else []


def _say(out: Observations, found: bool, text: str) -> None:
    (out.found if found else out.missing).append(text)


def read_minisv(path: str | os.PathLike) -> Spectra:
    """Mini-SV spectra with a redshift; where two arms give a pixel, their mean."""
    path = Path(path)
    zbest = path.with_name(path.name.replace("coadd", "zbest"))
    try:
        table, redshifts = Table.read(path, hdu=1), Table.read(zbest, hdu=1)
    except OSError as error:
        raise BadInput(f"{path}: not readable with its {zbest.name} ({error})") from error
    redshifts = redshifts[redshifts["ZWARN"] == 0]
    columns = [f"TARGET{targetid}" for targetid in redshifts["TARGETID"]]
    if missing := [name for name in ["WAVELENGTH", *columns] if name not in table.colnames]:
        raise BadInput(f"{path}: no column {missing[0]}")
    pixel = np.rint((np.asarray(table["WAVELENGTH"]) - WAVELENGTH[0]) / (WAVELENGTH[1] - WAVELENGTH[0])).astype(int)
    count = np.bincount(pixel, minlength=len(WAVELENGTH))
    flux = [np.bincount(pixel, np.asarray(table[name], float), len(WAVELENGTH)) / count for name in columns]
    fluxes = np.stack([np.asarray(redshifts[f"FLUX_{band}"], float) for band in "GRZ"], axis=1)
    return Spectra(np.asarray(redshifts["Z"], float), np.array(flux), 22.5 - 2.5 * np.log10(fluxes))


def read_hsc(path: str | os.PathLike) -> Picture:
    """A scene with PSFs; counts of zero point 27."""
    with np.load(path) as file:
        missing = {"images", "variance", "filters", "psfs"} - set(file.files)
        if missing:
            raise BadInput(f"{path}: no array {sorted(missing)[0]}")
        images, variance, psfs = (np.asarray(file[name], float) for name in ("images", "variance", "psfs"))
        bands = tuple(str(name).lower() for name in file["filters"])
    scale = 10 ** (0.4 * (22.5 - 27.0))
    sigma = np.sqrt(np.median(variance, axis=(1, 2))) * scale
    fwhm = np.array([full_width(psf) for psf in psfs]) * galaxiesml.PIXEL_SCALE
    return Picture(bands, fwhm, sigma, images * scale, galaxiesml.PIXEL_SCALE)


def read_decam(path: str | os.PathLike) -> Picture:
    """Single exposures, sky subtracted, with seeing, noise and zero point as the Legacy Surveys measured them."""
    path = Path(path)
    ccds = Table.read(path)
    rows = [int(np.flatnonzero(np.asarray(ccds["filter"]).astype(str) == band)[0]) for band in "grz"]
    pixels = []
    for row in rows:
        with fits.open(path.parent / "images" / str(ccds["image_filename"][row])) as hdus:
            counts = np.asarray(hdus[int(ccds["image_hdu"][row])].data, float)
        zero_point = ccds["ccdzpt"][row] + 2.5 * np.log10(ccds["exptime"][row])
        pixels.append((counts - np.median(counts)) * 10 ** (0.4 * (22.5 - zero_point)))
    fwhm, sigma = (np.asarray(ccds[name], float)[rows] for name in ("fwhm", "sig1"))
    return Picture(("g", "r", "z"), fwhm * legacy.PIXEL_SCALE, sigma, np.array(pixels), legacy.PIXEL_SCALE)


def read_dc2(path: str | os.PathLike) -> Table:
    """LSST g, r, z magnitudes and redshifts."""
    with h5py.File(path) as file:
        columns = {band: file[f"photometry/mag_{band}_lsst"][:] for band in "grz"}
        return Table(columns | {"redshift": file["photometry/redshift"][:]})


def full_width(psf: np.ndarray) -> float:
    """Full width at half maximum (pixels) of a PSF image: of the circle with the area above half its maximum."""
    # finer than the pixels, or the area of a narrow PSF is a handful of them
    fine = zoom(psf, FINER, order=3, mode="nearest", grid_mode=True)
    return float(2 * np.sqrt((fine > 0.5 * fine.max()).sum() / np.pi) / FINER)
