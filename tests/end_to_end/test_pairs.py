"""DESI spectra and HSC images by cross-match to the published layout and back: built, read again, learned from.

One configuration and one command: a survey of pairs names the file that another survey's cross-match makes.
"""

import h5py
import numpy as np
import pandas
import pytest
import yaml

from tests.archive import Archive, serving
from tests.end_to_end.conftest import copy_project, run
from tests.end_to_end.test_files import tokens
from tests.formats.images import as_compound

pytestmark = pytest.mark.end_to_end
BUILT = "results/sky/catalog/DESI_HSC_64x64.hdf5"
PRESET, PUBLISHED = "resources/presets/galaxiesml_spectra.yaml", "/records/16989593/files/DESI_HSC_64x64_v2.hdf5"
SPLIT = {"fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}}
WITH_QUASARS = [
    {"name": "is_target", "column": "OBJTYPE", "equals": "TGT"},
    {"name": "fibre_ok", "column": "COADD_FIBERSTATUS", "equals": 0},
    {"name": "redshift_ok", "column": "ZWARN", "equals": 0},
    {"name": "is_galaxy_or_quasar", "column": "SPECTYPE", "in": ["GALAXY", "QSO"]},
    {"name": "best_spectrum", "column": "ZCAT_PRIMARY", "equals": True},
]
SKY = {
    **{"kind": "mock", "population": "parametric", "magnitude_limit": 20.175, "tiles": 1, "cuts": WITH_QUASARS},
    **{"targets_per_tile": {"bgs": 60, "lrg": 30, "elg": 30, "qso": 40}, "modalities": ["spectrum", "hsc_image"]},
}
SMALL = {
    "model": {"dim": 16, "layers": 1, "heads": 2, "fusion": 1},
    "training": {
        **{"steps": 4, "batch_size": 16, "warmup": 1, "learning_rates": {}},
        **{"log_every": 2, "validate_every": 2, "checkpoint_every": 2},
    },
}
WHOLE = {"image": 0.0, "spectrum": 1.0}
PAIRS = {"kind": "galaxiesml_spectra", "files": [BUILT], "models": ["mmae"], "shards": 2, "split": SPLIT}
MODEL = {"kind": "mmae", "modalities": ["hsc_image", "spectrum"], "queries": {"whole": WHOLE}, **SMALL}
OTHERS = ("mock", "mock_spectra", "desi_samples", "mock_grism", "euclid_samples", "sdss_samples", "simulated")
ANALYSES = ("regression", "retrieval", "umap", "clusters", "redshift", "calibration", "domain_gap", "queries")


def made_of(survey: str) -> tuple[str, ...]:
    """What a survey of pairs is asked for: an embedding, a prediction, the table of its parents."""
    names = ("embeddings/mmae-joint.parquet", "predictions/mmae-whole.parquet", "analysis/parents.csv")
    return tuple(f"results/{survey}/{name}" for name in names)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the file was built, read again and learned from."""
    folder = copy_project(tmp_path_factory.mktemp("pairs") / "skyloom")
    config = {"report": "pairs", "surveys": {**dict.fromkeys(OTHERS), "sky": SKY, "pairs": PAIRS}}
    config |= {"models": {"mmae": MODEL}, "analyses": dict.fromkeys(ANALYSES)}
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    mother = [f"results/sky/tokens/{name}/statistics.json" for name in ("spectrum", "hsc_image")]
    asked = (*made_of("pairs"), *mother, "results/sky/analysis/parents.csv")
    done = run(folder, *asked, "--configfile", "mine.yaml", "--cores", "1")
    assert done.returncode == 0, done.stderr[-5000:]
    return folder


def same_galaxies(folder, survey: str) -> set[int]:
    """The galaxies of a survey of pairs, whose redshifts, spectra and images are bit by bit those of its mother."""
    mother = pandas.read_parquet(folder / "results/sky/catalog/galaxies.parquet").set_index("targetid")
    found = pandas.read_parquet(folder / f"results/{survey}/catalog/galaxies.parquet").set_index("targetid")
    assert found.index.is_unique and len(found) > 60
    for name in ("z", "zerr"):
        np.testing.assert_array_equal(found[name], mother[name][found.index])
    for modality, names in (("spectrum", ("flux", "ivar")), ("hsc_image", ("flux",))):
        for name in names:
            theirs, ours = (tokens(folder, who, modality, name) for who in ("sky", survey))
            assert set(ours) == set(found.index) == set(theirs)
            assert all(np.array_equal(ours[t], theirs[t]) for t in ours)
    return set(found.index)


def test_the_file_that_is_built_is_a_survey_bit_by_bit_and_trains(folder):
    galaxies = same_galaxies(folder, "pairs")
    assert pandas.read_parquet(folder / "results/sky/catalog/galaxies.parquet").z.max() > 2  # quasars
    embedded, predicted = (pandas.read_parquet(folder / name) for name in made_of("pairs")[:2])
    assert set(embedded.targetid) == set(predicted.targetid) == galaxies
    assert np.isfinite(np.stack(embedded.embedding)).all() and np.isfinite(predicted.z).all()
    splits = pandas.read_parquet(folder / "results/pairs/catalog/splits.parquet").split.value_counts()
    assert splits.min() > 5 and len(splits) == 3


def test_the_sample_is_the_same_with_parents_and_without(folder):
    mother, child = (pandas.read_csv(folder / f"results/{name}/analysis/parents.csv") for name in ("sky", "pairs"))
    assert len(mother) == 5 and child.dataset.str.startswith("sample").all()
    pandas.testing.assert_frame_equal(mother.tail(2).reset_index(drop=True), child)
    scores = [pandas.read_csv(folder / f"results/{n}/analysis/parents-redshifts.csv") for n in ("sky", "pairs")]
    mother, child = (table[table.group == "all"].reset_index(drop=True) for table in scores)
    pandas.testing.assert_frame_equal(mother, child)
    agree = child.set_index("metric").loc["agree"]
    assert 0.85 < agree.value < 1 and agree.n == len(tokens(folder, "pairs", "spectrum"))
    assert {"GALAXY", "QSO"} <= set(scores[0].group)  # the published layout knows no classes


def test_the_preset_trains_on_the_published_file_in_the_other_form(folder, tmp_path):
    published = as_compound(tmp_path / "published.hdf5", folder / BUILT)
    with h5py.File(published) as file:
        assert file["HSC_metadata"].dtype.names and file["spectrum/flux"].shape[1] == 7781
    with serving(Archive({PUBLISHED: published})) as archive:
        survey = {"files": [archive.url + PUBLISHED], "shards": 1, "split": SPLIT}
        others = ("image", "image_quarter_hidden", "spectrum", "both", "three_bands", "low")
        fewer = {**SMALL, "queries": {**dict.fromkeys(others), "whole": WHOLE}}
        given = {"surveys": {"galaxiesml_spectra": survey}, "models": {"mmae": fewer}}
        (folder / "small.yaml").write_text(yaml.safe_dump(given))
        chosen = ("--configfile", PRESET, "small.yaml", "--cores", "1")
        planned = run(folder, "mmae", "--dry-run", *chosen)
        assert planned.returncode == 0 and "download_file" in planned.stdout + planned.stderr and not archive.seen
        done = run(folder, "mmae", *made_of("galaxiesml_spectra"), *chosen)
        assert done.returncode == 0, done.stderr[-5000:]
    assert same_galaxies(folder, "galaxiesml_spectra") == same_galaxies(folder, "pairs")
    embedded, predicted, parents = made_of("galaxiesml_spectra")
    assert len(pandas.read_parquet(folder / embedded)) == len(pandas.read_parquet(folder / predicted)) > 60
    assert (folder / parents).read_bytes() == (folder / "results/pairs/analysis/parents.csv").read_bytes()


def test_a_file_of_the_published_name_without_pairs_is_one_line(folder, tmp_path):
    broken = as_compound(tmp_path / "broken.hdf5", folder / BUILT)
    with h5py.File(broken, "a") as file:
        del file["targetid"]
        file["targetid"] = np.array([b"none"] * len(file["image"]))
    config = {"surveys": {"galaxiesml_spectra": {"files": [str(broken)], "shards": 1}}}
    (folder / "broken.yaml").write_text(yaml.safe_dump(config))
    chosen = ("--configfile", PRESET, "broken.yaml", "--cores", "1")
    done = run(folder, "results/galaxiesml_spectra/catalog/galaxies.parquet", *chosen)
    assert done.returncode != 0
    said = (done.stderr.partition("What went wrong:")[2]).strip().splitlines()
    assert any("targetid holds a text that is not a number" in line for line in said), done.stderr[-2000:]
