"""The truth behind a tile: one Parquet row a galaxy, enough to make its noiseless spectrum again."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import fields

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.mock.universe import spectra
from skyloom.mock.universe.light.ssp import load_grid
from skyloom.mock.universe.light.synthesis import Templates
from skyloom.mock.universe.population.population import Population

UNITS = {
    "ra": "deg",
    "dec": "deg",
    "ebv": "mag",
    **dict.fromkeys(("log_mhalo", "log_mstar", "measured_log_mstar"), "dex(Msun)"),
    **dict.fromkeys(
        ("av", "av_birth", "agn_ebv", "mag_g", "mag_r", "mag_z", "mag_i", "mag_w1", "mag_w2", "mag_host"), "mag"
    ),
    **dict.fromkeys(("sigma_v", "sigma_gas", "agn_width", "velocity"), "km / s"),
    **dict.fromkeys(("r_disk", "r_bulge", "r_bar"), "arcsec"),
    **dict.fromkeys(("x", "y", "z", "border"), "Mpc"),
    "l_agn": "Lsun",
    **dict.fromkeys(("t_age_mw", "measured_t_age_mw"), "Gyr"),
    **dict.fromkeys(("avg_sfr", "measured_avg_sfr"), "Msun / yr"),
    **dict.fromkeys(("flux_g", "flux_r", "flux_i", "flux_z", "flux_y"), "nanomaggy"),
    "sfh": "Msun",
    **dict.fromkeys(("angle", "angle_bulge", "angle_bar"), "rad"),
}
_METADATA = b"skyloom_mock_tile"


def write_truth(path: str | os.PathLike, tile, config: Mapping, columns: Mapping[str, np.ndarray]) -> None:
    """Write the population of `tile` (tile.Tile) and further `columns`, units in the field metadata.

    The file's metadata holds hpix, program, seed, exposure and config: what made the tile.
    """
    columns = {**columns, **{f.name: getattr(tile.population, f.name) for f in fields(Population)}}
    arrays = {name: _arrow(np.asarray(values)) for name, values in columns.items()}
    schema = pa.schema([pa.field(name, a.type, metadata={"unit": UNITS.get(name, "")}) for name, a in arrays.items()])
    made_by = {"hpix": int(tile.hpix), "program": tile.program, "seed": int(tile.seed)}
    made_by |= {"exposure": float(tile.exposure), "config": dict(config)}
    schema = schema.with_metadata({_METADATA: json.dumps(made_by, sort_keys=True)})
    with atomic(path) as temporary:
        pq.write_table(pa.Table.from_arrays(list(arrays.values()), schema=schema), temporary, compression="zstd")


def read_truth(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict]:
    """Columns of a truth file as arrays, and the tile's hpix, program, seed, exposure, config; else BadInput."""
    try:
        table = pq.read_table(path)
        made_by = json.loads(table.schema.metadata[_METADATA])
    except (OSError, pa.ArrowInvalid, KeyError, TypeError) as error:
        raise BadInput(f"{path}: not a truth file of the mock survey ({' '.join(str(error).split())})") from error
    return {name: _numpy(table[name].combine_chunks()) for name in table.column_names}, made_by


def noiseless(
    truth_path: str | os.PathLike, grid_path: str | os.PathLike, rows=slice(None)
) -> tuple[np.ndarray, np.ndarray]:
    """Noiseless light of a tile's galaxies and of their nuclei, as spectra.components has it.

    All light, before the fibre and the line spread, and without what anomalies add; `rows` chooses galaxies of the
    truth file.
    """
    columns, _ = read_truth(truth_path)
    population = Population(**{f.name: columns[f.name] for f in fields(Population)})[rows]
    templates = Templates.of(load_grid(grid_path, rest_range(np.unique(population.target))))
    return spectra.components(population, templates, columns["ebv"][rows])


def rest_range(targets: Iterable[str]) -> tuple[float, float]:
    """Rest-frame wavelengths (Angstrom) that the templates of all these targets must span."""
    ranges = [spectra.rest_range(target) for target in targets]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _arrow(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _numpy(array: pa.Array) -> np.ndarray:
    if pa.types.is_fixed_size_list(array.type):
        return array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), -1)
    return array.to_numpy(zero_copy_only=False)
