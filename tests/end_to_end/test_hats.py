"""A survey of HATS catalogues: the mock survey written as the Multimodal Universe has its data, served, read again."""

import h5py
import numpy as np
import pandas
import pytest
import yaml
from astropy.table import Table

from skyloom.formats import galaxiesml, legacy
from tests.archive import Archive, serving
from tests.end_to_end.conftest import copy_project, run
from tests.formats import hats

pytestmark = pytest.mark.end_to_end
WAVELENGTH = 3600 + 0.8 * np.arange(7781)
SHARED = (
    "hats/galaxies/collection.properties",
    "hats/pca_spectrum-spectrum/collection.properties",
    "share/galaxies.vot",
)


def tokens(folder, survey: str, modality: str, name: str = "flux") -> dict[int, np.ndarray]:
    """A dataset of all token shards of a survey by TARGETID."""
    rows = {}
    for path in sorted((folder / f"results/{survey}/tokens/{modality}").glob("shard-*.h5")):
        with h5py.File(path) as shard:
            rows |= dict(zip(shard["targetid"][:].tolist(), shard[name][:], strict=True))
    return rows


def images_of_mock(galaxies, name: str, folder) -> np.ndarray:
    """Images of galaxies, nanomaggies."""
    paths = {path.name: path for path in (folder / "results/mock/raw").rglob("*") if path.suffix in (".h5", ".hdf5")}
    read = legacy.read_cutouts if name == "image" else galaxiesml.read_images
    rows = zip(galaxies[f"{name}_file"], galaxies[f"{name}_row"], strict=True)
    unit = 1.0 if name == "image" else galaxiesml.COUNTS_PER_NANOMAGGY
    return np.array([read(paths[file], [row])[0] for file, row in rows]) / unit


def write_catalogs(mock, galaxies, folder) -> None:
    """Spectra, Legacy and HSC images of the mock's galaxies, each a catalogue of its own in its own order."""
    flux, ivar = (tokens(mock, "mock", "spectrum", name) for name in ("flux", "ivar"))
    place = {"ra": galaxies.ra.to_numpy(), "dec": galaxies.dec.to_numpy()}
    known = {"object_id": [str(t) for t in galaxies.targetid], **place, "Z": galaxies.z.to_numpy()}
    spectra = hats.spectra(*(np.array([rows[t] for t in galaxies.targetid]) for rows in (flux, ivar)), WAVELENGTH)
    hats.write(folder / "spectra", "mmu_desi", 60, {**known, "spectrum": spectra})
    for modality, name, bands, scale in (
        ("image", "image", ("des-g", "des-r", "des-z"), legacy.PIXEL_SCALE),
        ("hsc_image", "hsc", tuple(f"HSC-{band}" for band in "GRIZY"), galaxiesml.PIXEL_SCALE),
    ):
        there = galaxies[galaxies[f"{name}_row"] >= 0].sample(frac=1.0, random_state=1)
        pixels = hats.images(images_of_mock(there, name, mock), bands, scale)
        table = {"object_id": [f"{modality}-{row}" for row in range(len(there))], "ra": there.ra, "dec": there.dec}
        hats.write(folder / modality, f"mmu_{modality}", 60, {**table, "image": pixels})


