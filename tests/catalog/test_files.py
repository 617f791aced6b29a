"""The catalogue of a user's own spectra: numbers that stay, what is known of the objects, and what was lost."""

import h5py
import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest

from skyloom.catalog.columns import GALAXIES
from skyloom.catalog.file_rows import target_numbers
from skyloom.catalog.files import build_galaxies
from skyloom.catalog.galaxies import write_splits
from skyloom.core.errors import BadInput
from skyloom.formats.spectrum_parts import convert
from skyloom.tokens.own_spectra import tokenize_own_spectra
from skyloom.tokens.store import Shards, verify

GRID = {"start": 4000.0, "step": 2.0, "pixels": 400}
WAVE = 3990 + 1.5 * np.arange(600)


def write(path, rows=6, **columns):
    path.parent.mkdir(exist_ok=True, parents=True)
    rng = np.random.default_rng(len(str(path.name)))
    with h5py.File(path, "w") as file:
        file["flux"], file["wave"] = rng.normal(5, 1, (rows, len(WAVE))), WAVE
        for name, values in columns.items():
            file[name] = values
    return path


def made(folder, files, config=None, known=()):
    """Galaxies and flow table of a survey of one part a file."""
    parts = [folder / f"spectra-{number:04d}.h5" for number in range(len(files))]
    for path, part in zip(files, parts, strict=True):
        convert({str(path): path}, "auto", None, GRID, 0.1, part)
    given = {"parts": parts, "known": known}
    build_galaxies("mine", config or {"shards": 1}, given, folder / "galaxies.parquet", folder / "cuts.csv")
    return pandas.read_parquet(folder / "galaxies.parquet"), pandas.read_csv(folder / "cuts.csv"), parts


def test_a_galaxy_has_the_columns_of_other_surveys_and_its_place_in_the_users_file(tmp_path):
    first = write(tmp_path / "a" / "x.h5", targetid=np.arange(6) + 100, z=np.full(6, 0.3), log_mstar=np.full(6, 10.5))
    second = write(tmp_path / "b" / "x.h5", ra=np.full(6, -10.0), dec=[0, 10, 20, 30, 95, np.nan])
    galaxies, _, _ = made(tmp_path, [first, second], {"shards": 2})
    assert set(GALAXIES) < set(galaxies) and galaxies.targetid.is_monotonic_increasing
    known = galaxies[galaxies.identifier.str.isdigit()].set_index("identifier")
    assert known.targetid.tolist() == [100, 101, 102, 103, 104, 105] and (known.spectrum_file == "a/x.h5").all()
    assert known.spectrum_row.tolist() == list(range(6)) and (known.z == 0.3).all() and (known.healpix == -1).all()
    rest = galaxies[galaxies.spectrum_file == "b/x.h5"].sort_values("spectrum_row")
    assert rest.identifier.tolist() == [f"x:{row}" for row in range(6)] and rest.z.isna().all()
    assert (rest.ra.to_numpy()[:4] == 350).all()
    assert np.isnan(rest.dec.to_numpy()[4:]).all() and (rest.healpix.to_numpy()[:4] >= 0).all()
    assert set(known.shard) == {0} and set(rest.shard) == {1} and galaxies.ivar_estimated.all()
    schema = pq.read_schema(tmp_path / "galaxies.parquet")
    assert schema.field("ivar_estimated").type == "bool" and schema.field("identifier").metadata[b"ucd"] == b"meta.id"


def test_numbers_are_the_identifiers_or_stay_the_same_when_files_are_added():
    names = np.array(["39633345008634465", "-5", "007", "spec-1", "9" * 30, "twin", "twin"], dtype=object)
    files, rows = np.array(["f.h5"] * 7, dtype=object), np.arange(7)
    found = target_numbers(names, files, rows)
    assert found[0] == 39633345008634465 and found[1] == -5 and len(set(found)) == 7
    assert (found[2:] > 0).all() and found[2] != 7
    assert found[3] == 0x59DC7909BE09EF9C  # sha256sum of "spec-1", 63 bits
    more = target_numbers(np.append(["new"], names), np.append(["e.h5"], files), np.append([0], rows))
    np.testing.assert_array_equal(more[1:], found)


def test_the_flow_table_counts_what_was_put_aside_by_its_reason(tmp_path):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["flux"][2:4] = 0
    broken = tmp_path / "b.h5"
    broken.write_bytes(b"nothing")
    galaxies, flow, _ = made(tmp_path, [path, broken])
    assert len(galaxies) == 4
    assert flow[["step", "cut", "kept", "lost"]].values.tolist() == [
        ["spectra", "rows read", 7, 0],
        ["quarantine", "flux is zero or NaN everywhere", 5, 2],
        ["quarantine", "the file cannot be read", 4, 1],
    ]


