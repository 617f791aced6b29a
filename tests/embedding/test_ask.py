"""Queries about a table of the user's own: columns, units, missing values, files of any size."""

import subprocess
import sys

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from astropy import units as u
from astropy.table import Table
from safetensors.torch import save_file

from skyloom.core.errors import BadConfig, BadInput
from skyloom.core.files import write_json
from skyloom.embedding import ask as asking
from skyloom.embedding.ask import ask, ask_file
from skyloom.models import networks
from skyloom.models.mosaic.objective import Objective
from tests.models.test_mosaic import SHAPE, SMALL, galaxies


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mosaic")
    torch.manual_seed(0)
    model = networks.build({"kind": "mosaic", "modalities": list(SMALL), "model": SHAPE})
    axis = np.linspace(0, 13.8, 21).tolist()
    scalars = {name: {"mean": 1.0, "std": 2.0} for name in ("redshift", "log_mhalo", "log_mstar")}
    vector = {"values": {"mean": 20.0, "std": 3.0}}
    model.standardise({"scalars": {"values": scalars}, "lsst": vector, "sfh": {**vector, "axis": axis}})
    Objective(model).finish(iter(()), iter([galaxies(80, 3)]))
    save_file(model.state_dict(), folder / "model.safetensors")
    write_json(folder / "model.json", {"config": model.description, "name": "small"})
    return folder


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return pandas.DataFrame(
        {"id": [f"g{i}" for i in range(30)], **{f"lsst_{b}": rng.normal(22, 1, 30) for b in "ugrizy"}}
    )


def test_answers_have_the_identifier_units_and_intervals(folder, table):
    found = ask(folder, table, wanted=["redshift", "log_mstar", {"sfh": [0, 6.9]}])
    assert found["id"].to_pylist() == table["id"].tolist()
    assert found.schema.field("log_mstar").metadata == {b"unit": b"dex(Msun)"}
    assert found.schema.field("sfh_upper").metadata == {b"unit": b"dex(Msun/yr)"}
    assert found.schema.field("sfh").type.list_size == 10
    low, middle, high = (found[f"redshift{end}"].to_numpy() for end in ("_lower", "", "_upper"))
    assert (low <= middle).all() and (middle <= high).all()


def test_without_words_all_known_columns_are_given_and_all_else_is_wanted(folder, table):
    found = ask(folder, table)
    assert {"redshift", "log_mhalo", "log_mstar", "sfh"} <= set(found.column_names)
    assert "lsst_r" not in found.column_names


def test_columns_and_values_may_be_missing(folder, table):
    part = table.drop(columns=["lsst_y"])
    part.loc[3, "lsst_g"] = np.nan
    found = ask(folder, part, wanted=["redshift"])
    whole = ask(folder, part.drop(columns=["lsst_g"]).iloc[3:4], wanted=["redshift"])
    assert np.isfinite(found["redshift"].to_numpy()).all()
    hole = ask(folder, part.iloc[3:4], given=["lsst_u", "lsst_r", "lsst_i", "lsst_z"], wanted=["redshift"])
    assert hole["redshift"].to_pylist() == pytest.approx(whole["redshift"].to_pylist(), abs=1e-5)


def test_a_magnitude_of_99_counts_as_missing_and_is_said(folder, table, caplog):
    sentinel = table.copy()
    sentinel.loc[0, "lsst_u"] = 99.0
    missing = table.copy()
    missing.loc[0, "lsst_u"] = np.nan
    with caplog.at_level("WARNING"):
        found = ask(folder, sentinel, wanted=["redshift"])
    assert found["redshift"].equals(ask(folder, missing, wanted=["redshift"])["redshift"])
    assert "column lsst_u: 1 values cannot be and count as missing" in caplog.text


def test_tables_of_pandas_astropy_and_pyarrow_get_the_same_answers(folder, table):
    expected = ask(folder, table, wanted=["redshift"])
    for other in (pa.Table.from_pandas(table), Table.from_pandas(table)):
        assert ask(folder, other, wanted=["redshift"])["redshift"].equals(expected["redshift"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: {"given": ["lsst_w"]}, "'lsst_w' is not known"),
        (lambda t: {"given": ["sfh"]}, "no column of sfh, which is given"),
        (lambda t: {"given": ["lsst_u", "log_mstar"]}, "no column of log_mstar, which is given"),
        (lambda t: {"wanted": ["sed"]}, "'sed' is not known to this model"),
        (lambda t: {"level": 0.999}, "level: 0.999 is not allowed; must be at most 0.95"),
    ],
)
def test_a_wrong_query_gets_one_line(folder, table, change, words):
    with pytest.raises((BadConfig, BadInput)) as error:
        ask(folder, table, **change(table))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_band_that_is_given_must_be_there(folder, table):
    with pytest.raises(BadInput, match="no column of lsst_i, which is given; its columns are id, lsst_u"):
        ask(folder, table.drop(columns=["lsst_i"]), given=["lsst_u", "lsst_i"], wanted=["redshift"])
    vector = pa.table({"lsst": [[24.0, 23.5, 23.0, 22.5, 22.0, 21.5]]})
    assert len(ask(folder, vector, given=["lsst_u", "lsst_i"], wanted=["redshift"])) == 1


def test_a_wrong_unit_or_shape_gets_one_line(folder, table):
    other = Table.from_pandas(table)
    other["lsst_r"].unit = u.nJy
    with pytest.raises(BadInput, match=r"column lsst_r is in nJy; expected mag\(AB\)"):
        ask(folder, other)
    with pytest.raises(BadInput, match="column sfh has .* expected 20 numbers a galaxy"):
        ask(folder, pa.table({"sfh": [[1.0, 2.0]] * 3}))
    with pytest.raises(BadInput, match="no column that the model knows, such as redshift"):
        ask(folder, pa.table({"mag_r": [1.0]}))


def test_a_file_is_streamed_and_answered_as_the_table_is(folder, table, tmp_path, monkeypatch):
    pq.write_table(pa.Table.from_pandas(table), tmp_path / "mine.parquet")
    table.to_csv(tmp_path / "mine.csv", index=False)
    expected = ask(folder, table, wanted=["redshift"])
    monkeypatch.setattr(asking, "BLOCK", 7)
    for name in ("mine.parquet", "mine.csv"):
        assert ask_file(folder, tmp_path / name, tmp_path / "out.parquet", wanted=["redshift"]) == 30
        found = pq.read_table(tmp_path / "out.parquet")
        assert np.allclose(found["redshift"].to_numpy(), expected["redshift"].to_numpy(), atol=1e-4)


def test_the_command_line_asks_ranges_and_ends_with_one_line(folder, table, tmp_path):
    pq.write_table(pa.Table.from_pandas(table), tmp_path / "mine.parquet")
    command = [sys.executable, "-m", "skyloom.embedding.ask", str(folder), str(tmp_path / "mine.parquet")]
    command += [str(tmp_path / "out.parquet"), "--threads", "1", "--wanted", "sfh:0:6.9"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "30 of 30 galaxies" in done.stderr
    assert pq.read_schema(tmp_path / "out.parquet").names == ["id", "sfh", "sfh_lower", "sfh_upper"]
    done = subprocess.run([*command[:-1], "sfh:0:x"], capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.strip() == "sfh:0:x: expected a name, or a range such as sfh:0:10"
