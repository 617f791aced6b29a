"""HATS, VOTable and Parquet of a catalogue with embeddings: what other programs read of them is what went in."""

import hashlib
import io
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import votable
from astropy.table import Table

from skyloom.catalog import columns, share
from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats import hats_files, votables

COLUMNS = columns.GALAXIES | {"identifier": ("U", "", "meta.id", "What the user's file calls the object")}
N, WIDTH = 6_000, 8


def galaxies(path: Path, n: int = N, positions: bool = True) -> dict:
    """A catalogue: half of it in one clump, some at the poles and the wrap, five without a position."""
    rng = np.random.default_rng(4)
    ra = np.concatenate([rng.uniform(0, 360, n - n // 2), (rng.normal(0, 1, n // 2)) % 360])
    dec = np.concatenate([np.degrees(np.arcsin(rng.uniform(-1, 1, n - n // 2))), rng.normal(0, 1, n // 2)])
    dec[:4], ra[4:8] = [90, -90, 89.999, -89.999], [0, 360 - 1e-9, 0, 360 - 1e-9]
    dec[8 : 8 + 20] = dec[28:48] + 1.0 / 3600
    ra[8 : 8 + 20] = ra[28:48]
    ra[-5:] = np.nan if positions else ra[-5:]
    if not positions:
        ra[:] = np.nan
    values = {name: rng.normal(size=n) for name, (kind, *_) in COLUMNS.items() if kind == "f8"}
    values |= {name: rng.integers(0, 9, n) for name, (kind, *_) in COLUMNS.items() if kind in ("i4", "i8")}
    values |= {name: np.full(n, "") for name, (kind, *_) in COLUMNS.items() if kind == "U"}
    values |= {"ra": ra, "dec": dec, "targetid": np.sort(rng.choice(10**15, n, replace=False))}
    values["identifier"] = np.array([f"α{i}" if i % 2 else f"b{i}" for i in range(n)])
    values["spectype"] = np.where(rng.random(n) < 0.5, "GALAXY", "QSO")
    columns.write_table(path, values, COLUMNS)
    return values


def embeddings(path: Path, targetid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table of embeddings of two thirds of the galaxies."""
    rng = np.random.default_rng(5)
    kept = np.sort(rng.choice(len(targetid), 2 * len(targetid) // 3, replace=False))
    vectors = rng.normal(size=(len(kept), WIDTH)).astype("f4")
    table = {
        "targetid": targetid[kept],
        "split": np.where(rng.random(len(kept)) < 0.8, "train", "test"),
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), WIDTH),
    }
    pq.write_table(pa.table(table), path, row_group_size=1_000)
    return kept, vectors


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder, the galaxies, which have an embedding, and the embeddings."""
    folder = tmp_path_factory.mktemp("share")
    values = galaxies(folder / "galaxies.parquet")
    kept, vectors = embeddings(folder / "net-spectrum.parquet", values["targetid"])
    return folder, values, kept, vectors


@pytest.fixture(scope="module")
def hats(made):
    """The catalogue and the embeddings as HATS, in partitions of some hundred rows."""
    folder, *_ = made
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(share, "ROWS", 400)
        share.write_galaxies(folder / "galaxies.parquet", "tiny", folder / "hats/galaxies/collection.properties")
        table, target = folder / "net-spectrum.parquet", folder / "hats/net-spectrum/collection.properties"
        share.write_embeddings(folder / "galaxies.parquet", table, "tiny", target)
    return folder / "hats"


@pytest.fixture(scope="module")
def tables(made):
    """The catalogue and the embeddings in one table: VOTable and Parquet."""
    folder, *_ = made
    paths = folder / "galaxies.vot", folder / "shared.parquet"
    share.write_tables(folder / "galaxies.parquet", {"net_spectrum": folder / "net-spectrum.parquet"}, "tiny", *paths)
    return paths


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_lsdb_opens_what_was_written(made, hats):
    import lsdb

    _, values, *_ = made
    catalog = lsdb.open_catalog(hats / "galaxies")
    assert len(catalog.get_healpix_pixels()) > 10 and catalog.margin is not None
    found = catalog.compute(progress_bar=False).sort_values("targetid")
    placed = np.isfinite(values["ra"])
    assert len(found) == len(catalog) == placed.sum() == N - 5
    for name in ("targetid", "ra", "dec", "z", "identifier", "mag_r"):
        np.testing.assert_array_equal(found[name].to_numpy(), values[name][placed])
    assert catalog.hc_structure.catalog_info.catalog_name == "galaxies"


def test_a_cone_holds_what_brute_force_finds(made, hats):
    import lsdb

    _, values, *_ = made
    places = SkyCoord(np.nan_to_num(values["ra"]), values["dec"], unit="deg")
    for ra, dec, radius in ((0.0, 0.0, 1.0), (359.99, 0.3, 0.7), (123.0, 89.9, 8.0)):
        found = lsdb.open_catalog(hats / "galaxies").cone_search(ra, dec, radius * 3600).compute(progress_bar=False)
        inside = places.separation(SkyCoord(ra, dec, unit="deg")).deg < radius
        inside &= np.isfinite(values["ra"])
        assert inside.sum() > 10
        assert sorted(found["targetid"]) == sorted(values["targetid"][inside])


def test_catalogue_and_embeddings_match_each_galaxy_with_itself(made, hats):
    import lsdb

    _, values, kept, vectors = made
    left, right = (lsdb.open_catalog(hats / name) for name in ("galaxies", "net-spectrum"))
    found = left.crossmatch(right, radius_arcsec=0.5, suffixes=("", "_net"), suffix_method="all_columns")
    found = found.compute(progress_bar=False).sort_values("targetid")
    kept = kept[np.isfinite(values["ra"][kept])]
    placed = np.isfinite(values["ra"][np.sort(kept)])
    np.testing.assert_array_equal(found["targetid"], found["targetid_net"])
    np.testing.assert_array_equal(found["targetid"], values["targetid"][kept])
    assert len(found) > 0.6 * N and placed.all() and (found["_dist_arcsec"] == 0).all()
    read = np.stack(found["embedding_net"].to_numpy())
    np.testing.assert_array_equal(read, vectors[: len(kept)])  # those without a position are the last
    np.testing.assert_array_equal(found["z_net"], values["z"][kept])


def test_pairs_across_partitions_are_found_from_the_margin(made, hats):
    import lsdb

    _, values, *_ = made
    catalog = lsdb.open_catalog(hats / "galaxies")[["targetid", "ra", "dec"]]
    found = catalog.crossmatch(
        catalog, n_neighbors=5, radius_arcsec=5.0, suffixes=("_a", "_b"), suffix_method="all_columns"
    ).compute(progress_bar=False)
    placed = np.flatnonzero(np.isfinite(values["ra"]))
    places = SkyCoord(values["ra"][placed], values["dec"][placed], unit="deg")
    one, two, *_ = places.search_around_sky(places, 5 * u.arcsec)
    pairs = set(zip(values["targetid"][placed[one]], values["targetid"][placed[two]], strict=True))
    assert len(pairs) > N
    assert set(zip(found["targetid_a"], found["targetid_b"], strict=True)) == pairs


def test_margins_hold_all_that_is_near_a_partition_and_outside(tmp_path):
    # every point 9.9" from a point of another tile is in that tile's margin, whatever the tiles' sizes
    rng = np.random.default_rng(6)
    grid_tiles = hats_files.partition(np.where(np.arange(12 * 4**8) % 977 == 0, 50, 0), 60)
    tiles, margin = hats_files._Tiles(grid_tiles), hats_files._Tiles(grid_tiles, 10.0)
    ra, dec = rng.uniform(0, 360, 400_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 400_000)))
    near = SkyCoord(ra, dec, unit="deg").directional_offset_by(rng.uniform(0, 360, len(ra)) * u.deg, 9.9 * u.arcsec)
    own, other = hats_files.index_of(ra, dec), hats_files.index_of(near.ra.deg, near.dec.deg)
    tile, others = tiles.of(own)[1], tiles.of(other)[1]
    assert len(tile) == len(others) == len(ra)  # the tiles cover the sky
    across = np.flatnonzero(tile != others)
    assert len(across) > 100
    row, held = margin.of(other)
    kept = set(zip(row.tolist(), held.tolist(), strict=True))
    assert all((row, tile[row]) in kept for row in across.tolist())
    assert not (others[row] == held).any()


def test_the_same_rows_give_the_same_bytes_and_no_place_or_time(made, hats, tmp_path):
    folder, *_ = made
    for _ in range(2):  # the second time over what is there
        share.write_galaxies(folder / "galaxies.parquet", "tiny", tmp_path / "galaxies/collection.properties")
    first = digests(tmp_path / "galaxies")
    share.write_galaxies(folder / "galaxies.parquet", "tiny", tmp_path / "again/collection.properties")
    assert digests(tmp_path / "again") == first and len(first) > 10
    for path in (tmp_path / "galaxies").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()
    lines = (tmp_path / "galaxies/manifest.csv").read_text().splitlines()
    assert len(lines) == len(first) and "galaxies/partition_info.csv" in "".join(lines)


def test_units_ucds_and_descriptions_are_in_hats_too(hats):
    found = pq.read_schema(hats / "galaxies/galaxies/dataset/_common_metadata")
    assert found.field("flux_r").metadata[b"unit"] == b"nmgy"
    told = votable.parse(io.BytesIO(found.metadata[votables.CONTENT.encode()])).get_first_table()
    assert [field.name for field in told.fields] == found.names
    assert told.get_field_by_id_or_name("ra").ucd == "pos.eq.ra;meta.main"


def test_galaxies_without_a_position_are_counted_and_none_at_all_is_one_line(made, tmp_path, caplog):
    folder, *_ = made
    with caplog.at_level(logging.INFO):
        share.write_galaxies(folder / "galaxies.parquet", "tiny", tmp_path / "a/collection.properties")
    assert "galaxies: 5 galaxies without a position are left out" in caplog.text
    galaxies(tmp_path / "none.parquet", 60, positions=False)
    with pytest.raises(BadInput, match=r"galaxies: none of 60 rows has a position \(ra, dec\)"):
        share.write_galaxies(tmp_path / "none.parquet", "tiny", tmp_path / "b/collection.properties")


def test_without_the_extra_one_line_says_what_to_install(made, tmp_path, monkeypatch):
    folder, *_ = made
    monkeypatch.setitem(__import__("sys").modules, "hats", None)
    with pytest.raises(BadConfig, match=r"the package hats is not installed.*pip install .*\[hats\]"):
        share.write_galaxies(folder / "galaxies.parquet", "tiny", tmp_path / "collection.properties")


def test_astropy_reads_the_votable_with_units_and_ucds(made, tables):
    _, values, kept, vectors = made
    table = votable.parse(tables[0], verify="ignore").get_first_table()
    found = table.to_table(use_names_over_ids=True)
    assert found.colnames == [*COLUMNS, "net_spectrum"] and len(found) == N
    for name, (kind, unit, ucd, description) in COLUMNS.items():
        field = table.get_field_by_id_or_name(name)
        assert (field.ucd, field.description) == (ucd, description), name
        assert str(field.unit or "") == votables.vounit(unit).replace(".", " ").replace(
            "solMass yr**-1", "solMass / yr"
        )
        np.testing.assert_array_equal(np.asarray(found[name]), values[name].astype("U" if kind == "U" else kind))
    expected = np.full((N, WIDTH), np.nan, "f4")
    expected[kept] = vectors
    np.testing.assert_array_equal(np.ma.filled(found["net_spectrum"], np.nan), expected)
    assert found["mag_r"].unit == u.mag and str(found["flux_g"].unit) == "nmgy"


def test_the_votable_keeps_what_is_missing_false_and_foreign(tmp_path):
    schema = pa.schema([("number", pa.int32()), ("flag", pa.bool_()), ("text", pa.string()), ("plain", pa.string())])
    table = pa.table([[1, None, 3], [True, False, None], ["ä", None, "ω☉"], ["a", "bcd", ""]], schema=schema)
    votables.write_votable(
        tmp_path / "x.vot", "x", "", lambda columns: iter([table.select(columns or schema.names)]), schema
    )
    found = Table.read(tmp_path / "x.vot")
    assert found["number"].mask.tolist() == [False, True, False] and found["number"][2] == 3
    assert found["flag"].filled(False).tolist() == [True, False, False]
    assert found["text"].filled("").tolist() == ["ä", "", "ω☉"] and found["plain"].tolist() == ["a", "bcd", ""]


def test_astropy_reads_the_parquet_file_with_the_metadata_of_a_votable(made, tables):
    _, values, kept, vectors = made
    found = Table.read(tables[1], format="parquet")
    assert found["flux_g"].unit == u.nmgy and found["log_mstar"].unit == u.Unit("dex(solMass)")
    np.testing.assert_array_equal(found["net_spectrum"][kept], vectors)
    assert found["identifier"].tolist() == values["identifier"].tolist()
    metadata = pq.read_schema(tables[1]).metadata
    assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    told = votable.parse(io.BytesIO(metadata[b"IVOA.VOTable-Parquet.content"])).get_first_table()
    assert [field.name for field in told.fields] == found.colnames and not len(told.array)
    assert told.get_field_by_id_or_name("z").ucd == "src.redshift"


def test_rows_of_a_table_need_not_fit_a_batch(made, monkeypatch):
    folder, _, kept, vectors = made
    source = share.Galaxies(folder / "galaxies.parquet", {"net": folder / "net-spectrum.parquet"})
    whole = pa.concat_tables(source.batches())
    for size in (7, 999):
        monkeypatch.setattr(share, "_BATCH", size)
        parts = pa.concat_tables(source.batches())
        for name in whole.column_names:
            assert repr(parts[name].to_pylist()) == repr(whole[name].to_pylist()), name
    assert len(kept) == np.isfinite(np.stack(whole["net"].to_numpy())[:, 0]).sum()


def test_embeddings_of_galaxies_that_the_catalogue_has_not_are_refused(made, tmp_path):
    folder, *_ = made
    table = pq.read_table(folder / "net-spectrum.parquet")
    pq.write_table(table.set_column(0, "targetid", pa.array(np.arange(len(table)))), tmp_path / "net-image.parquet")
    with pytest.raises(BadInput, match="net-image.parquet: has galaxies that the catalogue has not"):
        share.write_embeddings(
            folder / "galaxies.parquet", tmp_path / "net-image.parquet", "tiny", tmp_path / "collection.properties"
        )
