"""A user's spectra on the grid of their survey: one HDF5 file a group of the user's files, made by `convert`.

===================  ========  ===========================  ===========================================================
dataset              shape     unit                         what it is
===================  ========  ===========================  ===========================================================
flux                 (N, P)    1e-17 erg/s/cm2/Angstrom     on the grid; 0 where nothing was measured
ivar                 (N, P)    inverse square of that       0 where nothing was measured
identifier           (N,)                                   the user's, or one made of the file's name
file                 (N,)                                   number of the file in `files`
row                  (N,)                                   of the spectrum in that file, from 0
ivar_estimated       (N,)                                   the file states no noise: it was measured from the flux
spectype             (N,)                                   GALAXY, QSO, STAR, or empty
spectype_true        (N,)                                   what was put in, of simulated spectra; else empty
redshift, zerr       (N,)                                   NaN where not known, as all that follow
z_true               (N,)                                   that was put in, of simulated spectra
ra, dec              (N,)      deg
log_mstar, z_mw,     (N,)      dex(Msun), mass fraction,    labels as in galaxies.parquet
t_age, avg_sfr                 Gyr, Msun/yr
flux_g, flux_r,      (N,)      nanomaggy, mag               photometry as in galaxies.parquet
flux_z, ebv
split                (N,)                                   that the file states, train, validation, test, or empty
images               (N,)                                   modalities of the images that the file has in the same rows
files                (F,)                                   paths, as the configuration has them
quarantine/...       (Q,)                                   identifier, file, row, reason of what is not among the N
===================  ========  ===========================  ===========================================================

The grid is in the attributes wavelength_start and wavelength_step, Angstrom in vacuum.
"""

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.core.job import progress
from skyloom.formats import noise, published_splits
from skyloom.formats.hdf5_files import dataset_named, open_hdf5
from skyloom.formats.image_files.readers import images_in
from skyloom.formats.rebin import in_order, rebin
from skyloom.formats.spectrum_files.readers import read
from skyloom.formats.spectrum_files.spectra import MOST_FALLS, NUMBERS, Spectra

log = logging.getLogger(__name__)

UNREADABLE = "the file cannot be read"
"""Reason of a file without a row; what is wrong with it follows after a colon."""
LIGHT = (1e-8, 1e10)
"""Mean absolute fluxes that can be, 1e-17 erg/s/cm2/Angstrom: from less than any noise to the brightest stars."""
WRONG_UNIT = f"the flux is not within {LIGHT[0]:g} and {LIGHT[1]:g} of 1e-17 erg/s/cm2/A: set columns.flux.unit"
_TEXT = h5py.string_dtype()
_COLUMNS = {
    **{"identifier": _TEXT, "file": "i4", "row": "i4", "ivar_estimated": "?"},
    **dict.fromkeys(("spectype", "spectype_true", "split", "images"), _TEXT),
    **dict.fromkeys((*NUMBERS, "z_true"), "f8"),
}
_QUARANTINE = {"identifier": _TEXT, "file": "i4", "row": "i4", "reason": _TEXT}


def convert(
    files: Mapping[str, str | os.PathLike],
    form: str,
    columns: Mapping[str, Mapping] | None,
    grid: Mapping[str, float],
    minimum_good: float,
    out_path: str | os.PathLike,
) -> None:
    """Read spectra of a user's files and write them on one grid; a few hundred are in memory at once.

    A file that cannot be read is put aside with its reason, as are spectra of no use: the others go on.

    Parameters
    ----------
    files : what each is called -> where it is
    form, columns : see `skyloom.formats.spectrum_files.readers.read`
    grid : `start` and `step` (Angstrom in vacuum) and `pixels`
    minimum_good : least share of the grid's pixels that must be good, 0..1

    Raises
    ------
    BadConfig : a unit of `columns` that cannot be.
    """
    edges = grid["start"] + grid["step"] * (np.arange(grid["pixels"] + 1) - 0.5)
    attrs = {"wavelength_start": grid["start"], "wavelength_step": grid["step"]}
    with _writer(out_path, list(files), grid["pixels"], attrs) as writer:
        for number, path in enumerate(files.values()):
            progress(f"{number} of {len(files)} files, {writer.rows} spectra")
            try:
                images = _images_beside(path)
                for spectra in read(path, form, columns):
                    names = _identifiers(spectra, path)
                    flux, ivar, reason = on_grid(spectra, edges, minimum_good)
                    if spectra.split is None:
                        spectra.split = published_splits.of_file(path, len(spectra))
                    writer.append(number, spectra, names, flux, ivar, reason, images)
            except BadInput as error:
                said = str(error).removeprefix(f"{path}: ")
                writer.set_aside([Path(path).stem], number, [-1], [f"{UNREADABLE}: {said}"])
    for reason, count in sorted(writer.reasons.items()):
        log.warning("quarantined %d: %s", count, reason)
    if writer.estimated:
        log.warning("%d of %d spectra state no noise: it is estimated from the flux", writer.estimated, writer.rows)
    log.info("%s: %d spectra of %d files, %d quarantined", out_path, writer.rows, len(files), writer.aside)


