"""What the catalogues say of a sample's galaxies and of all others: redshifts and i magnitudes, block by block."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import pandas

from skyloom.analysis.common import tables
from skyloom.catalog import cuts
from skyloom.core.errors import BadInput
from skyloom.formats import desi, galaxiesml, galaxiesml_spectra, ranges
from skyloom.formats.file_names import by_name, named
from skyloom.formats.hdf5_files import open_hdf5

OF_HSC = {"z_hsc": "specz_redshift", "zerr_hsc": "specz_redshift_err", "mag_i": "i_cmodel_mag"}
"""Our names -> GalaxiesML's."""
GALAXIES = ("targetid", "z", "zerr", "zwarn", "spectype", "hsc_file", "hsc_row")


def redshifts(path: str | os.PathLike, wanted: Sequence[Mapping]) -> tuple[np.ndarray, np.ndarray]:
    """Of a DESI redshift catalogue: redshifts (N,), NaN where there is none that can be, and which rows pass the cuts.

    In memory are a block of rows, and nine bytes a row of all.
    """
    tally, columns = cuts.Tally(wanted, str(path)), ["Z", *(cut["column"] for cut in wanted)]
    found, passing = [np.empty(0)], [np.empty(0, bool)]
    for block in desi.zcatalog_blocks(path, columns=list(dict.fromkeys(columns))):
        z = np.ma.filled(np.ma.asarray(block["Z"], np.float64), np.nan)
        found.append(ranges.within("z", z)[0])
        passing.append(tally.passing(block) & np.isfinite(found[-1]))
    return np.concatenate(found), np.concatenate(passing)


def of_hsc(path: str | os.PathLike) -> pandas.DataFrame:
    """The columns OF_HSC of a file of HSC images, a row an image; NaN where it has none that can be.

    GalaxiesML's files have them, and GalaxiesML-Spectra's. Any other has nothing but NaN.
    """
    with open_hdf5(path) as file:
        both, there = "HSC_metadata" in file, [name for name in OF_HSC.values() if name in file]
        total = len(file["image"]) if "image" in file else 0
    if both:
        table = galaxiesml_spectra.read_catalog(path)
    else:
        table = galaxiesml.read_catalog(path, there) if there else {}
    found = pandas.DataFrame(index=range(len(table) or total))
    for ours, name in OF_HSC.items():
        values = np.asarray(table[name], np.float64) if name in table.keys() else np.full(len(found), np.nan)
        found[ours] = values
    found["z_hsc"] = ranges.within("z", found["z_hsc"].to_numpy())[0]
    found["mag_i"] = np.where(found["mag_i"].between(0, 45, inclusive="neither"), found["mag_i"], np.nan)
    return found


def matched(galaxies_path: str | os.PathLike, of_files: Mapping[str, pandas.DataFrame]) -> pandas.DataFrame:
    """The galaxies with an HSC image: GALAXIES, and what `of_files` (path -> `of_hsc`) says of their images."""
    found = tables.read_parquet(galaxies_path, list(GALAXIES))
    found = found[found["hsc_row"] >= 0].reset_index(drop=True)
    paths, values = by_name(list(of_files)), np.full((len(found), len(OF_HSC)), np.nan)
    for name, rows in found.groupby("hsc_file").indices.items():
        path = str(named(paths, name))
        row = found["hsc_row"].to_numpy()[rows]
        if row.max() >= len(of_files[path]):
            raise BadInput(f"{path}: has {len(of_files[path])} rows, but {galaxies_path} names row {row.max()}")
        values[rows] = of_files[path].to_numpy()[row]
    return found.assign(**dict(zip(OF_HSC, values.T, strict=True)))
