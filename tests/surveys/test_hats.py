"""The kind `hats`: which partitions are wanted, what describes a catalogue, and what is said of a broken one."""

import json
import re

import numpy as np
import pytest
from astropy import units as u
from astropy_healpix import HEALPix, lonlat_to_healpix

from skyloom.core.errors import BadConfig, BadInput, NotAvailable
from skyloom.settings.listing import Listed
from skyloom.settings.section import parse
from skyloom.surveys import hats
from skyloom.surveys.common import partitions
from skyloom.surveys.common.archives import Access
from tests.archive import Archive, serving

PROPERTIES = "#HATS catalog\nobs_collection=x\nhats_nrows=40\nhats_npix_suffix=.parquet\n"
INFO = "Norder,Npix\n1,17\n0,3\n1,16\n"
QUICK = Access(tries=2, pause=0.0, timeout=5.0).plain()
NO_FOOTPRINT = {"ra": [0.0, 360.0], "dec": [-90.0, 90.0]}


FINEST = 5


def tiling(rng: np.random.Generator, finest: int = FINEST) -> np.ndarray:
    """Pixels of many orders that cover the sky."""
    found, pixels = [], np.arange(12)
    for order in range(finest):
        split = rng.random(len(pixels)) < 0.5
        found += [(order, pixel) for pixel in pixels[~split]]
        pixels = (4 * pixels[split][:, None] + np.arange(4)).ravel()
    return np.array(found + [(finest, pixel) for pixel in pixels])


def holding(tiles: np.ndarray, ra, dec) -> np.ndarray:
    """The number of the tile of each position."""
    order, pixel = tiles.T
    start = pixel << 2 * (FINEST - order)
    by_start = np.argsort(start)
    at = lonlat_to_healpix(ra * u.deg, dec * u.deg, 2**FINEST, order="nested")
    return by_start[np.searchsorted(start[by_start], at, side="right") - 1]


@pytest.mark.parametrize(
    "box", [([10, 40], [5, 20]), ([350, 10], [-3, 3]), ([0, 360], [80, 90]), ([100, 101], [88, 90])]
)
def test_partitions_of_a_footprint_are_all_that_hold_a_place_in_it_and_few_others(box):
    rng = np.random.default_rng(1)
    tiles, (ra_range, dec_range) = tiling(rng), box
    ra = (ra_range[0] + rng.random(40_000) * ((ra_range[1] - ra_range[0] - 1e-9) % 360)) % 360
    low, high = np.sin(np.radians(dec_range))
    dec = np.degrees(np.arcsin(rng.uniform(low, high, 40_000)))
    needed = set(holding(tiles, ra, dec))
    found = partitions.inside(tiles, {"ra": list(map(float, ra_range)), "dec": list(map(float, dec_range))})
    kept = {number for number, tile in enumerate(tiles.tolist()) if tile in found.tolist()}
    assert needed <= kept and len(kept) < 0.5 * len(tiles)
    assert len(partitions.inside(tiles, NO_FOOTPRINT)) == len(tiles)


def test_partitions_that_touch_others_are_all_with_a_place_next_to_one():
    rng = np.random.default_rng(2)
    tiles, others = tiling(rng), tiling(np.random.default_rng(3))
    first = others[rng.choice(len(others), 6, replace=False)]
    ra, dec = rng.uniform(0, 360, 200_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 200_000)))
    inside = np.isin(holding(others, ra, dec), np.flatnonzero((others[:, None] == first).all(-1).any(1)))
    near_ra, near_dec = ra[inside] + rng.normal(0, 0.01, inside.sum()), np.clip(dec[inside], -89.9, 89.9)
    needed = set(holding(tiles, ra[inside], dec[inside])) | set(holding(tiles, near_ra % 360, near_dec))
    found = partitions.touching(tiles, first)
    kept = {number for number, tile in enumerate(tiles.tolist()) if tile in found.tolist()}
    assert needed <= kept and len(kept) < 0.5 * len(tiles)
    grid = HEALPix(2, order="nested")  # neighbours, and nothing further
    around = partitions.touching(np.stack([np.ones(48, int), np.arange(48)], axis=1), np.array([[1, 17]]))
    assert sorted(around[:, 1]) == sorted({17, *grid.neighbours(17).tolist()} - {-1})


def settings(tmp_path, **more) -> hats.HatsSettings:
    for name in ("a", "b"):
        (tmp_path / name).mkdir(exist_ok=True)
    given = {"kind": "hats", "catalogs": {"spectrum": str(tmp_path / "a"), "image": str(tmp_path / "b")}, **more}
    return parse(hats.HatsSettings, given, "surveys.x", {})


