"""The file format of a simulated catalogue: one HDF5 file a part, one dataset a quantity, one row a galaxy.

=============  ========  ===========  ======================================================================
dataset        shape     unit         what it is
=============  ========  ===========  ======================================================================
targetid       (N,) i8                identifier, part * 10^9 + row
ra, dec        (N,) f8   deg          position, ICRS
redshift       (N,) f4                cosmological
log_mhalo      (N,) f4   dex(Msun)    halo mass
log_mstar      (N,) f4   dex(Msun)    mass in living stars and remnants
z_mw           (N,) f4                mass-weighted stellar metallicity, mass fraction
t_age_mw       (N,) f4   Gyr          mass-weighted stellar age
avg_sfr        (N,) f4   Msun/yr      star formation rate, mean of the last Gyr
lsst           (N, 6)    mag(AB)      u, g, r, i, z, y; see noise.py
spherex        (N, 102)  mag(AB)      17 channels of each of 6 detectors, in order of wavelength; see noise.py
sfh            (N, 117)  dex(Msun/yr) star formation rate in bins of cosmic time; see histories.py
sed            (N, 921)  dex(Jy)      rest-frame flux density at 10 pc; see sed.py
lsst_image     (N, 1728)              if asked for: 24 x 24 pixels in g, r, i; see simulated/images.py
lsst_error     (N, 6)    mag          with noise only: standard error of lsst
spherex_error  (N, 102)  mag          with noise only: standard error of spherex
=============  ========  ===========  ======================================================================

What the columns of a vector stand for lies beside it in the group `axis`: `lsst` (names), `spherex` (effective
wavelengths, Angstrom), `sfh` (118 edges, Gyr), `sed` (922 edges, Angstrom). Catalogues of users may have vectors of
other lengths, no labels and no axes.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping

import h5py
import numpy as np

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.formats.hdf5_files import dataset_named, open_hdf5
from skyloom.formats.part_columns import UNITS

_DOUBLE = {"targetid": "i8", "ra": "f8", "dec": "f8"}


class PartWriter:
    """Append blocks of galaxies to an open part file; use through `part_writer`."""

    def __init__(self, file: h5py.File):
        self._file = file
        self.rows = 0

    def append(self, **columns: np.ndarray) -> None:
        """Append columns of UNITS, each (n,) or (n, D); the same ones in every block."""
        rows = len(columns["targetid"])
        for name, values in columns.items():
            values = np.asarray(values, _DOUBLE.get(name, "f4"))
            if not self.rows:
                shape, chunk = values.shape[1:], (min(max(rows, 1), 1024), *values.shape[1:])
                data = self._file.create_dataset(name, (0, *shape), values.dtype, chunks=chunk, maxshape=(None, *shape))
                data.attrs["unit"] = UNITS[name]
            data = self._file[name]
            data.resize(self.rows + rows, axis=0)
            data[self.rows :] = values
        self.rows += rows


@contextlib.contextmanager
def part_writer(
    path: str | os.PathLike, axes: Mapping[str, np.ndarray], attrs: Mapping[str, object]
) -> Iterator[PartWriter]:
    """Yield a PartWriter; the file appears at `path` when the block ends well.

    `axes` goes to the group `axis`, `attrs` to the file's attributes.
    """
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        for name, value in attrs.items():
            file.attrs[name] = value
        for name, values in axes.items():
            values = np.asarray(values)
            file[f"axis/{name}"] = values.astype("S") if values.dtype.kind == "U" else values
        yield PartWriter(file)


def read_columns(path: str | os.PathLike, names: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict:
    """Whole columns (N,) by name, those of `optional` only where the file has them; BadInput if one is missing."""
    with open_hdf5(path) as file:
        present = [name for name in optional if name in file]
        columns = {name: dataset_named(path, file, name)[:] for name in (*names, *present)}
    for name, values in columns.items():
        if len(values) != len(columns[names[0]]):
            raise BadInput(f"{path}: dataset {name} has {len(values)} rows, expected {len(columns[names[0]])}")
    return columns
