"""GalaxiesML-Spectra: DESI spectra and HSC images of the same galaxies, one HDF5 file (``DESI_HSC_64x64_v2.hdf5``).

A row a galaxy: `image` (N, 5, S, S) as in GalaxiesML; `spectrum/flux`, `spectrum/ivar`, `spectrum/wave` (N, 7783) in
1e-17 erg/s/cm2/Angstrom and Angstrom; `targetid`, text; `object_id`; `DESI_fibermap` with DESI_redshift,
DESI_redshift_err, MORPHTYPE and fluxes; `HSC_metadata` with the columns of GalaxiesML. Source: Himes et al. (2025),
arXiv 2510.22527, zenodo record 16989593 (134,533 galaxies); names as the loader of github.com/astrodatalab/himes_2025
and the notebooks of github.com/kimbielby/DeepZ-Photometric-Redshift-Estimator use them. Whether the two tables are
groups of datasets or compound datasets does not show there: both are read, groups are written.

Of the 7783 pixels, two more than DESI's 7781, paper and code say nothing; the loader takes spikes out of the first and
the last one. So a file written here has one pixel more at either end of DESI's grid (3599.2 and 9824.8 Angstrom), with
flux and ivar 0, and `desi_grid` cuts by `wave`.
"""

import functools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence

import h5py
import numpy as np
import pyarrow.parquet as pq
from astropy.table import Table

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.formats import desi, galaxiesml
from skyloom.formats.file_names import by_name, named
from skyloom.formats.hdf5_files import dataset_named, open_hdf5, read_rows

log = logging.getLogger(__name__)

WAVELENGTH = np.concatenate([desi.WAVELENGTH[:1] - desi.STEP, desi.WAVELENGTH, desi.WAVELENGTH[-1:] + desi.STEP])
"""(7783,) Angstrom, vacuum."""
FLUXES = tuple(f"FLUX_{band}" for band in ("G", "R", "Z", "W1", "W2"))
"""Of the coadd's FIBERMAP, nanomaggy, NaN where it has none; they and MORPHTYPE go to DESI_fibermap."""
_BLOCK = 64


class Writer:
    """Append blocks of galaxies to an open file."""

    def __init__(self, file: h5py.File, size: int):
        self._file = file
        image = (len(galaxiesml.BANDS), size, size)
        self._large = {
            "image": self._room("image", image),
            "spectrum/flux": self._room("spectrum/flux", WAVELENGTH.shape),
            "spectrum/ivar": self._room("spectrum/ivar", WAVELENGTH.shape),
            # the same row for every galaxy, as published: compressed, it takes no room
            "spectrum/wave": self._room("spectrum/wave", WAVELENGTH.shape, "f8", compression="gzip"),
        }
        self._columns: dict[str, list[np.ndarray]] = {}

    def _room(self, name: str, shape: tuple[int, ...], dtype: str = "f4", **options) -> h5py.Dataset:
        return self._file.create_dataset(
            name, (0, *shape), dtype, maxshape=(None, *shape), chunks=(1, *shape), **options
        )

    def append(self, large: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]) -> None:
        """Append `image`, `spectrum/flux`, `spectrum/ivar` and columns by their names in the file, n rows each."""
        n = len(large["image"])
        for name, dataset in self._large.items():
            dataset.resize(len(dataset) + n, axis=0)
            dataset[len(dataset) - n :] = large.get(name, WAVELENGTH)
        for name, values in columns.items():
            self._columns.setdefault(name, []).append(values)

    def finish(self) -> None:
        """Write the columns."""
        for name in sorted(self._columns):
            self._file.create_dataset(name, data=np.concatenate(self._columns[name]))