def test_a_survey_says_what_it_waits_for_and_then_which_files_it_has(tmp_path):
    given = settings(tmp_path)
    assert hats.raw_files(given) == {"metadata": ["hats/spectrum/catalog.json", "hats/image/catalog.json"]}
    assert hats.later(given) == ("partitions", "spectra") and hats.told(given, ()) == {"spectrum": [], "image": []}
    one = str(tmp_path / "a")
    both = settings(tmp_path, catalogs={"spectrum": one, "hsc_image": f"{one}/"})
    assert hats.raw_files(both) == {"metadata": ["hats/spectrum/catalog.json"]}
    told = hats.told(both, [Listed("partitions", "hats/spectrum/dataset/Norder=1/Dir=0/Npix=3.parquet", 0)])
    assert told["spectrum"] == told["hsc_image"] == ["raw:hats/spectrum/dataset/Norder=1/Dir=0/Npix=3.parquet"]
    assert hats.later(settings(tmp_path, catalogs={"image": one}, modalities=["image"])) == ("partitions",)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"catalogs": {}}, "catalogs: names no catalogue"),
        ({"catalogs": {"image": "nowhere"}}, "catalogs.image: 'nowhere' is no folder; expected one, or an address"),
        ({"files": ["config.yaml"]}, "files: a survey of kind hats has its files from `catalogs`"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, more, text):
    with pytest.raises(BadConfig, match=re.escape(text)):
        settings(tmp_path, **more)


def write(folder, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("inside", ["", "x"])
@pytest.mark.parametrize("remote", [False, True])
def test_what_describes_a_catalogue_is_read_here_and_from_a_server_alone_or_in_a_collection(tmp_path, inside, remote):
    place = f"{inside}/" if inside else ""
    files = {f"{place}properties": PROPERTIES, f"{place}partition_info.csv": INFO}
    files[f"{place}dataset/Norder=0/Dir=0/Npix=3.parquet"] = "rows"
    if inside:
        files["collection.properties"] = "obs_collection=x\nhats_primary_table_url=x\n"
    write(tmp_path / "a", files)
    with serving(Archive({f"/c/{name}": text.encode() for name, text in files.items()})) as archive:
        base = f"{archive.url}/c/" if remote else str(tmp_path / "a")
        given = {"catalogs": {"image": base}, "footprint": NO_FOOTPRINT, "access": QUICK}
        raw = tmp_path / "raw"
        hats.fetch(given, 1, "hats/image/catalog.json", raw / "hats/image/catalog.json")
        found = json.loads((raw / "hats/image/catalog.json").read_text())
        assert found["inside"] == inside and found["properties"]["hats_nrows"] == "40"
        assert found["partitions"] == [[0, 3], [1, 16], [1, 17]] and base not in json.dumps(found)
        listed = hats.partitions(given, raw)
        assert [file.file for file in listed][0] == "hats/image/dataset/Norder=0/Dir=0/Npix=3.parquet"
        assert {file.role for file in listed} == {"partitions"} and len(listed) == 3
        hats.fetch(given, 1, listed[0].file, raw / listed[0].file)
        assert (raw / listed[0].file).read_text() == "rows"
        with pytest.raises(NotAvailable, match="Npix=16.parquet"):
            hats.fetch(given, 1, listed[1].file, raw / listed[1].file)
        assert not (raw / listed[1].file).exists()


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({}, "a: no HATS catalogue; expected hats.properties or properties or collection.properties there"),
        ({"hats.properties": PROPERTIES}, "a/partition_info.csv: no such file; expected the list of the partitions"),
        (
            {"hats.properties": PROPERTIES, "partition_info.csv": "order,pixel\n1,2\n"},
            "a/partition_info.csv: not a list of partitions; expected numbers in the columns Norder, Npix",
        ),
        ({"hats.properties": PROPERTIES, "partition_info.csv": "Norder,Npix\n"}, "lists no partition"),
        (
            {"hats.properties": "hats_npix_suffix=/\n", "partition_info.csv": INFO},
            "a: partitions end in /; expected .parquet",
        ),
    ],
)
def test_a_broken_catalogue_is_one_line(tmp_path, files, text):
    (tmp_path / "a").mkdir()
    write(tmp_path / "a", files)
    given = {"catalogs": {"image": str(tmp_path / "a")}, "access": QUICK}
    with pytest.raises(BadInput, match=re.escape(text)):
        hats.fetch(given, 1, "hats/image/catalog.json", tmp_path / "raw/hats/image/catalog.json")


def test_only_partitions_of_the_footprint_and_what_touches_them_are_wanted(tmp_path):
    spectra = [[2, pixel] for pixel in range(192)]
    images = [[4, pixel] for pixel in range(3072)]
    for name, pixels in (("spectrum", spectra), ("image", images)):
        write(tmp_path, {f"hats/{name}/catalog.json": json.dumps({"inside": "", "partitions": pixels})})
    given = {"catalogs": {"spectrum": "a", "image": "b"}, "footprint": {"ra": [40.0, 42.0], "dec": [1.0, 3.0]}}
    listed = hats.partitions(given, tmp_path)
    count = {role: sum(file.role == role for file in listed) for role in ("partitions", "spectra")}
    of = [sum(f"hats/{name}/" in file.file for file in listed) for name in ("spectrum", "image")]
    assert 1 <= count["spectra"] == of[0] <= 4 and 16 * of[0] <= of[1] <= 40 * of[0]
    few = hats.partitions({**given, "most_partitions": 1}, tmp_path)
    assert sum("hats/spectrum/" in file.file for file in few) == 1
    write(tmp_path, {"hats/spectrum/catalog.json": json.dumps({"inside": "", "partitions": [[8, 5]]})})
    with pytest.raises(BadInput, match="a: none of 1 partitions touches"):
        hats.partitions({**given, "footprint": {"ra": [200.0, 201.0], "dec": [-60.0, -59.0]}}, tmp_path)