@pytest.fixture(scope="module")
def made(finished, tmp_path_factory):
    """The mock's folder, its galaxies, the server and the folder in which the survey of HATS catalogues was run."""
    galaxies = pandas.read_parquet(finished / "results/mock/catalog/galaxies.parquet")
    flux = tokens(finished, "mock", "spectrum")
    galaxies = galaxies[galaxies.targetid.isin(flux)].reset_index(drop=True)
    folder = copy_project(tmp_path_factory.mktemp("hats") / "skyloom")
    write_catalogs(finished, galaxies, folder / "data")
    files = {f"/{path.relative_to(folder)}": path for path in (folder / "data").rglob("*") if path.is_file()}
    with serving(Archive(files)) as archive:
        survey = {
            "kind": "hats",
            "catalogs": {"spectrum": f"{archive.url}/data/spectra", "image": "data/image"},
            "modalities": ["spectrum", "image", "hsc_image"],
            "footprint": {"ra": [float(galaxies.ra.quantile(0.3)), 360.0], "dec": [-90.0, 90.0]},
            "crossmatch": {"lsdb_above": 100, "require": ["image"]},
            "models": ["pca_spectrum"],
            "split": {"fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}},
        }
        survey["catalogs"]["hsc_image"] = f"{archive.url}/data/hsc_image/mmu_hsc_image"
        (folder / "mine.yaml").write_text(yaml.safe_dump({"surveys": {"universe": survey}}))
        wanted = [f"results/universe/tokens/{name}/statistics.json" for name in survey["modalities"]]
        wanted += [f"results/universe/{name}" for name in SHARED]
        done = run(folder, *wanted, "--configfile", "tiny.yaml", "mine.yaml", "--cores", "1")
        assert done.returncode == 0, done.stderr[-5000:]
        yield finished, galaxies, archive, folder


def test_tokens_of_hats_catalogues_are_those_of_the_files_they_were_made_of(made):
    mock, galaxies, _, folder = made
    found = pandas.read_parquet(folder / "results/universe/catalog/galaxies.parquet").set_index("targetid")
    wanted = galaxies[(galaxies.ra >= galaxies.ra.quantile(0.3)) & (galaxies.image_row >= 0)].set_index("targetid")
    assert set(found.index) <= set(wanted.index) and len(found) > 0.95 * len(wanted) > 100
    assert (found.separation_arcsec < 1).all() and (found.hsc_row >= 0).mean() > 0.3
    np.testing.assert_array_equal(found.z, wanted.z[found.index])
    for modality in ("image", "hsc_image"):
        theirs, ours = (tokens(where, name, modality) for where, name in ((mock, "mock"), (folder, "universe")))
        assert len(ours) > 30 and set(ours) <= set(found.index)
        for t in set(ours) & set(theirs):
            np.testing.assert_allclose(ours[t], theirs[t], rtol=1e-5, atol=1e-5)
    noise = tokens(mock, "mock", "spectrum", "ivar")  # a pixel without weight has no flux to compare
    for name in ("flux", "ivar"):
        theirs = tokens(mock, "mock", "spectrum", name)
        ours = tokens(folder, "universe", "spectrum", name)
        assert len(ours) == len(found)
        for t, values in ours.items():
            seen = slice(None) if name == "ivar" else noise[t] > 0
            np.testing.assert_allclose(values[seen], theirs[t][seen], rtol=1e-5, atol=1e-5)


def test_only_partitions_of_the_footprint_were_fetched_and_by_lsdb_they_were_matched(made):
    _, _, archive, folder = made
    asked = {path for path, _, status in archive.seen if status == 200 and "Npix=" in path and "arcs" not in path}
    there = {path for path in archive.files if "/spectra/mmu_desi/dataset/Norder" in path}
    assert asked & there and len(asked & there) < len(there)
    assert not any("_10arcs" in path for path, *_ in archive.seen)
    assert "matched by LSDB" in (folder / "results/universe/logs/catalog_files.log").read_text()
    flow = pandas.read_csv(folder / "results/universe/catalog/cuts.csv")
    assert "in the footprint" in set(flow.cut)


def test_the_survey_goes_out_again_as_hats_and_votable(made):
    import lsdb

    _, _, _, folder = made
    found = pandas.read_parquet(folder / "results/universe/catalog/galaxies.parquet")
    left, right = (
        lsdb.open_catalog(folder / f"results/universe/hats/{name}") for name in ("galaxies", "pca_spectrum-spectrum")
    )
    matched = left.crossmatch(right, radius_arcsec=1.0, suffixes=("", "_net"), suffix_method="all_columns")
    matched = matched.compute(progress_bar=False)
    assert sorted(matched.targetid) == sorted(matched.targetid_net) == sorted(found.targetid)
    table = Table.read(folder / "results/universe/share/galaxies.vot")
    np.testing.assert_array_equal(table["targetid"], found.targetid)
    assert np.isfinite(table["pca_spectrum-spectrum"]).all()