def build(
    galaxies_path: str | os.PathLike,
    coadd_paths: Sequence[str | os.PathLike],
    hsc_paths: Sequence[str | os.PathLike],
    out_path: str | os.PathLike,
    size: int = 64,
) -> None:
    """Make the file from a survey's cross-match: the galaxies of galaxies.parquet that have an HSC image.

    Rows come in the order of the coadd files and their rows. In memory are images and spectra of 64 galaxies at once,
    and the columns of all: 800 bytes a galaxy, and 150 of galaxies.parquet.

    Parameters
    ----------
    galaxies_path : galaxies.parquet
    coadd_paths, hsc_paths : the files that it names
    size : pixels of a side that the images must have

    Raises
    ------
    BadInput : no galaxy has an HSC image, a file is missing or broken, or images have another size.
    """
    names = ("targetid", "z", "zerr", "spectrum_file", "spectrum_row", "hsc_file", "hsc_row")
    galaxies = pq.read_table(galaxies_path, columns=list(names), filters=[("hsc_row", ">=", 0)]).to_pandas()
    if not len(galaxies):
        raise BadInput(f"{galaxies_path}: no galaxy has an HSC image; is hsc_image among the survey's modalities?")
    galaxies = galaxies.sort_values(["spectrum_file", "spectrum_row"], ignore_index=True)
    coadds, images = by_name(coadd_paths), by_name(hsc_paths)
    with atomic(out_path) as temporary, h5py.File(temporary, "w") as file:
        made = Writer(file, size)
        for name, of_file in galaxies.groupby("spectrum_file", sort=False):
            for first in range(0, len(of_file), _BLOCK):
                block = of_file.iloc[first : first + _BLOCK]
                made.append(*_rows(block, named(coadds, name), images, size))
        made.finish()
    log.info("%s: %d galaxies", out_path, len(galaxies))


def _rows(block, coadd_path, image_paths: Mapping, size: int) -> tuple[dict, dict]:
    """What `Writer.append` takes, of galaxies of one coadd file."""
    n = len(block)
    coadd = desi.read_coadd(coadd_path, rows=block["spectrum_row"].to_numpy())
    large = {"image": np.empty((n, len(galaxiesml.BANDS), size, size), "f4")}
    for name, values in zip(("flux", "ivar"), desi.combine_arms(coadd), strict=True):
        large[f"spectrum/{name}"] = np.pad(values.astype("f4"), ((0, 0), (1, 1)))
    metadata = {}
    for place, path, rows in _by_file(block, image_paths):
        catalogue = _catalogue(path)[rows]
        found = galaxiesml.read_images(path, rows)
        if found.shape[-1] != size:
            raise BadInput(f"{path}: images of {found.shape[-1]} pixels, expected {size}")
        large["image"][place] = found
        for name in catalogue.colnames:
            values = np.asarray(catalogue[name])
            values = np.char.encode(values, "utf-8").astype("S40") if values.dtype.kind == "U" else values
            metadata.setdefault(name, np.zeros((n, *values.shape[1:]), values.dtype))[place] = values
    columns = {"targetid": block["targetid"].to_numpy().astype("S20"), "object_id": metadata.pop("object_id")}
    columns |= {f"DESI_fibermap/{name}": values for name, values in _fibermap(block, coadd.fibermap).items()}
    return large, columns | {f"HSC_metadata/{name}": values for name, values in metadata.items()}


@functools.lru_cache(maxsize=4)
def _catalogue(path) -> Table:
    """A catalogue that the next block of galaxies is likely to need too."""
    return galaxiesml.read_catalog(path)


def _by_file(block, image_paths: Mapping) -> Iterator[tuple[np.ndarray, str | os.PathLike, np.ndarray]]:
    """For each HSC file that galaxies of the block are in: their places in the block, its path, their rows in it."""
    names = block["hsc_file"].to_numpy()
    for name in dict.fromkeys(names):
        place = np.flatnonzero(names == name)
        yield place, named(image_paths, name), block["hsc_row"].to_numpy()[place]


def _fibermap(block, fibermap: Table) -> dict[str, np.ndarray]:
    columns = {"DESI_redshift": block["z"].to_numpy(), "DESI_redshift_err": block["zerr"].to_numpy()}
    kind = fibermap["MORPHTYPE"] if "MORPHTYPE" in fibermap.colnames else np.full(len(block), "")
    columns["MORPHTYPE"] = np.asarray(kind).astype("S4")
    for name in FLUXES:
        columns[name] = np.asarray(fibermap[name]) if name in fibermap.colnames else np.full(len(block), np.nan, "f4")
    return columns


def read_catalog(path: str | os.PathLike) -> Table:
    """targetid (int64), object_id, and the numbers and texts (a value a galaxy) of DESI_fibermap and HSC_metadata.

    Raises
    ------
    BadInput
        Something that is not there, has another length, or is not what it should be.
    """
    with open_hdf5(path) as file:
        total = len(dataset_named(path, file, "image", "f"))
        columns = {"targetid": _targetids(path, file), "object_id": dataset_named(path, file, "object_id", "iu")[()]}
        for name in ("DESI_fibermap", "HSC_metadata"):
            for column, values in _columns(path, file, name).items():
                columns.setdefault(column, _plain(values))
    for name, values in columns.items():
        if len(values) != total:
            raise BadInput(f"{path}: {name} has {len(values)} rows, expected {total} (a row an image)")
    if "DESI_redshift" not in columns:
        raise BadInput(f"{path}: DESI_fibermap has no DESI_redshift")
    return Table(columns)


