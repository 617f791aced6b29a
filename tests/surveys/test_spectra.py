"""A survey of the user's own spectra: its settings, the files of its parts, and what is refused at the start."""

import pytest

from skyloom.core.errors import BadConfig
from skyloom.settings import kinds
from skyloom.settings.config import load
from skyloom.settings.section import parse
from skyloom.surveys import spectra
from skyloom.surveys.common import files

BASE = {"seed": 1, "threads": 1, "report": [], "models": {}, "analyses": {}}
PCA = {"kind": "pca", "modality": "spectrum"}


@pytest.fixture
def folder(tmp_path):
    for number in range(25):
        (tmp_path / f"night{number % 2}").mkdir(exist_ok=True)
        (tmp_path / f"night{number % 2}" / f"spec-{number:02d}.fits").write_bytes(b"x" * number)
    return tmp_path


def files_of_part(settings, part: int) -> list[str]:
    """The user's files that go to a part."""
    return list(files.parts_of(spectra.KIND.samples(settings), settings)[part])


def settings(folder, **more):
    entry = {"kind": "spectra", "files": [f"{folder}/*/*.fits"], **more}
    return parse(kinds.find("survey", "spectra", "kind").settings, entry, "surveys.mine")


def test_an_entry_of_two_lines_is_a_survey_of_test_spectra(folder):
    found = settings(folder)
    assert found.modalities == ["spectrum"] and found.split.fractions.test == 1 and not found.require_properties
    assert (found.grid.start, found.grid.step, found.grid.pixels) == (3600, 0.8, 7781)
    assert spectra.KIND.raw_files(found) == {"spectra": ["spectra/spectra-0000.h5"]}
    assert len(files_of_part(found, 0)) == 25


def test_many_small_files_share_a_job_and_a_large_one_has_its_own(folder, monkeypatch):
    found = settings(folder, files_per_part=10)
    parts = [files_of_part(found, part) for part in range(3)]
    assert [len(part) for part in parts] == [10, 10, 5]
    assert sum(parts, []) == sorted(str(path) for path in folder.glob("*/*.fits"))
    assert len(spectra.KIND.raw_files(found)["spectra"]) == 3
    monkeypatch.setattr(files, "PART_BYTES", 40)
    found = settings(folder, files_per_part=11)
    sizes = [[int(path[-7:-5]) for path in part] for part in (files_of_part(found, n) for n in range(10))]
    assert all(sum(part) <= 40 for part in sizes) and sizes[0] == [0, 2, 4, 6, 8, 10]


def test_a_file_that_two_patterns_name_is_read_once(folder):
    found = settings(folder, files=[f"{folder}/**/*.fits", f"{folder}/night0/spec-00.fits"])
    assert len(files_of_part(found, 0)) == 25


COLUMNS = {"flux": "f", "wavelength": "w"}


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"files": ["nowhere/*.fits"]}, "surveys.mine.files: 'nowhere/*.fits' matches no file"),
        ({"files": []}, "surveys.mine.files: [] is not allowed; needs at least 1 entries"),
        ({"format": "fits"}, "allowed are auto, table, sdss, desi, multimodal_universe, astroclip, galaxiesml_spectra"),
        ({"format": "sdss", "columns": COLUMNS}, "surveys.mine.columns: format 'sdss' has columns of its own"),
        ({"columns": {"wavelength": "w"}}, "surveys.mine.columns: the key 'flux' is missing"),
        ({"columns": {**COLUMNS, "ivar": "i", "error": "e"}}, "ivar and error are given; expected one of"),
        ({"columns": {**COLUMNS, "flux": 3}}, "surveys.mine.columns.flux: 3 is not allowed; expected string or object"),
        ({"columns": {**COLUMNS, "sigma": "e"}}, "surveys.mine.columns: unknown key 'sigma"),
        ({"columns": {"flux": "f", "wavelength": {"start": 3600.0}}}, "columns.wavelength: start and step come"),
        ({"columns": {"flux": "f", "wavelength": {"column": "w", "scale": "log"}}}, "allowed are linear, log10, ln"),
        ({"catalog": {"files": ["none.csv"], "identifier": "id"}}, "catalog.files: 'none.csv' matches no file"),
        ({"modalities": ["lsst"]}, "'lsst' is not a modality of kind spectra; allowed are spectrum, image, hsc_image"),
        ({"property_cuts": []}, "surveys.mine.property_cuts: a survey of files has `cuts`"),
        ({"files": ["package:spectrapyle/a*.fits"], "modalities": ["image"]}, "no images out of packages"),
        (
            {"hsc_images": ["https://an.archive/*.h5"]},
            "surveys.mine.hsc_images: 'https://an.archive/*.h5' is not the URL",
        ),
        ({"images": ["none.h5"]}, "surveys.mine.images: 'none.h5' matches no file"),
        ({"crossmatch": {"by": "key"}}, "crossmatch.by: 'key' is not allowed; allowed are position, identifier"),
        ({"crossmatch": {"require": ["image"]}}, "'image' is not among the survey's modalities, spectrum"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_the_first_job(entry, says, folder):
    config = BASE | {"surveys": {"mine": {"kind": "spectra", "files": [f"{folder}/*/*.fits"], **entry}}}
    with pytest.raises(BadConfig) as error:
        load(config)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_models_of_a_survey_with_other_pixels_are_refused(folder):
    entry = {"kind": "spectra", "files": [f"{folder}/*/*.fits"], "models_from": "mock", "models": ["pca"]}
    mock = {"kind": "mock", "modalities": ["spectrum"], "models": ["pca"]}
    surveys = {"mock": mock, "mine": {**entry, "grid": {"start": 11900.0, "step": 13.4, "pixels": 531}}}
    with pytest.raises(BadConfig, match=r"surveys.mine.grid: .*11900.* 'pca' learns from those of 'mock', .*3600"):
        load(BASE | {"surveys": surveys, "models": {"pca": PCA}})
    loaded = load(BASE | {"surveys": {"mock": mock, "mine": entry}, "models": {"pca": PCA}})
    assert loaded.hosts("mine") == ["mock"]