def test_when_no_file_can_be_read_one_line_says_why(tmp_path):
    files = [tmp_path / "a.h5", tmp_path / "b.h5"]
    for path in files:
        path.write_bytes(b"nothing")
    with pytest.raises(BadInput, match=r"mine: no galaxy left: 'the file cannot be read' \(.*a.h5: .*not a readable"):
        made(tmp_path, files)


def test_tables_beside_the_spectra_say_what_is_known_of_them(tmp_path):
    path = write(tmp_path / "a.h5", targetid=np.arange(6) + 10**17, z=np.full(6, 0.3))
    (tmp_path / "z.csv").write_text(f"id,zspec,type\n{10**17 + 2},1.5,QSO\n{10**17 + 3},,STAR\n99,0.7,GALAXY\n")
    catalog = {"files": ["z.csv"], "identifier": {"column": "id"}, "redshift": {"column": "zspec"}}
    config = {"shards": 1, "catalog": {**catalog, "class": {"column": "type"}}}
    galaxies, _, _ = made(tmp_path, [path], config, [tmp_path / "z.csv"])
    assert galaxies.z.tolist() == [0.3, 0.3, 1.5, 0.3, 0.3, 0.3]
    assert galaxies.spectype.tolist() == ["", "", "QSO", "STAR", "", ""]
    (tmp_path / "z.csv").write_text("id,zspec,type\n99,0.7,GALAXY\n")
    with pytest.raises(BadInput, match=f"no identifier is that of a galaxy; it has 99, the galaxies have {10**17}"):
        made(tmp_path, [path], config, [tmp_path / "z.csv"])


def test_values_that_cannot_be_are_missing_and_counted(tmp_path):
    path = write(tmp_path / "a.h5", z=[0.1, -999, 0.2, 99, 0.3, np.nan])
    galaxies, flow, _ = made(tmp_path, [path])
    assert sorted(galaxies.z.dropna()) == [0.1, 0.2, 0.3] and flow[flow.step == "values"].lost.tolist() == [2]


def test_shards_hold_the_spectra_of_their_galaxies_and_say_what_is_not_there(tmp_path):
    files = [write(tmp_path / f"{name}.h5", rows=3 + len(name)) for name in ("a", "bb", "ccc")]
    with h5py.File(files[2], "r+") as file:
        file["flux"][0] = np.nan
    galaxies, _, parts = made(tmp_path, files, {"shards": 2})
    rows = 0
    for shard in range(2):
        out, aside = tmp_path / f"shard-{shard}.h5", tmp_path / f"quarantine-{shard}.csv"
        tokenize_own_spectra(tmp_path / "galaxies.parquet", parts[shard::2], GRID, shard, out, aside)
        verify(out)
        tokens = Shards([out])
        assert tokens.attrs["wavelength_start"] == 4000 and tokens.attrs["wavelength_step"] == 2
        assert tokens.attrs["modality"] == "spectrum" and tokens.shapes == {"flux": (400,), "ivar": (400,)}
        assert set(tokens.targetid) == set(galaxies[galaxies.shard == shard].targetid)
        rows += len(tokens)
        for row in galaxies[galaxies.shard == shard].itertuples():
            flux = tokens.read(tokens.rows(np.array([row.targetid])))["flux"][0]
            with h5py.File(tmp_path / row.spectrum_file) as file:
                expected = file["flux"][row.spectrum_row]
            middle = slice(50, 350)
            nearest = expected[np.abs(WAVE[:, None] - (4000 + 2.0 * np.arange(400))).argmin(0)]
            assert np.corrcoef(flux[middle], nearest[middle])[0, 1] > 0.6
    assert rows == len(galaxies) == 14
    lost = pandas.read_csv(tmp_path / "quarantine-0.csv")
    assert lost.values.tolist() == [[-1, str(files[2]), 0, "flux is zero or NaN everywhere"]]


def test_spectra_without_positions_are_split(tmp_path):
    made(tmp_path, [write(tmp_path / "a.h5", rows=200)])
    config = {"seed": 1, "split": {"kind": "random", "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}}}
    write_splits(tmp_path / "galaxies.parquet", config, tmp_path / "splits.parquet", tmp_path / "shared.json")
    counts = pandas.read_parquet(tmp_path / "splits.parquet").split.value_counts()
    assert counts.train > 90 and counts.validation > 15 and counts.test > 15
