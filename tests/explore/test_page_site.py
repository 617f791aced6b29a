"""The files of the page: they say what the tables say, and open from a disk."""

import base64
import io
import json
import re

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
from PIL import Image

from skyloom.core.errors import BadInput
from skyloom.explore.page import pictures
from skyloom.explore.page.build import build
from skyloom.explore.page.maps import NOWHERE, STEPS
from skyloom.explore.page.site import CHUNK, NEIGHBOURS, PAGE, STATIC, Site, script
from skyloom.explore.page.sources import Sources
from skyloom.tokens.images import arcsinh_rgb
from skyloom.tokens.store import Shards
from tests.explore.page_toy import LOG_SCALE, PEAK, TEXT
from tests.explore.toy import PIXELS, SIDE, N


def content(data: bytes) -> object:
    """What a file hands to the page."""
    text = data.decode("ascii")
    found = re.fullmatch(r'skyloom\.got\("[a-z]+(?:-\d+)*",(.*)\);\n', text, re.S)
    assert found and "<" not in text
    return json.loads(found[1])


def array(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


@pytest.fixture(scope="module")
def site(page_results) -> Site:
    return Site(Sources.of_folder(page_results))


@pytest.fixture(scope="module")
def manifest(site) -> dict:
    return content(site.content("manifest.js"))


@pytest.fixture(scope="module")
def galaxies(page_results) -> pandas.DataFrame:
    return pq.read_table(page_results / "catalog/galaxies.parquet").to_pandas()


def test_columns_have_the_values_of_the_tables(site, manifest, galaxies):
    assert manifest["galaxies"] == N and not manifest["live"] and manifest["simulated"] is None
    assert array(content(site.content("targetid.js")), "<i8").tolist() == galaxies["targetid"].tolist()
    names = [column["name"] for column in manifest["columns"]]
    for number, column in enumerate(manifest["columns"]):
        raw = content(site.content(f"column-{number}.js"))
        if column["name"] in ("z", "mag_g", "ra"):
            np.testing.assert_array_equal(array(raw, "<f4"), galaxies[column["name"]].astype("f4"))
        elif column["name"] == "spectype":
            told = [column["classes"][code] for code in array(raw, "u1")]
            assert told == galaxies["spectype"].tolist() and TEXT in told
    assert {"z", "ra", "dec", "anomaly_place", "net, properties: z"} <= set(names) or any(
        "properties" in n for n in names
    )
    assert not {"targetid", "spectrum_file", "image_row", "shard", "zwarn"} & set(
        names
    )  # places, and what never varies


def test_numbers_of_a_galaxy_stand_beside_each_other_with_intervals(site, manifest, galaxies):
    first, last = content(site.content("details-0.js")), content(site.content(f"details-{(N - 1) // CHUNK}.js"))
    names = [column["name"] for column in manifest["columns"]]
    assert [g["id"] for g in first] == galaxies["targetid"].astype(str).tolist()[:CHUNK] and len(last) == N % CHUNK
    assert first[7]["values"][names.index("mag_g")] is None  # not known
    z = first[3]["values"][names.index("z")]
    said = next(i for i, name in enumerate(names) if name.endswith(": z"))
    np.testing.assert_allclose(first[3]["values"][said], [z, z - 0.1, z + 0.2], atol=1e-5)
    assert last[-1]["values"][said] is None


def test_places_on_a_map_are_those_of_the_umap_and_a_galaxy_without_one_is_nowhere(site, manifest):
    assert [place["name"] for place in manifest["maps"]] == ["clip-image", "clip-spectrum", "sky"]
    assert [place["how"] for place in manifest["maps"]][:2] == ["UMAP", "two leading principal components"]
    x, y = array(content(site.content("map-0.js")), "<u2").reshape(2, N).astype(float)
    assert x[-1] == y[-1] == NOWHERE
    (left, right), (low, high) = manifest["maps"][0]["x"], manifest["maps"][0]["y"]
    angle = np.linspace(0, 2 * np.pi, N, endpoint=False)[:-1]
    np.testing.assert_allclose(left + x[:-1] / STEPS * (right - left), np.cos(angle), atol=1e-4)
    np.testing.assert_allclose(low + y[:-1] / STEPS * (high - low), 0.5 * np.sin(angle), atol=1e-4)
    assert right - left == pytest.approx(high - low)  # a circle stays one
    assert manifest["maps"][2]["galaxies"] == N


def test_thumbnails_are_the_images_of_their_galaxies_north_up(site, manifest, page_results):
    assert manifest["images"] == [{"name": "image", "side": SIDE, "across": pictures.ACROSS}]
    sheet = np.asarray(Image.open(io.BytesIO(site.content("image-0-1.jpg")))) / 255
    shards = Shards([page_results / "tokens/image/shard-0000.h5"])
    flux = shards.read(np.array([CHUNK + pictures.ACROSS + 2]), ["flux"])["flux"][0]
    bright = np.array([0.299, 0.587, 0.114])  # of red, green, blue: JPEG keeps it finer than colour
    shown = sheet[SIDE : 2 * SIDE, 2 * SIDE : 3 * SIDE] @ bright
    expected = np.moveaxis(arcsinh_rgb(flux), 0, -1) @ bright
    alike = [np.corrcoef(shown.ravel(), image.ravel())[0, 1] for image in (expected[::-1], expected)]
    assert alike[0] > 0.9 and abs(alike[1]) < 0.4
    assert shown.mean() == pytest.approx(expected.mean(), abs=0.02)


def test_spectra_come_back_to_a_thousandth_and_masked_pixels_stay_masked(site, manifest, page_results):
    about = manifest["spectra"][0]
    assert (about["start"], about["step"], about["pixels"], about["binned"]) == (3600.0, pytest.approx(0.8), PIXELS, 1)
    piece = content(site.content("spectrum-0-0.js"))
    raw = array(piece["data"], "<i2").reshape(CHUNK, PIXELS).astype(float)
    low, high = np.array(piece["scale"]).T[:, :, None]
    flux = Shards([page_results / "tokens/spectrum/shard-0000.h5"]).read(np.arange(CHUNK), ["flux"])["flux"]
    np.testing.assert_allclose(low + (raw + 32767) / 65534 * (high - low), flux, atol=1e-3)
    assert piece["there"] == [1] * CHUNK


def test_pixels_are_binned_without_the_masked_ones():
    class Fine:
        wavelength = 3600.0 + np.arange(2500)

        def read_many(self, targetid):
            flux = np.tile(np.arange(2500.0), (1, 1))
            ivar = np.ones((1, 2500))
            ivar[0, 0] = ivar[0, 3:6] = 0
            return np.array([True]), np.stack([np.broadcast_to(self.wavelength, flux.shape), flux, ivar], axis=1)

    found = pictures.spectra(Fine(), np.array([1]))
    raw, (low, high) = array(found["data"], "<i2").astype(float), found["scale"][0]
    flux = low + (raw + 32767) / 65534 * (high - low)
    assert pictures.grid(Fine()) == (3601.0, 3.0, 833) and raw[1] == -32768
    np.testing.assert_allclose(flux[[0, 2, 3]], [1.5, 7, 10], atol=0.05)


def test_posteriors_keep_their_peak_and_their_sum(site, manifest):
    assert manifest["posteriors"][0]["name"] == "net" and manifest["posteriors"][0]["given"] == "spectrum"
    found = content(site.content("posterior-0-0.js"))
    grid = np.expm1(LOG_SCALE[0] + LOG_SCALE[1] * np.arange(LOG_SCALE[2]))
    assert found[19] and not found[20]  # the table has twenty galaxies
    assert found[0]["peak"] == pytest.approx(grid[PEAK], abs=2e-3)
    assert found[0]["p"].index(1000) == pytest.approx(PEAK / LOG_SCALE[2] * len(found[0]["p"]), abs=1.5)
    assert found[0]["from"] < grid[PEAK] < found[0]["to"] and max(found[0]["close"]) == 1000


@pytest.mark.parametrize("asked, found", [("image", "image"), ("image", "spectrum"), ("spectrum", "image")])
def test_neighbours_are_the_nearest_by_the_cosine(site, page_results, asked, found):
    def unit(name):
        values = np.stack(pq.read_table(page_results / f"embeddings/clip-{name}.parquet")["embedding"].to_numpy())
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    row = CHUNK + 5
    answer = content(site.content("neighbours-1.js"))[f"clip/{asked}-{found}"]
    cosine = unit(found).astype("f8") @ unit(asked)[row].astype("f8")
    order = np.argsort(-cosine, kind="stable")
    order = order[order != row] if asked == found else order
    assert answer["rows"][5] == order[:NEIGHBOURS].tolist()
    np.testing.assert_allclose(answer["distances"][5], 1 - cosine[order[:NEIGHBOURS]], rtol=5e-4)  # four digits


def test_every_pairing_of_a_shared_space_is_there(manifest):
    assert {pairing["name"] for pairing in manifest["pairings"]} == {
        f"clip/{a}-{b}" for a in ("image", "spectrum") for b in ("image", "spectrum")
    }


def test_anomalies_are_listed_by_place_with_their_cause(site):
    found = content(site.content("anomalies.js"))
    assert found == [{"row": N - 1 - k, "place": k + 1, "cause": "wrong_image"} for k in range(3)]


@pytest.mark.parametrize(
    "name",
    [
        "../site.py",
        "manifest",
        "manifest.js/",
        "column-99999.js",
        "column--1.js",
        "names-0.js",
        "image-0-0.js",
        "x" * 5000,
    ]
    + ["details-1-1.js", "details-99.js", "rows-0.js", "content-0.js", "targetid.jpg", "map-0.js\n", "sources-0.js"],
)
def test_no_other_file_is_given(site, name):
    with pytest.raises(KeyError):
        site.content(name)


def test_a_literal_cannot_end_its_script():
    told = {"a": "</script><!-- \u2028\u2029 \");alert(1)//'"}
    data = script("x", told)
    assert b"<" not in data and data.isascii() and content(data) == told


def test_the_folder_is_whole_the_same_twice_and_lists_its_files(page_results, tmp_path):
    for folder in ("a", "b"):
        build(Sources.of_folder(page_results), tmp_path / folder / "index.html")
    listed = pandas.read_csv(tmp_path / "a/files.csv")
    there = {str(path.relative_to(tmp_path / "a")) for path in (tmp_path / "a").rglob("*") if path.is_file()}
    assert set(listed["file"]) == there - {"files.csv"} and set(PAGE) < there
    assert (tmp_path / "a/files.csv").read_bytes() == (tmp_path / "b/files.csv").read_bytes()


def test_too_many_galaxies_for_a_folder_are_refused_and_sent_to_the_server(page_results, tmp_path):
    with pytest.raises(BadInput, match=r"60 galaxies.*holds 59 at most.*python -m skyloom\.explore"):
        build(Sources.of_folder(page_results), tmp_path / "index.html", most=N - 1)


def test_a_survey_of_a_catalogue_alone_has_a_page(page_results, tmp_path):
    site = Site(Sources("toy", str(page_results / "catalog/galaxies.parquet")))
    told = content(site.content("manifest.js"))
    assert [place["name"] for place in told["maps"]] == ["sky"] and not told["pairings"] and not told["images"]
    assert all(site.content(name) for name in site.names())


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no catalog/galaxies.parquet"):
        Sources.of_folder(tmp_path)


def test_the_page_names_no_address_and_runs_nothing_that_is_not_a_file_of_its_own():
    for name in PAGE:
        text = (STATIC / name).read_text()
        assert re.findall(r"https?://[^\s\"'`]+", text) in ([], ["http://www.w3.org/2000/svg"]), name
        assert not re.search(r"\beval\b|new Function|innerHTML|outerHTML|insertAdjacent|document\.write", text), name
    page = (STATIC / "index.html").read_text()
    assert "unsafe" not in page and not re.search(r"<script>|<style|\son\w+=|\sstyle=", page)
    named = set(re.findall(r'(?:src|href)="([^"]+)"', page))
    assert named == set(PAGE) - {"index.html"}