def _images_beside(path) -> str:
    """The modalities of the images that a file holds besides spectra, in the same rows; none if they are broken."""
    try:
        return " ".join(images_in(path))
    except BadInput as error:
        log.warning("%s: its images are left out", error)
        return ""


def write_simulated(
    out_path: str | os.PathLike,
    flux: np.ndarray,
    ivar: np.ndarray,
    grid: Mapping[str, float],
    identifier: Sequence[str],
    redshift: np.ndarray,
    spectype: Sequence[str],
    **known: np.ndarray,
) -> None:
    """Write simulated spectra (N, P) that are on the grid already, with the redshift and class that were put in.

    Parameters
    ----------
    grid : as of `convert`
    known : further numbers of `NUMBERS`, (N,) each
    """
    count = len(flux)
    attrs = {"wavelength_start": grid["start"], "wavelength_step": grid["step"]}
    values = {name: np.full(count, np.nan) for name in NUMBERS} | known
    values |= {"redshift": redshift, "z_true": redshift, "flux": flux, "ivar": ivar, "identifier": identifier}
    values |= {"spectype": spectype, "spectype_true": spectype, "split": [""] * count, "images": [""] * count}
    values |= {"file": np.zeros(count, int), "row": np.arange(count), "ivar_estimated": np.zeros(count, bool)}
    with _writer(out_path, [Path(out_path).name], grid["pixels"], attrs) as writer:
        writer.extend(values)


