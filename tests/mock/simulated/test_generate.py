"""Parts of the simulated catalogue: format, determinism, and the catalogue made of them."""

import shutil

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from skyloom.catalog.galaxies import write_splits
from skyloom.catalog.simulated import COLUMNS, build_galaxies
from skyloom.core.errors import BadInput
from skyloom.formats.part_columns import UNITS
from skyloom.mock.simulated import histories, noise
from skyloom.mock.simulated.generate import BLOCK, make_part
from tests.mock.simulated.conftest import CONFIG, read_part

SHAPES = {"lsst": 6, "spherex": 102, "sfh": 117, "sed": 921}


def test_a_part_holds_what_its_format_says(part_path):
    part = read_part(part_path)
    assert set(part.columns) == {name for name in UNITS if not name.endswith(("_error", "_image"))}
    for name, values in part.columns.items():
        assert values.shape == ((300, SHAPES[name]) if name in SHAPES else (300,)), name
        assert np.isfinite(values).all(), name
    with h5py.File(part_path) as file:
        assert all(file[name].attrs["unit"] == unit for name, unit in UNITS.items() if name in file)
    assert part.axes["lsst"].tolist() == [b"u", b"g", b"r", b"i", b"z", b"y"]
    assert {name: len(part.axes[name]) for name in ("spherex", "sfh", "sed")} == {
        "spherex": 102,
        "sfh": 118,
        "sed": 922,
    }
    assert part.attrs["noise"] == "none" and part.attrs["part"] == 3


def test_numbers_are_those_of_galaxies(part_path):
    columns = read_part(part_path).columns
    assert (columns["lsst"][:, 3] < 25.31).all() and (columns["redshift"] < 3).all()
    assert (columns["targetid"] == 3 * 10**9 + np.arange(300)).all()
    assert np.abs(columns["dec"] + 30).max() < 33
    assert 10.5 < np.median(columns["log_mhalo"]) < 12.5 and (columns["log_mhalo"] > columns["log_mstar"]).all()
    # stars that formed are as many as live or died: 50 to 100 % live
    formed = np.where(columns["sfh"] > histories.FLOOR, 10.0 ** columns["sfh"], 0).sum(axis=1) * 13.8e9 / 117
    alive = 10 ** columns["log_mstar"] / formed
    assert (alive > 0.4).all() and (alive < 1.02).all()


def test_a_part_depends_on_its_number_and_the_seed_alone(part_path, grid_path, spherex_paths, tmp_path):
    for part, seed in ((3, 1), (4, 1), (3, 2)):
        make_part(part, seed, CONFIG, grid_path, spherex_paths, tmp_path / f"{part}-{seed}.h5")
    assert (tmp_path / "3-1.h5").read_bytes() == part_path.read_bytes()
    first = read_part(part_path).columns["redshift"]
    assert (read_part(tmp_path / "4-1.h5").columns["redshift"] != first).all()
    assert (read_part(tmp_path / "3-2.h5").columns["redshift"] != first).all()


def test_noise_changes_the_magnitudes_and_nothing_else(part_path, grid_path, spherex_paths, tmp_path):
    make_part(3, 1, CONFIG | {"noise": "survey"}, grid_path, spherex_paths, tmp_path / "noisy.h5")
    clean, noisy = read_part(part_path).columns, read_part(tmp_path / "noisy.h5").columns
    assert set(noisy) - set(clean) == {"lsst_error", "spherex_error"}
    for name in set(clean) - {"lsst", "spherex"}:
        np.testing.assert_array_equal(clean[name], noisy[name])
    for name, sigma in (("lsst", noise.lsst_sigma), ("spherex", noise.spherex_sigma)):
        softening = sigma(np.zeros(clean[name].shape[1]))
        flux = noise.nanomaggy(clean[name])
        pull = (noise.flux_of(noisy[name].astype(float), softening) - flux) / sigma(flux)
        assert np.isfinite(noisy[name]).all() and pull.std() == pytest.approx(1, abs=0.05)


def test_one_galaxy_more_does_not_change_the_others(part_path, grid_path, spherex_paths, tmp_path):
    assert CONFIG["galaxies_per_part"] < BLOCK
    make_part(3, 1, CONFIG | {"galaxies_per_part": 301}, grid_path, spherex_paths, tmp_path / "more.h5")
    np.testing.assert_array_equal(
        read_part(tmp_path / "more.h5").columns["redshift"][:300], read_part(part_path).columns["redshift"]
    )


def test_the_catalogue_has_labels_and_places_and_can_be_split(part_path, tmp_path):
    build_galaxies([part_path], 1, tmp_path / "galaxies.parquet")
    table = pq.read_table(tmp_path / "galaxies.parquet")
    assert table.column_names == list(COLUMNS)
    columns = read_part(part_path).columns
    np.testing.assert_array_equal(table["z"], columns["redshift"])
    np.testing.assert_allclose(table["log_z_mw"], np.log10(columns["z_mw"]), rtol=1e-6)
    assert set(table["sim_file"].to_pylist()) == {"simulated-0003.h5"} and table["sim_row"].to_pylist() == list(
        range(300)
    )
    split = {"kind": "random", "nside": 256, "fractions": {"train": 0.8, "validation": 0.1, "test": 0.1}}
    write_splits(
        tmp_path / "galaxies.parquet",
        {"seed": 1, "split": split | {"separation_arcsec": 1.0}},
        tmp_path / "splits.parquet",
        tmp_path / "shared_sky.json",
    )
    assert len(pq.read_table(tmp_path / "splits.parquet")) == 300


def test_galaxies_of_two_parts_with_the_same_identifiers_get_one_line(part_path, grid_path, spherex_paths, tmp_path):
    make_part(4, 1, CONFIG | {"galaxies_per_part": 5}, grid_path, spherex_paths, tmp_path / "other.h5")
    again = shutil.copy(part_path, tmp_path / "again.h5")
    words = f"^{again} and {part_path}: targetid 3000000000 is there twice, as are 300 in all"
    with pytest.raises(BadInput, match=words):
        build_galaxies([tmp_path / "other.h5", part_path, again], 2, tmp_path / "galaxies.parquet")