def _targetids(path, file: h5py.File) -> np.ndarray:
    text = dataset_named(path, file, "targetid", "SOiu")[()]
    try:
        return np.array([int(value) for value in text], "i8")
    except ValueError as error:
        raise BadInput(f"{path}: dataset targetid holds a text that is not a number ({error})") from error


def _columns(path, file: h5py.File, name: str) -> dict[str, np.ndarray]:
    """The columns of a table that is a group of datasets or a compound dataset; those of more than one number left
    out."""
    item = file.get(name)
    if isinstance(item, h5py.Dataset) and item.dtype.names:
        rows = item[()]
        return {column: rows[column] for column in item.dtype.names if rows[column].ndim == 1}
    if not isinstance(item, h5py.Group):
        raise BadInput(f"{path}: no group or table {name}, found {', '.join(file)}")
    return {column: values[()] for column, values in item.items() if values.ndim == 1}


def _plain(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "SO":
        return values
    return np.array([text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in values], str)


def known(table: Table) -> dict[str, np.ndarray]:
    """What a table of `read_catalog` says of each galaxy, as far as it does: redshift, zerr, ra, dec (degrees), flux_g,
    flux_r, flux_z (nanomaggy), (N,) each."""
    names = {"redshift": "DESI_redshift", "zerr": "DESI_redshift_err", "ra": "ra", "dec": "dec"}
    found = {quantity: table[name] for quantity, name in names.items() if name in table.colnames}
    magnitudes = {band: f"{band}_cmodel_mag" for band in "grz"}
    fluxes = {
        f"flux_{b}": galaxiesml.nanomaggy(table[name]) for b, name in magnitudes.items() if name in table.colnames
    }
    return {quantity: np.asarray(values, np.float64) for quantity, values in {**found, **fluxes}.items()}


def read_pixels(path: str | os.PathLike, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength (P,) Angstrom, flux and ivar, each (n, P) f4, of `rows`, in their order: all pixels of the file."""
    with open_hdf5(path) as file:
        found = [dataset_named(path, file, f"spectrum/{name}", "f") for name in ("flux", "ivar")]
        pixels = found[0].shape[-1]
        wave = WAVELENGTH if pixels == len(WAVELENGTH) else desi.WAVELENGTH
        if "spectrum/wave" in file and len(file["spectrum/wave"]):
            wave = file["spectrum/wave"]
            wave = wave[0] if wave.ndim == 2 else wave[()]
        if len(wave) != pixels:
            raise BadInput(f"{path}: spectra of {pixels} pixels do not hold DESI's 7781, nor does spectrum/wave fit")
        if found[0].shape != found[1].shape:
            raise BadInput(f"{path}: spectrum/flux has shape {found[0].shape}, spectrum/ivar {found[1].shape}")
        return wave, *(read_rows(path, dataset, rows) for dataset in found)


def read_spectra(path: str | os.PathLike, rows: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """flux and ivar, each (n, 7781) f4 on `skyloom.formats.desi.WAVELENGTH`, of `rows`, in their order."""
    wave, *found = read_pixels(path, rows)
    return tuple(desi_grid(path, values, wave) for values in found)


def desi_grid(path: str | os.PathLike, values: np.ndarray, wave: np.ndarray) -> np.ndarray:
    """The 7781 of the pixels (n, W) at wavelengths `wave` (W,) that are DESI's; BadInput if these are not among
    them."""
    first = int(np.argmin(np.abs(wave - desi.WAVELENGTH[0])))
    part = wave[first : first + len(desi.WAVELENGTH)]
    fits = values.shape[-1] == len(wave) and len(part) == len(desi.WAVELENGTH)
    if not fits or np.abs(part - desi.WAVELENGTH).max() > desi.STEP / 4:
        raise BadInput(f"{path}: spectra of {values.shape[-1]} pixels do not hold DESI's 7781, 3600 to 9824 Angstrom")
    return values[:, first : first + len(desi.WAVELENGTH)]
