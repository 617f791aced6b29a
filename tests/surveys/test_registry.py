"""Raw file names of a survey kind, found by the kind's name."""

import subprocess
import sys
from pathlib import Path

import pytest

from skyloom.core.errors import BadConfig
from skyloom.settings import registry
from tests.paths import LIBRARY


def test_names_of_the_mock_survey():
    survey = {"kind": "mock", "tiles": 3, "targets_per_tile": {"bgs": 5, "qso": 1}}
    files = registry.raw_files("mock", survey | {"modalities": ["spectrum", "image", "hsc_image"], "hsc_size": 127})
    assert tuple(files) == registry.ROLES
    count = {role: len(paths) for role, paths in files.items()}
    several = dict.fromkeys(("coadd", "redrock", "images", "hsc", "truth"), 6)  # three tiles in two programs
    assert count == several | {"zcatalog": 1, "properties": 1, "derived": 1, "simulated": 0}
    hpix = int(Path(files["coadd"][0]).parent.name)
    assert files["coadd"][0] == f"spectra/healpix/sv3/bright/{hpix // 100}/{hpix}/coadd-sv3-bright-{hpix}.fits"
    assert files["redrock"][0] == f"spectra/healpix/sv3/bright/{hpix // 100}/{hpix}/redrock-sv3-bright-{hpix}.fits"
    assert files["images"][0] == f"images/{hpix // 100}/images_npix152_bright_{hpix}.h5"
    assert files["hsc"][0] == f"hsc/{hpix // 100}/5x127x127_bright_{hpix}_with_morphology.hdf5"
    assert files["truth"][0] == f"truth/{hpix // 100}/truth-bright-{hpix}.parquet"
    assert f"/dark/{hpix // 100}/{hpix}/coadd-sv3-dark-{hpix}.fits" in files["coadd"][3]
    assert files["zcatalog"] == ["zcatalog/zall-pix-mock.fits"]
    assert files["properties"] == ["properties/BGS_ANY_full.provabgs.mock.hdf5"]
    assert files["derived"] == ["properties/BGS_ANY_full.provabgs.mock.derived.hdf5"]


def test_a_mock_survey_without_hsc_has_no_hsc_files():
    files = registry.raw_files("mock", {"kind": "mock", "tiles": 2, "modalities": ["spectrum", "image"]})
    assert files["hsc"] == [] and len(files["images"]) == 2


def test_more_tiles_keep_the_first_ones():
    few, many = (registry.raw_files("mock", {"kind": "mock", "tiles": n})["coadd"] for n in (2, 5))
    assert many[:2] == few and len(set(many)) == 5


def test_names_of_the_samples():
    files = registry.raw_files("desi_samples", {"kind": "desi_samples"})
    assert len(files["coadd"]) == 4 and len(files["redrock"]) == 2
    assert all(files[role] == [] for role in set(registry.ROLES) - {"coadd", "redrock"})


@pytest.mark.parametrize("kind", [None, "no_such_survey", "../mock", 3, ""])
def test_a_kind_nobody_knows(kind):
    with pytest.raises(BadConfig, match=r"^surveys\.mine\.kind is .*expected the name of a module"):
        registry.raw_files("mine", {"kind": kind})


def test_names_cost_no_heavy_import():
    program = (
        "import sys; from skyloom.settings import registry;"
        "registry.raw_files('s', {'kind': 'desi_samples'}); registry.raw_files('m', {'kind': 'mock', 'tiles': 4});"
        "print(*{'numpy', 'astropy', 'h5py', 'pandas', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(LIBRARY)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
