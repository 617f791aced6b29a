"""The whole comparison on a small tile, with and without real observations."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from skyloom.analysis.mock_validation import EXPECTED, KIND, SECTION_OF, compare, samples
from skyloom.analysis.mock_validation.checks import SKIPPED
from skyloom.analysis.mock_validation.observations import SMOOTHING, read_minisv, read_observations
from skyloom.core.errors import BadInput
from skyloom.mock.survey.catalogs import merge_catalogs
from skyloom.settings.analysis import Job
from tests.paths import ROOT

REAL = ROOT.parent / "shared" / "data"


def job(inputs, outputs) -> Job:
    inputs = inputs | {"expected": [ROOT / EXPECTED]}
    return Job("mock", inputs, outputs, KIND.settings(), 1, {"population": "parametric"})


@pytest.fixture(scope="module")
def made(tile, grid_path, sky_path, tmp_path_factory):
    """Outputs by role, and the table's rows, of a comparison without observations."""
    folder = tmp_path_factory.mktemp("validation")
    merge_catalogs([tile], folder / "zall.fits", folder / "properties.hdf5", folder / "derived.hdf5")
    inputs = {role: [tile[role]] for role in ("truth", "coadd", "images", "hsc")}
    inputs |= {"zcatalog": [folder / "zall.fits"], "grid": [grid_path], "sky": [sky_path], "samples": []}
    outputs = {role: folder / name for role, name in KIND.outputs.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "LIBRARY", 400)
        patch.setattr(samples, "CANDIDATES", 512)
        patch.setattr(compare, "SPECTRA", 20)
        compare.compare(job(inputs, outputs))
    with open(outputs["table"], newline="") as file:
        return outputs, list(csv.DictReader(file))


def test_page_has_every_check_and_figure(made):
    outputs, rows = made
    page = Path(outputs["page"]).read_text()
    for row in rows:
        assert f'id="{row["check"]}"' in page
    assert page.count("data:image/png;base64,") == len(SECTION_OF)
    assert page.count("<figcaption> ") == 0  # every figure has its caption
    for name in SECTION_OF:
        assert Path(outputs[name]).read_bytes().startswith(b"\x89PNG")
    # opens offline: nothing is fetched, nothing runs
    assert not re.search(r"<script|src=\"http|href=\"http|@import", page)


def test_what_could_not_be_compared_is_said(made):
    outputs, rows = made
    skipped = {row["section"] for row in rows if row["verdict"] == SKIPPED}
    assert {"Real spectra", "Real images"} <= skipped
    page = Path(outputs["page"]).read_text()
    assert "mini-SV spectra of 25 BGS targets" in page
    assert "no real DESI coadds were compared" in page


def test_most_could_be_compared(made):
    _, rows = made
    needs_real = {"Real spectra", "Real images"}
    for row in rows:
        # how much images teach is measured only if asked for
        if row["section"] not in needs_real and not row["check"].startswith(("noise_", "r2_z_image")):
            assert row["verdict"] != SKIPPED, row["check"]
            assert int(row["n"]) > 0


def test_a_survey_without_bgs_is_told_before_anything_is_drawn(dark_tile, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "draw_library", lambda *_: pytest.fail("galaxies were drawn"))
    merge_catalogs([dark_tile], tmp_path / "zall.fits", tmp_path / "properties.hdf5", tmp_path / "derived.hdf5")
    inputs = {"truth": [dark_tile["truth"]], "zcatalog": [tmp_path / "zall.fits"]}
    with pytest.raises(BadInput, match="zall.fits: no spectrum of a BGS galaxy"):
        compare.compare(job(inputs, {}))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(BadInput, match="no such folder"):
        read_observations(tmp_path / "absent")
    found = read_observations("")
    assert not found.found
    assert len(found.missing) == 5


@pytest.mark.skipif(not REAL.is_dir(), reason="no real observations beside the repository")
def test_real_observations():
    found = read_observations(REAL)
    assert not found.missing
    assert {kind: len(real.z) for kind, real in found.spectra.items()} == {"bgs": 25, "lrg": 25}
    for picture in (found.hsc, found.decam):
        assert ((picture.fwhm > 0.4) & (picture.fwhm < 1.5)).all()
        assert picture.pixels.shape[0] == len(picture.bands)
    # the noise of real spectra is correlated as that of a Gaussian smoothing
    flux = read_minisv(next(REAL.rglob("big_coadd-lrg-*.fits"))).flux[:, 200:2200]
    rough = flux - np.apply_along_axis(np.convolve, 1, flux, np.ones(61) / 61, "same")
    rough = np.clip(rough[:, 61:-61], *np.percentile(rough, [1, 99]))
    ratio = [np.mean(rough[:, lag:] * rough[:, :-lag]) / np.mean(rough**2) for lag in (2, 4)]
    # white noise so smoothed has exp(-lag^2 / 4 s^2), less what the running mean of 61 pixels took
    taken = 2 * SMOOTHING * np.sqrt(np.pi) / 61
    expected = [(np.exp(-(lag**2) / 4 / SMOOTHING**2) - taken) / (1 - taken) for lag in (2, 4)]
    assert ratio == pytest.approx(expected, abs=0.08)
