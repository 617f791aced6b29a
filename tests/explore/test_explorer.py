"""Questions to a survey's embeddings: by galaxy, position, file, list; within limits; across modalities; as tables."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table

from skyloom.core.errors import BadConfig, BadInput
from skyloom.explore import ask
from skyloom.explore.explorer import Explorer
from skyloom.explore.index import build_index
from skyloom.explore.limits import parse_limits
from skyloom.explore.queries import File, Position, parse, read_list
from tests.explore.toy import FILES, N


@pytest.fixture(scope="module")
def explorer(results):
    folder, _ = results
    (folder / "toy/search").mkdir(exist_ok=True)
    for name in ("clip-image", "clip-spectrum"):
        build_index(folder / f"toy/embeddings/{name}.parquet", folder / f"toy/search/{name}.usearch")
    return Explorer(folder / "toy")


def vectors(results, name: str) -> np.ndarray:
    table = pq.read_table(results[0] / f"toy/embeddings/{name}.parquet")
    found = np.stack(table["embedding"].to_numpy()).astype("f8")
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.mark.parametrize("by", ["clip-image", "clip-spectrum"])
def test_neighbours_are_those_of_the_cosine_without_the_galaxy_itself(results, explorer, by):
    found = explorer.neighbours([10, 25], "clip-image", by=by, k=5).to_pandas()
    for number in (10, 25):
        cosine = vectors(results, "clip-image") @ vectors(results, by)[number - 10]
        order = np.argsort(-cosine, kind="stable") + 10
        order = order[order != number][:5] if by == "clip-image" else order[:5]
        mine = found[found["query_targetid"] == number]
        assert mine["targetid"].tolist() == order.tolist() and mine["rank"].tolist() == [1, 2, 3, 4, 5]
        np.testing.assert_allclose(mine["distance"], 1 - cosine[order - 10], atol=1e-4)


def test_a_users_file_of_the_same_galaxies_lands_on_them(results, explorer):
    folder, values = results
    for file, name in ((FILES["spectra"], "clip-spectrum"), (FILES["images"], "clip-image")):
        found = explorer.neighbours(File(str(folder / file)), name, k=1).to_pandas()
        assert len(found) == N and found["query_targetid"].isna().all()
        assert found["targetid"].tolist() == values["targetid"].tolist()
        assert found["distance"].max() < 1e-4
        assert found["query"].iloc[3] == f"{file}: 13"
    across = explorer.neighbours(File(str(folder / FILES["spectra"])), "clip-image", k=2).to_pandas()
    same = explorer.neighbours(values["targetid"].tolist(), "clip-image", by="clip-spectrum", k=2).to_pandas()
    assert (across["targetid"].to_numpy() == same["targetid"].to_numpy()).mean() > 0.95


def test_a_file_of_no_use_is_said(results, explorer, tmp_path):
    (tmp_path / "x.npz").write_bytes(b"not a file")
    with pytest.raises(BadInput, match="x.npz"):
        explorer.neighbours(File(str(tmp_path / "x.npz")), "clip-spectrum")
    bad = np.full((2, 200), np.nan)
    np.savez(tmp_path / "nan.npz", flux=bad, ivar=np.ones((2, 200)), wavelength=3600 + 0.8 * np.arange(200))
    with pytest.raises(BadInput, match="zero or NaN everywhere"):
        explorer.neighbours(File(str(tmp_path / "nan.npz")), "clip-spectrum", by="clip-spectrum")


def test_a_position_asks_for_all_galaxies_within_it(results, explorer):
    _, values = results
    sky = SkyCoord(values["ra"], values["dec"], unit="deg")
    for centre in ((359.9, 0.1, 2000.0), (0.05, -0.3, 1500.0)):
        separation = sky.separation(SkyCoord(*centre[:2], unit="deg")).arcsec
        inside = [int(values["targetid"][i]) for i in np.argsort(separation) if separation[i] <= centre[2]]
        found = explorer.neighbours(Position(*centre), "clip-image", k=1)
        assert found["query_targetid"].to_pylist() == inside and len(inside) > 2


def test_limits_of_columns_colours_and_texts(results, explorer):
    _, values = results
    limits = parse_limits(["z=0.2:0.7", "mag_g-mag_r=:0.5", "spectype=GALAXY,STAR"])
    found = explorer.neighbours(10, "clip-image", k=50, limits=limits).to_pandas()
    passed = (values["z"] >= 0.2) & (values["z"] <= 0.7) & (values["mag_g"] - values["mag_r"] <= 0.5)
    passed &= values["spectype"] == "GALAXY"
    assert set(found["targetid"]) == set(values["targetid"][passed]) and 0 < passed.sum() < 40
    assert 17 not in set(
        explorer.neighbours(10, "clip-image", k=59, limits={"mag_g": (-100, 100)})["targetid"].to_pylist()
    )
    for wrong in ({"nothing": (0, 1)}, {"z": {"GALAXY"}}, {"spectype": (0, 1)}, {"z; drop": (0, 1)}):
        with pytest.raises(BadConfig):
            explorer.neighbours(10, "clip-image", limits=wrong)
    for wrong in ("z", "z=", "=3", "z=1:2:3", "z=a:b", "z=nan:1"):
        with pytest.raises(BadConfig):
            parse_limits([wrong])


def test_properties_have_intervals_where_something_is_said(explorer):
    found = explorer.neighbours(10, "clip-image", k=59, level=0.9)
    told = found.to_pandas().set_index("targetid")
    known = told.index < 10 + N // 2
    assert told["z_net_properties"].notna().tolist() == known.tolist()
    np.testing.assert_allclose((told["z_net_properties_upper"] - told["z"])[known], 0.2)
    last = told[told.index >= 60].sort_index()
    np.testing.assert_allclose(last["z_clip_image_posterior"], np.arange(10) + 0.5, atol=1e-5)
    np.testing.assert_allclose(last["z_clip_image_posterior_lower"], np.arange(10) + 0.05, atol=1e-5)
    assert told[told.index < 60]["z_clip_image_posterior"].isna().all()
    words = found.schema.field("z_net_properties").metadata[b"description"].decode()
    assert "interval of level 0.8" in words and found.schema.field("ra").metadata[b"unit"] == b"deg"


def test_what_cannot_be_asked_is_refused_or_left_out_with_its_reason(explorer):
    found = explorer.neighbours([10, 999], "clip-image", k=2)
    assert json.loads(found.schema.metadata[b"left_out"]) == [["999", "galaxy 999 has no clip-image"]]
    assert explorer.pairings("clip") == [
        *(("clip-image", "clip-image"), ("clip-image", "clip-spectrum")),
        *(("clip-spectrum", "clip-image"), ("clip-spectrum", "clip-spectrum")),
    ]
    for wrong in ({"k": 0}, {"k": 10**6}, {"by": "none"}, {"level": 1.0}, {"embedding": "../../etc"}):
        with pytest.raises(BadConfig):
            explorer.neighbours(10, **{"embedding": "clip-image", **wrong})
    for wrong in (999, [], "1e400", Position(180, 0)):
        with pytest.raises(BadInput):
            explorer.neighbours(wrong, "clip-image")


def test_queries_in_text(tmp_path):
    (tmp_path / "mine.fits").write_bytes(b"x")
    (tmp_path / "list.txt").write_text("# many\n39627\n\n150.1 -2.2  # a place\n150.1, -2.2, 30\nmine.fits\n")
    expected = [39627, Position(150.1, -2.2, 1.0), Position(150.1, -2.2, 30.0), File(str(tmp_path / "mine.fits"))]
    assert read_list(tmp_path / "list.txt") == expected
    Table({"RA": [1.0, 2.0], "Dec": [3.0, 4.0]}).write(tmp_path / "t.csv")
    assert read_list(tmp_path / "t.csv") == [Position(1, 3), Position(2, 4)]
    Table({"TARGETID": [5, 6]}).write(tmp_path / "t.fits")
    assert read_list(tmp_path / "t.fits") == [5, 6]
    for wrong in ("", "x", "1 2 3 4", "400 0", "0 91", "nan 0", "1 1 -3", "9" * 30, "a\0b", "../" * 50, "x" * 5000):
        with pytest.raises(BadInput):
            parse(wrong)
    (tmp_path / "list.txt").write_text("39627\nno such\n")
    with pytest.raises(BadInput, match="line 2"):
        read_list(tmp_path / "list.txt")


def test_the_command_writes_all_forms(results, explorer, tmp_path, capsys):
    folder, _ = results
    (tmp_path / "list.txt").write_text("11\n12\n")
    rest = [
        "10",
        "--list",
        str(tmp_path / "list.txt"),
        "--embedding",
        "clip-image",
        "--by",
        "clip-spectrum",
        "--k",
        "4",
    ]
    for name in ("a.parquet", "a.vot", "a.csv"):
        ask.main([str(folder / "toy"), str(tmp_path / name), *rest, "--limit", "z=0:0.8"])
    assert "12 neighbours of 3 queries" in capsys.readouterr().out
    tables = [Table.read(tmp_path / "a.vot"), Table.read(tmp_path / "a.csv"), Table.read(tmp_path / "a.parquet")]
    for table in tables:
        assert table["targetid"].tolist() == tables[0]["targetid"].tolist() and len(table) == 12
    assert str(tables[0]["ra"].unit) == "deg" and (tables[0]["z"] <= 0.8).all()
    for wrong in (["--k", "0"], ["--limit", "no=1:2"], ["--embedding", "x"]):
        with pytest.raises(SystemExit) as error:
            ask.main([str(folder / "toy"), str(tmp_path / "a.csv"), *rest, *wrong])
        assert isinstance(error.value.code, str) and "\n" not in error.value.code
    with pytest.raises(SystemExit, match="ends in"):
        ask.main([str(folder / "toy"), str(tmp_path / "a.txt"), *rest])