def on_grid(spectra: Spectra, edges: np.ndarray, minimum_good: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spectra in the bins between `edges` (M + 1,), and why each of them cannot be used.

    Returns
    -------
    flux, ivar : (N, M)
    reason : (N,) text, empty for a good one
    """
    count = len(spectra)
    flux, ivar = np.zeros((2, count, len(edges) - 1))
    reason = spectra.reason.copy()
    grids = np.atleast_2d(spectra.wavelength)
    shared = np.array_equal(grids, np.broadcast_to(grids[:1], grids.shape), equal_nan=True)
    for rows in [np.arange(count)] if shared else np.arange(count)[:, None]:
        wavelength = grids[0 if shared else rows[0]]
        real = np.isfinite(wavelength)
        wavelength = wavelength[real]
        if why := _no_wavelengths(wavelength):
            reason[rows] = np.where(reason[rows] == "", why, reason[rows])
            continue
        values, good = spectra.flux[np.ix_(rows, real)], spectra.good[np.ix_(rows, real)]
        given = None if spectra.ivar is None else np.where(good, spectra.ivar[np.ix_(rows, real)], 0)
        flux[rows], ivar[rows], why = _on_grid(wavelength, values, good, given, edges, minimum_good)
        reason[rows] = np.where(reason[rows] == "", why, reason[rows])
    return flux, ivar, reason


def _no_wavelengths(wavelength: np.ndarray) -> str:
    """Why these (P,) are no wavelengths of a spectrum; empty if they may be."""
    if len(wavelength) < 2:
        return "wavelength is not a number above zero"
    step = np.diff(wavelength)
    turns = min((step < 0).sum(), (step > 0).sum())
    if turns > MOST_FALLS or not step.any():
        return "wavelength does not rise"
    return ""


def _on_grid(wavelength, flux, good, ivar, edges, minimum_good: float):
    """As `on_grid`, of spectra (n, P) with one wavelength (P,); ivar is None where noise is to be estimated."""
    dark = ~(good & np.isfinite(flux) & (flux != 0)).any(axis=1)
    padding = noise.constant(flux) & (flux == 0)  # with a noise that the file states, or without
    weight = np.where(good & np.isfinite(flux) & ~padding, 1.0 if ivar is None else ivar, 0)
    blind = ~(weight > 0).any(axis=1)
    pixels, flux, weight = in_order(wavelength, flux, weight)
    if ivar is None:
        weight = noise.estimate_ivar(flux, weight > 0)
    unknown = ~(weight > 0).any(axis=1)
    flux, weight = rebin(pixels, flux, weight, edges)
    share = (weight > 0).mean(axis=1)
    typical = np.abs(flux).sum(axis=1) / np.maximum((weight > 0).sum(axis=1), 1)
    few = f"fewer than {minimum_good:g} of the grid's pixels are good"
    checks = [(dark, "flux is zero or NaN everywhere"), (blind, "no good pixel")]
    checks += [(unknown, "its noise cannot be estimated"), (share == 0, "no good pixel within the grid")]
    checks += [(share < minimum_good, few), ((typical < LIGHT[0]) | (typical > LIGHT[1]), WRONG_UNIT)]
    reason = np.select([bad for bad, _ in checks], [why for _, why in checks], default="").astype(object)
    return flux, weight, reason


def _identifiers(spectra: Spectra, path) -> np.ndarray:
    """Identifiers (N,); for a spectrum without one the file's name and, in a file of several, its row."""
    stem = Path(path).name.partition(".")[0]
    made = [stem if len(spectra) == 1 and row == 0 else f"{stem}:{row}" for row in spectra.row.tolist()]
    return np.where(spectra.identifier == "", np.array(made, dtype=object), spectra.identifier)


class _Writer:
    def __init__(self, file: h5py.File, files: Sequence[str], pixels: int):
        self._file = file
        file.create_dataset("files", data=np.array(files, dtype=object), dtype=_TEXT)
        for name in ("flux", "ivar"):
            shape = (0, pixels)
            file.create_dataset(name, shape, "f4", chunks=(1, pixels), maxshape=(None, pixels), fletcher32=True)
        for group, columns in (("", _COLUMNS), ("quarantine/", _QUARANTINE)):
            for name, kind in columns.items():
                file.create_dataset(group + name, (0,), kind, chunks=(1024,), maxshape=(None,))
        self.rows = self.aside = self.estimated = 0
        self.reasons: Counter[str] = Counter()

    def append(self, number: int, spectra: Spectra, identifier, flux, ivar, reason, images: str) -> None:
        """Append what is good of a block of file `number`, which has `images` too, and put the rest aside."""
        good = reason == ""
        count = int(good.sum())
        estimated = np.full(count, spectra.ivar is None)
        values = {"flux": flux[good], "ivar": ivar[good], "identifier": identifier[good], "row": spectra.row[good]}
        values |= {"file": np.full(count, number), "ivar_estimated": estimated, "spectype": spectra.spectype[good]}
        values |= {name: spectra.numbers[name][good] for name in NUMBERS}
        values |= {"split": spectra.split[good], "images": [images] * count}
        self.extend(values | {"z_true": np.full(count, np.nan), "spectype_true": [""] * count})
        self.estimated += int(estimated.sum())
        self.set_aside(identifier[~good], number, spectra.row[~good], reason[~good])

    def extend(self, values: Mapping[str, Sequence]) -> None:
        """Append spectra, every column given."""
        self._extend("", values)
        self.rows += len(values["flux"])

    def set_aside(self, identifier, number: int, row, reason) -> None:
        """Note spectra of no use; a row of -1 stands for a whole file."""
        values = {"identifier": identifier, "file": np.full(len(row), number), "row": row, "reason": reason}
        self._extend("quarantine/", values)
        self.aside += len(row)
        self.reasons.update(map(str, reason))

    def _extend(self, group: str, values: Mapping[str, Sequence]) -> None:
        for name, new in values.items():
            dataset = self._file[group + name]
            first = len(dataset)
            dataset.resize(first + len(new), axis=0)
            dataset[first:] = np.asarray(new, object if h5py.check_string_dtype(dataset.dtype) else dataset.dtype)


@contextlib.contextmanager
def _writer(path: str | os.PathLike, files: Sequence[str], pixels: int, attrs: Mapping) -> Iterator[_Writer]:
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        for name, value in attrs.items():
            file.attrs[name] = value
        yield _Writer(file, files, pixels)


def read_part(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """All of a part file but its spectra: the columns of its N spectra, and of its Q quarantined ones.

    ``file`` is the path of the user's file in both. Raises BadInput.
    """
    with open_hdf5(path) as file:
        files = _column(path, file, "files")
        found = []
        for group, columns in (("", _COLUMNS), ("quarantine/", _QUARANTINE)):
            values = {name: _column(path, file, group + name) for name in columns}
            found.append(values | {"file": files[values["file"]]})
    return found[0], found[1]


def _column(path, file: h5py.File, name: str) -> np.ndarray:
    dataset = dataset_named(path, file, name, "Ofiub")
    return dataset.asstr()[()] if dataset.dtype.kind == "O" else dataset[()]


def read_spectra(path: str | os.PathLike, rows: np.ndarray, grid: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Flux and ivar, each (n, P) f4, of rising rows of a part file; BadInput if it has another grid."""
    with open_hdf5(path) as file:
        datasets = [dataset_named(path, file, name) for name in ("flux", "ivar")]
        found = (file.attrs.get("wavelength_start"), file.attrs.get("wavelength_step"), datasets[0].shape[1])
        expected = (grid["start"], grid["step"], grid["pixels"])
        if found != expected:
            raise BadInput(
                f"{path}: its grid (start, step, pixels) is {found}, expected {expected}; delete it and rerun"
            )
        return tuple(dataset[rows] for dataset in datasets)
