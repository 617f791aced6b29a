"""``galaxies.parquet`` of a simulated survey: one row a galaxy, its labels, and where its vectors lie."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skyloom.catalog import columns
from skyloom.catalog.crossmatch import nested_pixel
from skyloom.catalog.labels import NAMES as LABEL_NAMES
from skyloom.catalog.labels import labels
from skyloom.core.errors import BadInput
from skyloom.formats.file_names import sorted_paths
from skyloom.formats.part_columns import LABELS, SCALARS
from skyloom.formats.part_files import read_columns

log = logging.getLogger(__name__)

NSIDE = 64
_SHARED = ("targetid", "ra", "dec", "z", "healpix", *LABEL_NAMES, "shard")
COLUMNS = {name: columns.GALAXIES[name] for name in _SHARED} | {
    "targetid": ("i8", "", "meta.id;meta.main", "Identifier of the simulated galaxy"),
    "log_mhalo": ("f8", "dex(solMass)", "phys.mass", "log10 of the halo mass"),
    "sim_file": ("U", "", "meta.dataset", "Name of the part file with the galaxy's vectors"),
    "sim_row": ("i4", "", "meta.record", "Row in that file, from 0"),
}
"""Name -> (type, unit, UCD, description), as in `skyloom.catalog.columns`."""


def build_galaxies(part_paths: Sequence[str | os.PathLike], shards: int, galaxies_path: str | os.PathLike) -> None:
    """Write ``galaxies.parquet``, sorted by targetid; galaxies of a part go to shard `number of the part % shards`.

    Raises
    ------
    BadInput : a part lacks a column, or a targetid is there twice.
    """
    part_paths = sorted_paths(part_paths)
    parts = [_part(Path(path), number % shards) for number, path in enumerate(part_paths)]
    table = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    order = np.argsort(table["targetid"], kind="stable")
    table = {name: values[order] for name, values in table.items()}
    twice = np.flatnonzero(np.diff(table["targetid"]) == 0)
    if len(twice):
        source = np.repeat(np.arange(len(parts)), [len(part["targetid"]) for part in parts])[order]
        files = " and ".join(dict.fromkeys(str(part_paths[source[row]]) for row in (twice[0], twice[0] + 1)))
        first = table["targetid"][twice[0]]
        raise BadInput(f"{files}: targetid {first} is there twice, as are {len(twice)} in all; expected each once")
    columns.write_table(galaxies_path, table, COLUMNS)
    log.info("%s: %d galaxies of %d parts", galaxies_path, len(order), len(parts))


def _part(path, shard):
    data = read_columns(path, ("targetid", "ra", "dec"), optional=(*SCALARS, *LABELS))
    rows = len(data["targetid"])
    known = {name: data.get(name, np.full(rows, np.nan)) for name in (*SCALARS, *LABELS)}
    return {
        "targetid": data["targetid"],
        "ra": data["ra"],
        "dec": data["dec"],
        "z": known["redshift"],
        "log_mhalo": known["log_mhalo"],
        "healpix": nested_pixel(data["ra"], data["dec"], NSIDE),
        **labels(known["log_mstar"], *(known[name] for name in LABELS)),
        "shard": np.full(rows, shard, np.int32),
        "sim_file": np.full(rows, path.name),
        "sim_row": np.arange(rows, dtype=np.int32),
    }
