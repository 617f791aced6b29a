"""Surveys made of files: the mock survey written as archives have theirs, read again, from the files to the report."""

import shutil

import h5py
import numpy as np
import pandas
import pytest
import yaml

from skyloom.formats import legacy
from tests.end_to_end.conftest import copy_project, run
from tests.formats import images as made_images

pytestmark = pytest.mark.end_to_end
PRESET = "resources/presets/astroclip_hdf5.yaml"
OWN = ["specformer", "astrodino", "astroclip"]  # of the preset's: no mock survey beside it
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
TARGETS = (
    *("results/astroclip/report.html", "results/stein/report.html"),
    "results/galaxiesml/tokens/hsc_image/statistics.json",
    *(f"results/pairs/tokens/{name}/statistics.json" for name in ("hsc_image", "spectrum")),
)


def tokens(folder, survey: str, modality: str, name: str = "flux") -> dict[int, np.ndarray]:
    """A dataset of all token shards of a survey by TARGETID."""
    rows = {}
    for path in sorted((folder / f"results/{survey}/tokens/{modality}").glob("shard-*.h5")):
        with h5py.File(path) as shard:
            rows |= dict(zip(shard["targetid"][:].tolist(), shard[name][:], strict=True))
    return rows


def of_mock(galaxies, name: str, folder):
    """(file, row) of every galaxy's image."""
    paths = {path.name: path for path in (folder / "results/mock/raw").rglob("*") if path.suffix in (".h5", ".hdf5")}
    return [(paths[file], row) for file, row in zip(galaxies[f"{name}_file"], galaxies[f"{name}_row"], strict=True)]


def write_files(mock, galaxies, spectra, out) -> None:
    """AstroCLIP's file of the mock's galaxies; the cutouts of Stein, parted in north and south; GalaxiesML's files."""
    cutouts = [legacy.read_cutouts(path, [row])[0] for path, row in of_mock(galaxies, "image", mock)]
    known = {"targetids": galaxies.targetid, "redshifts": galaxies.z}
    made_images.astroclip_hdf5(out / "astroclip_desi.1.1.5.h5", cutouts, 10, list(spectra), **known)
    names = dict.fromkeys(path for path, _ in of_mock(galaxies, "image", mock))
    for side, path in zip(("north", "south"), names, strict=False):
        (out / side).mkdir()
        cutouts = shutil.copy(path, out / side / "images_npix152_000000000_001000000.h5")
        with h5py.File(cutouts, "a") as file:
            del file["z_spec"]  # images, positions and fluxes, and nothing else
    names = dict.fromkeys(path for path, row in of_mock(galaxies[galaxies.hsc_row >= 0], "hsc", mock))
    for part, path in zip(("training", "testing"), names, strict=False):
        (out / f"5x64x64_{part}_with_morphology.hdf5").symlink_to(path)


def configuration(folder) -> tuple[str, ...]:
    """The preset with tiny models of its own, two surveys of images alone, one of pairs of spectra and HSC images."""
    common = {"split": {"fractions": SHARES}}
    surveys = {
        "astroclip": {"shards": 2, "split": {"fractions": SHARES}, "models_from": None, "models": OWN},
        "stein": {
            "kind": "legacy",
            "files": ["*/*.h5"],
            "addresses": {"stein": "data"},
            "models": ["pca_image"],
            **common,
        },
        "galaxiesml": {
            **{"kind": "hsc", "addresses": {"galaxiesml": "data"}, "parts": ["training", "testing"], **common},
            **{"split": {"kind": "published"}, "images": ["data/*/*.h5"], "modalities": ["hsc_image", "image"]},
            "cuts": [{"name": "near", "column": "z", "below": 0.5}],
        },
        "pairs": {"kind": "galaxiesml_spectra", "files": ["data/DESI_HSC_64x64.hdf5"], **common},
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump({"surveys": surveys, "report": ["astroclip", "stein"]}))
    return ("--configfile", "tiny.yaml", PRESET, "mine.yaml", "--cores", "1")


@pytest.fixture(scope="module")
def made(finished, tmp_path_factory):
    """The mock's folder, its galaxies, and a folder in which the surveys of files were run."""
    pairs = "results/mock/catalog/DESI_HSC_64x64.hdf5"
    done = run(finished, pairs, "--configfile", "tiny.yaml", "--cores", "1")
    assert done.returncode == 0, done.stderr[-3000:]
    folder = copy_project(tmp_path_factory.mktemp("files") / "skyloom")
    (folder / "data").mkdir()
    (folder / "data/DESI_HSC_64x64.hdf5").symlink_to(finished / pairs)
    galaxies = pandas.read_parquet(finished / "results/mock/catalog/galaxies.parquet")
    flux = tokens(finished, "mock", "spectrum")
    galaxies = galaxies[galaxies.targetid.isin(flux) & (galaxies.image_row >= 0)].reset_index(drop=True)
    write_files(finished, galaxies, [flux[t] for t in galaxies.targetid], folder / "data")
    done = run(folder, *TARGETS, *configuration(folder))
    assert done.returncode == 0, done.stderr[-5000:]
    return finished, galaxies, folder


