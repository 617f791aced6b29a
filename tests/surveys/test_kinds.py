"""The kinds of survey: which raw files each has, found by name and without heavy imports."""

import subprocess
import sys

import pytest

from skyloom.core.errors import BadConfig
from skyloom.settings import kinds
from skyloom.settings.names import ROLES
from skyloom.settings.section import parse
from tests.paths import LIBRARY

ENTRIES = {
    "mock": {"tiles": 4, "modalities": ["spectrum", "image"]},
    "desi_samples": {"modalities": ["spectrum"]},
    "simulated": {"parts": 3, "modalities": ["lsst"]},
    "simulated_catalog": {
        "files": ["a.h5", "b.parquet"],
        "columns": dict.fromkeys(("ra", "dec", "redshift", "log_mhalo", "log_mstar"), "name"),
        "modalities": ["lsst"],
    },
    "observed_catalog": {
        "files": ["a.parquet"],
        "columns": {"ra": "ra", "dec": "dec", "lsst": ["u", "g", "r", "i", "z", None]},
        "modalities": ["lsst"],
    },
    "spectra": {"files": [__file__]},
    "mock_grism": {"parts": 3},
    "astroclip_hdf5": {"files": [__file__]},
    "galaxiesml_spectra": {"files": [__file__]},
    "hsc": {},
    "legacy": {"files": ["north/a.h5"], "addresses": {"stein": "https://an.archive/stein"}},
    "hats": {"catalogs": {"spectrum": "https://a.hub/one", "image": "https://a.hub/two/"}},
    "desi": {"release": "edr", "modalities": ["spectrum"], "properties": "provabgs"},
}


def raw_files(kind: str, **more) -> dict[str, list[str]]:
    found = kinds.find("survey", kind, "kind")
    return found.raw_files(parse(found.settings, {"kind": kind, **ENTRIES[kind], **more}, "surveys.own"))


def samples(kind: str, **more) -> dict[str, list[str]]:
    found = kinds.find("survey", kind, "kind")
    return found.samples(parse(found.settings, {"kind": kind, **ENTRIES[kind], **more}, "surveys.own"))


def test_every_kind_of_the_library_is_tried_here():
    assert set(ENTRIES) == set(kinds.own_kinds("survey"))


@pytest.mark.parametrize("kind", ENTRIES)
def test_raw_files_have_known_roles_and_no_file_has_two(kind):
    files = raw_files(kind)
    assert set(files) <= set(ROLES)
    everything = [path for paths in files.values() for path in paths]
    assert (everything or samples(kind)) and len(everything) == len(set(everything))


def test_surveys_of_files_say_which_files_hold_which_samples():
    assert samples("astroclip_hdf5") == {"spectrum": [__file__], "image": [__file__]}
    assert samples("galaxiesml_spectra") == {"spectrum": [__file__], "hsc_image": [__file__]}
    assert samples("spectra", images=[kinds.__file__]) == {
        "spectrum": [__file__],
        "image": [kinds.__file__],
        "hsc_image": [__file__],
    }
    base = "https://zenodo.org/records/11117528/files"
    names = [f"{base}/5x127x127_{part}_with_morphology.hdf5" for part in ("testing", "training")]
    assert samples("hsc", pixels=127, parts=["training", "testing"]) == {"hsc_image": names}
    assert samples("legacy") == {"image": ["https://an.archive/stein/north/a.h5"]}
    assert samples("desi") == samples("mock_grism") == {}


def test_only_surveys_of_files_have_published_splits():
    assert samples("hsc", split={"kind": "published"})
    with pytest.raises(
        BadConfig, match="surveys.own.split.kind: 'published' is not allowed; allowed are random, healpix"
    ):
        raw_files("desi", split={"kind": "published"})


def test_a_mock_survey_has_a_coadd_and_images_for_each_tile_and_program():
    dark = raw_files("mock", targets_per_tile={"bgs": 5, "elg": 5})
    assert len(dark["coadd"]) == len(dark["images"]) == len(dark["truth"]) == 8
    assert not dark.get("hsc") and len(raw_files("mock", modalities=["hsc_image"])["hsc"]) == 4


def test_files_of_a_tile_are_named_as_the_archives_name_theirs():
    files = raw_files("mock", modalities=["hsc_image"], hsc_size=127, targets_per_tile={"bgs": 5, "qso": 1})
    hpix = int(files["coadd"][0].split("/")[-2])
    folder = f"spectra/healpix/sv3/bright/{hpix // 100}/{hpix}"
    assert files["coadd"][0] == f"{folder}/coadd-sv3-bright-{hpix}.fits"
    assert files["redrock"][0] == f"{folder}/redrock-sv3-bright-{hpix}.fits"
    assert files["images"][0] == f"images/{hpix // 100}/images_npix152_bright_{hpix}.h5"
    assert files["hsc"][0] == f"hsc/{hpix // 100}/5x127x127_bright_{hpix}_with_morphology.hdf5"
    assert files["truth"][0] == f"truth/{hpix // 100}/truth-bright-{hpix}.parquet"
    assert f"/dark/{hpix // 100}/{hpix}/coadd-sv3-dark-{hpix}.fits" in files["coadd"][4]
    assert files["properties"] == ["properties/BGS_ANY_full.provabgs.mock.hdf5"]


def test_more_tiles_keep_the_first_ones():
    few, many = (raw_files("mock", tiles=n)["coadd"] for n in (2, 5))
    assert many[:2] == few and len(set(many)) == 5


def test_the_samples_have_four_coadds_and_two_redrock_files():
    files = raw_files("desi_samples")
    assert len(files["coadd"]) == 4 and len(files["redrock"]) == 2


def test_an_unknown_kind_is_refused_with_what_there_is():
    with pytest.raises(BadConfig, match="surveys.own.kind: 'sdss' is not allowed; allowed are astroclip_hdf5, desi, "):
        kinds.find("survey", "sdss", "surveys.own.kind")
    with pytest.raises(BadConfig, match="'wheels' is not allowed"):
        kinds.find("survey", "wheels", "surveys.own.kind")


def test_the_configuration_costs_no_heavy_import():
    program = (
        "import sys, yaml; from skyloom.settings.config import load; load(yaml.safe_load(open('config.yaml')));"
        "print(*{'numpy', 'astropy', 'h5py', 'pandas', 'torch', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=LIBRARY.parent,
        env={"PYTHONPATH": str(LIBRARY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
