"""Every preset of real archives, whole, on the loopback: asked for by SKYLOOM_PRESETS=1, since it takes a while."""

import os
import re

import pandas
import pytest
import yaml

from tests.archive import Archive, serving
from tests.end_to_end.conftest import ROOT, copy_project, run
from tests.end_to_end.mock_archive import Sky, addresses, bases, of_desi, of_galaxiesml, of_provabgs

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(not os.environ.get("SKYLOOM_PRESETS"), reason="SKYLOOM_PRESETS=1 asks for it"),
]
# preset -> data release, program of its spectra, degrees that bring the mock's sky to where it looks
PRESETS = {
    "desi_legacy": ("edr", "sv3/bright", 0.0),
    "desi_legacy_dr1": ("dr1", "main/bright", 0.0),
    "desi_hsc": ("dr1", "main/bright", -75.0),
}


@pytest.fixture(scope="module")
def mock(tmp_path_factory):
    """A folder with the raw files of a tiny mock survey of four tiles, and what is made of them."""
    folder = copy_project(tmp_path_factory.mktemp("presets") / "skyloom")
    (folder / "four.yaml").write_text(yaml.safe_dump({"surveys": {"mock": {"tiles": 4}}}))
    targets = ["results/mock/tokens/spectrum/statistics.json", "results/mock/raw/manifest.csv"]
    done = run(folder, *targets, "--configfile", "tiny.yaml", "four.yaml", "--cores", "2")
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_ends_in_a_report_with_only_the_addresses_changed(mock, name, tmp_path):
    release, program, eastward = PRESETS[name]
    project, raw = copy_project(tmp_path / "skyloom"), mock / "results/mock/raw"
    files = {**of_desi(raw, release, program, tmp_path, eastward), **of_provabgs(raw, tmp_path)}
    files |= of_galaxiesml(raw, tmp_path, 64, eastward)
    with serving(Archive(files, Sky(raw, eastward))) as archive:
        given = {"addresses": addresses(archive.url), "access": {"cutout_interval": 0.0}}
        if name == "desi_legacy":
            given["provabgs_bases"] = bases(project / "bases")
        (project / "base.yaml").write_text(yaml.safe_dump({"surveys": {"desi": given}}))
        chosen = ("--configfile", "tiny.yaml", str(ROOT / f"resources/presets/{name}.yaml"), "base.yaml")
        listed = run(project, "results/desi/raw/files.json", *chosen, "--cores", "2")
        assert listed.returncode == 0, listed.stderr[-3000:]
        planned = run(project, *chosen, "--cores", "2", "--dry-run", "--quiet", "rules")
        total = re.search(r"^total +(\d+)$", planned.stdout + planned.stderr, flags=re.MULTILINE)[1]
        done = run(project, *chosen, "--cores", "2")
        assert done.returncode == 0, done.stderr[-3000:]
        assert f"{total} of {total} steps (100%) done" in done.stderr  # once the catalogue is there the plan is exact
        archive.seen.clear()
        again = run(project, *chosen, "--cores", "2")
        assert "Nothing to be done" in again.stderr and not archive.seen
    galaxies = pandas.read_parquet(project / "results/desi/catalog/galaxies.parquet")
    assert len(galaxies) > 150
    assert (project / "results/desi/report.html").stat().st_size > 100_000