def test_the_preset_ends_with_the_spectra_images_and_splits_of_the_file(made):
    mock, galaxies, folder = made
    found = pandas.read_parquet(folder / "results/astroclip/catalog/galaxies.parquet")
    assert len(galaxies) > 150 and set(found.targetid) <= set(galaxies.targetid)
    assert found.ivar_estimated.all() and found.ra.isna().all() and (found.healpix == -1).all()
    flow = pandas.read_csv(folder / "results/astroclip/catalog/cuts.csv")
    assert len(found) == len(galaxies) - flow[flow.step == "quarantine"].lost.sum() > 0.95 * len(galaxies)
    z = galaxies.set_index("targetid").z
    np.testing.assert_array_equal(found.z, z[found.targetid])
    theirs, ours = (tokens(where, survey, "image") for where, survey in ((mock, "mock"), (folder, "astroclip")))
    assert len(ours) == len(found) and all(np.array_equal(ours[t], theirs[t]) for t in ours)
    theirs, ours = (tokens(where, survey, "spectrum") for where, survey in ((mock, "mock"), (folder, "astroclip")))
    for t in ours:
        np.testing.assert_allclose(ours[t], theirs[t], rtol=1e-5, atol=1e-5)
    counts = pandas.read_parquet(folder / "results/astroclip/catalog/splits.parquet").split.value_counts()
    assert abs(counts.test / len(found) - 0.2) < 0.05 and 0.1 < counts.validation / len(found) < 0.3
    assert set(found.shard) == {0, 1}


def test_images_alone_are_surveys_with_reports(made):
    mock, galaxies, folder = made
    found = pandas.read_parquet(folder / "results/stein/catalog/galaxies.parquet")
    assert {file.partition("/")[0] for file in found.image_file} == {"north", "south"} and len(found) > 100
    assert found.z.isna().all() and found.flux_r.notna().all()
    assert pandas.read_csv(folder / "results/stein/analysis/regression.csv").empty
    theirs, ours = tokens(mock, "mock", "image"), tokens(folder, "stein", "image")
    row = {key: place for place, key in enumerate(zip(found.ra.round(9), found.dec.round(9), strict=True))}
    same = 0
    for path, line, targetid in (
        (*where, t) for where, t in zip(of_mock(galaxies, "image", mock), galaxies.targetid, strict=True)
    ):
        table = legacy.read_cutout_catalog(path)
        place = row.get((round(float(table["ra"][line]), 9), round(float(table["dec"][line]), 9)))
        if place is not None and targetid in theirs and found.targetid[place] in ours:
            assert np.array_equal(ours[found.targetid[place]], theirs[targetid])
            same += 1
    assert same > 80
    found = pandas.read_parquet(folder / "results/galaxiesml/catalog/galaxies.parquet")
    assert (found.z < 0.5).all() and (found.image_row >= 0).all() and (found.hsc_separation_arcsec == 0).all()
    splits = pandas.read_parquet(folder / "results/galaxiesml/catalog/splits.parquet")
    stated = found.set_index("targetid").published_split[splits.targetid].to_numpy()
    assert ((splits.split == "test") == (stated == "test")).all() and set(stated) == {"train", "test"}
    assert set(splits.split) == {"train", "validation", "test"}
    for survey in ("astroclip", "stein"):
        page = (folder / f"results/{survey}/report.html").read_text()
        assert "catalog.png" in page and "Traceback" not in page


def test_pairs_that_were_built_here_are_read_again(made):
    mock, _, folder = made
    found = pandas.read_parquet(folder / "results/pairs/catalog/galaxies.parquet")
    assert len(found) > 50 and not found.ivar_estimated.any() and found.ra.notna().all()
    theirs, ours = (tokens(where, survey, "hsc_image") for where, survey in ((mock, "mock"), (folder, "pairs")))
    assert set(ours) == set(found.targetid) and all(np.array_equal(ours[t], theirs[t]) for t in ours)
    for name in ("flux", "ivar"):
        theirs = tokens(mock, "mock", "spectrum", name)
        for t, values in tokens(folder, "pairs", "spectrum", name).items():
            np.testing.assert_allclose(values, theirs[t], rtol=1e-5, atol=1e-5)
