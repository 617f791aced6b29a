"""A user's own catalogue, in HDF5 and Parquet, with names and units of its own."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skyloom.catalog.simulated import build_galaxies
from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats.catalog_tables import BLOCK, convert

ROWS = BLOCK + 10
BANDS = "ugrizy"
COLUMNS = {
    "targetid": "galaxy_id",
    "ra": "ra",
    "dec": "dec",
    "redshift": "redshift_true",
    "log_mhalo": {"column": "halo_mass", "log10": True},
    "log_mstar": {"column": "stellar_mass", "factor": 0.7, "log10": True},
    "lsst": [f"mag_{band}_lsst" for band in BANDS],
    "sfh": {"column": "sfr", "log10": True, "floor": -4},
}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(1)
    return {
        "galaxy_id": rng.permutation(ROWS) + 7,
        "ra": rng.uniform(0, 360, ROWS),
        "dec": rng.uniform(-60, 0, ROWS),
        "redshift_true": rng.uniform(0, 3, ROWS),
        "halo_mass": 10 ** rng.uniform(10, 14, ROWS),
        "stellar_mass": 10 ** rng.uniform(8, 11, ROWS),
        **{f"mag_{band}_lsst": rng.uniform(18, 26, ROWS) for band in BANDS},
        "sfr": np.where(rng.random((ROWS, 30)) < 0.2, 0, 10 ** rng.normal(0, 1, (ROWS, 30))),
    }


@pytest.fixture(scope="module")
def parquet(table, tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "cosmo.parquet"
    arrays = {k: pa.array(list(v)) if v.ndim == 2 else pa.array(v) for k, v in table.items()}
    pq.write_table(pa.table(arrays), path)
    return path


def read(path):
    with h5py.File(path) as file:
        return {name: data[:] for name, data in file.items() if isinstance(data, h5py.Dataset)}


def test_parquet_becomes_a_part(table, parquet, tmp_path):
    convert(parquet, 0, COLUMNS, tmp_path / "simulated-0000.h5")
    part = read(tmp_path / "simulated-0000.h5")
    assert set(part) == set(COLUMNS)
    np.testing.assert_array_equal(part["targetid"], table["galaxy_id"])
    np.testing.assert_array_equal(part["ra"], table["ra"])
    np.testing.assert_allclose(part["log_mhalo"], np.log10(table["halo_mass"]), rtol=1e-6)
    np.testing.assert_allclose(part["log_mstar"], np.log10(0.7 * table["stellar_mass"]), rtol=1e-6)
    np.testing.assert_allclose(part["lsst"][:, 3], table["mag_i_lsst"], rtol=1e-6)
    expected = np.log10(np.maximum(table["sfr"], 1e-4))
    np.testing.assert_allclose(part["sfh"], expected, atol=1e-6)
    build_galaxies([tmp_path / "simulated-0000.h5"], 1, tmp_path / "galaxies.parquet")
    galaxies = pq.read_table(tmp_path / "galaxies.parquet")
    assert len(galaxies) == ROWS and (np.diff(galaxies["targetid"]) > 0).all()
    assert np.isnan(galaxies["t_age"]).all()  # a label that this catalogue does not have


def test_a_catalogue_may_lack_bands_and_scalars(table, parquet, tmp_path):
    columns = {"ra": "ra", "dec": "dec", "lsst": ["mag_u_lsst", None, *(f"mag_{band}_lsst" for band in "rizy")]}
    convert(parquet, 0, columns, tmp_path / "simulated-0000.h5")
    part = read(tmp_path / "simulated-0000.h5")
    assert set(part) == {"targetid", "ra", "dec", "lsst"}
    assert np.isnan(part["lsst"][:, 1]).all()
    np.testing.assert_allclose(part["lsst"][:, 2], table["mag_r_lsst"], rtol=1e-6)
    build_galaxies([tmp_path / "simulated-0000.h5"], 1, tmp_path / "galaxies.parquet")
    galaxies = pq.read_table(tmp_path / "galaxies.parquet")
    assert np.isnan(galaxies["z"]).all() and np.isnan(galaxies["log_mhalo"]).all()


def test_hdf5_with_groups_and_without_identifiers(table, tmp_path):
    with h5py.File(tmp_path / "own.hdf5", "w") as file:
        for name, values in table.items():
            file[f"galaxies/{name}"] = values
    columns = {k: f"galaxies/{v}" for k, v in COLUMNS.items() if isinstance(v, str) and k != "targetid"}
    masses = {"column": "galaxies/halo_mass", "log10": True}
    convert(tmp_path / "own.hdf5", 2, columns | {"log_mhalo": masses, "log_mstar": masses}, tmp_path / "part.h5")
    part = read(tmp_path / "part.h5")
    np.testing.assert_array_equal(part["targetid"], 2 * 10**9 + np.arange(ROWS))
    np.testing.assert_allclose(part["redshift"], table["redshift_true"], rtol=1e-6)


IDENTIFIERS = {
    "1.5": np.array([1.0, 1.5]),
    "nan": pa.array([4, None]),
    "inf": np.array([np.inf, 1.0]),
    "9223372036854775808": np.array([1, 2**63], "u8"),
    "16777218.0": np.array([1, 2**24 + 2], "f4"),
    "9007199254740994.0": np.array([1, 2**53 + 2], "f8"),
}


def small(path, **columns):
    """A file of two galaxies, Parquet."""
    table = dict.fromkeys(("ra", "dec", "redshift_true"), np.array([1.0, 2.0]))
    table |= dict.fromkeys(("halo_mass", "stellar_mass"), np.array([1e10, 2e10]))
    pq.write_table(pa.table(table | columns), path)
    wanted = ("ra", "dec", "redshift", "log_mhalo", "log_mstar")
    return path, {name: COLUMNS[name] for name in (*wanted, *(["targetid"] * ("galaxy_id" in columns)))}


@pytest.mark.parametrize("value", IDENTIFIERS)
def test_an_identifier_that_would_change_gets_one_line(value, tmp_path):
    path, columns = small(tmp_path / "own.parquet", galaxy_id=IDENTIFIERS[value])
    with pytest.raises(BadInput, match=f"own.parquet: column galaxy_id for targetid holds {value}; expected whole"):
        convert(path, 0, columns, tmp_path / "part.h5")


@pytest.mark.parametrize("values", [np.array([3.0, 7.0]), np.array([3, 2**63 - 1]), np.array([3, 2**63 - 1], "u8")])
def test_identifiers_are_kept_to_the_last_digit(values, tmp_path):
    path, columns = small(tmp_path / "own.parquet", galaxy_id=values)
    convert(path, 0, columns, tmp_path / "part.h5")
    assert read(tmp_path / "part.h5")["targetid"].tolist() == [int(value) for value in values]


def test_right_ascensions_are_brought_to_0_to_360(tmp_path):
    path, columns = small(tmp_path / "own.parquet", ra=np.array([-30.0, 360.0]))
    convert(path, 0, columns, tmp_path / "part.h5")
    assert read(tmp_path / "part.h5")["ra"].tolist() == [330.0, 0.0]
    path, columns = small(tmp_path / "own.parquet", ra=np.array([10.0, 1e5]))
    with pytest.raises(BadInput, match="row 1 has no position on the sky"):
        convert(path, 0, columns, tmp_path / "part.h5")


def test_a_single_number_is_no_column(table, tmp_path):
    names = {name: COLUMNS[name] for name in ("ra", "dec", "redshift", "log_mhalo", "log_mstar")}
    with h5py.File(tmp_path / "own.h5", "w") as file:
        for name in ("ra", "dec", "redshift_true", "halo_mass"):
            file[name] = table[name]
        file["stellar_mass"] = 1e10
    with pytest.raises(BadInput, match="own.h5: column stellar_mass is a single number; expected one a galaxy"):
        convert(tmp_path / "own.h5", 0, names, tmp_path / "part.h5")


@pytest.mark.parametrize(
    "change, words",
    [
        ({"mass": "halo_mass"}, "'mass' is not known; allowed are targetid, ra"),
        ({"redshift": ["z", "z2"]}, "columns.redshift: .* is not allowed; expected a column, or"),
        ({"log_mhalo": {"column": "halo_mass", "log": True}}, "columns.log_mhalo: .* is not allowed"),
        ({"dec": None}, "columns.dec: None is not allowed"),
    ],
)
def test_a_wrong_map_gets_one_line(change, words, parquet, tmp_path):
    with pytest.raises(BadConfig, match=words) as error:
        convert(parquet, 0, COLUMNS | change, tmp_path / "part.h5")
    assert "\n" not in str(error.value) and not (tmp_path / "part.h5").exists()


def test_values_that_cannot_be_are_missing_and_counted(table, tmp_path, caplog):
    with h5py.File(tmp_path / "cosmo.h5", "w") as file:
        for name, values in table.items():
            file[name] = values
        file["mag_u_lsst"][[3, BLOCK + 3]] = 99.0
        file["redshift_true"][5] = -1.0
    convert(tmp_path / "cosmo.h5", 0, COLUMNS, tmp_path / "part.h5")
    part = read(tmp_path / "part.h5")
    assert np.argwhere(np.isnan(part["lsst"])).tolist() == [[3, 0], [BLOCK + 3, 0]]
    assert np.flatnonzero(np.isnan(part["redshift"])).tolist() == [5]
    total = 6 * ROWS
    assert f"cosmo.h5: 2 of {total} values outside lsst 0 to 45 mag(AB) are missing" in caplog.text
    assert f"1 of {ROWS} values outside redshift -0.01 to 20 are missing" in caplog.text


def test_a_mass_that_is_a_logarithm_already_is_refused(table, tmp_path):
    with h5py.File(tmp_path / "cosmo.h5", "w") as file:
        for name, values in table.items():
            file[name] = np.log10(values) if name == "stellar_mass" else values
    line = r"cosmo.h5: column stellar_mass: no value is in log_mstar 3 to 14 dex\(Msun\); check factor and log10"
    with pytest.raises(BadInput, match=line):
        convert(tmp_path / "cosmo.h5", 0, COLUMNS, tmp_path / "part.h5")
    assert not (tmp_path / "part.h5").exists()


def test_a_map_that_lacks_what_is_needed_gets_one_line(parquet, tmp_path):
    columns = {name: entry for name, entry in COLUMNS.items() if name != "dec"}
    with pytest.raises(BadConfig, match="no entry for dec; every simulated catalogue needs ra, dec"):
        convert(parquet, 0, columns, tmp_path / "part.h5")


def test_a_broken_file_gets_one_line(table, parquet, tmp_path):
    cases = {
        "cosmo.parquet: no column mag, found galaxy_id, ra": (parquet, COLUMNS | {"lsst": ["mag", "mag"]}),
        "column sfr .* for redshift: expected one number a galaxy": (parquet, COLUMNS | {"redshift": "sfr"}),
        "column ra .* for sfh: expected a vector a galaxy": (parquet, COLUMNS | {"sfh": "ra"}),
        "row 0 has no position on the sky": (parquet, COLUMNS | {"dec": "halo_mass"}),
        "expected a file that ends in .h5": (tmp_path / "catalogue.fits", COLUMNS),
        "no such file": (tmp_path / "absent.h5", COLUMNS),
        "cannot be read as Parquet": (tmp_path / "broken.parquet", COLUMNS),
    }
    (tmp_path / "broken.parquet").write_bytes(b"nothing")
    for words, (path, columns) in cases.items():
        with pytest.raises(BadInput, match=words) as error:
            convert(path, 0, columns, tmp_path / "part.h5")
        assert "\n" not in str(error.value) and not (tmp_path / "part.h5").exists()
