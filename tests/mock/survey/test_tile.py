"""A whole tile: its files against the truth behind them, and the same bytes whoever makes them."""

import json
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.cosmology import Planck18
from astropy.table import Table
from desispec.io import read_spectra
from speclite.filters import load_filters

from skyloom.core.errors import BadConfig, BadInput
from skyloom.core.files import sha256
from skyloom.formats import galaxiesml
from skyloom.formats.desi import ARMS, read_coadd, read_redrock, read_zcatalog
from skyloom.formats.legacy import read_cutout_catalog
from skyloom.formats.provabgs import read_properties
from skyloom.mock.footprint import FIRST
from skyloom.mock.instruments.images.camera import HSC, LEGACY
from skyloom.mock.instruments.images.drawing import FIBRE_POINT
from skyloom.mock.instruments.spectrograph import instrument
from skyloom.mock.layout import MockSettings, programs
from skyloom.mock.survey import rows, targets
from skyloom.mock.survey.catalogs import merge_catalogs
from skyloom.mock.survey.truth import noiseless, read_truth
from skyloom.mock.universe.light.wavelengths import OBSERVED
from skyloom.mock.universe.population.morphology import half_light_radius
from skyloom.settings.section import parse
from tests.conftest import CONFIG
from tests.paths import LIBRARY

WHOLE = FIRST + 3
SMALL = {"targets_per_tile": {"bgs": 110}, "hsc_size": 127}


@pytest.fixture(scope="module")
def truth(tile):
    return read_truth(tile["truth"])[0]


@pytest.fixture(scope="module")
def parts(tile, grid_path):
    """Noiseless light of the galaxies and of their nuclei."""
    return noiseless(tile["truth"], grid_path)


@pytest.fixture(scope="module")
def spectra(parts):
    return sum(parts)


@pytest.fixture(scope="module")
def merged(tile, tmp_path_factory):
    folder = tmp_path_factory.mktemp("merged")
    merge_catalogs([tile], folder / "zall.fits", folder / "properties.hdf5", folder / "derived.hdf5")
    return folder / "zall.fits", folder / "properties.hdf5"


def source_rows(coadd, truth):
    """Row of the truth for each spectrum, -1 for sky fibres."""
    order = {targetid: row for row, targetid in enumerate(truth["targetid"]) if targetid}
    return np.array([order.get(targetid, -1) for targetid in coadd.fibermap["TARGETID"]])


@pytest.mark.parametrize("which", ["tile", "dark_tile"])
def test_another_process_with_other_threads_makes_the_same_bytes(which, request, grid_path, sky_path, tmp_path):
    script = (
        "import json, sys; from skyloom.mock.survey.tile import make_tile\n"
        "hpix, program, config, grid, sky, files = sys.argv[1:]\n"
        "make_tile(int(hpix), program, 1, json.loads(config), grid, sky, json.loads(files))"
    )
    made = request.getfixturevalue(which)
    files = {role: str(tmp_path / path.name) for role, path in made.items()}
    threads = "2" if os.environ.get("OMP_NUM_THREADS") == "1" else "1"
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    environment["PYTHONPATH"] = str(LIBRARY)
    program = read_truth(made["truth"])[1]["program"]
    arguments = [str(WHOLE), program, json.dumps(CONFIG), str(grid_path), str(sky_path), json.dumps(files)]
    subprocess.run([sys.executable, "-c", script, *arguments], env=environment, check=True)
    for role, path in made.items():
        assert sha256(files[role]) == sha256(path), role


def test_only_what_a_tile_depends_on_changes_its_bytes(make):
    """Not the settings of other rules; and spectra and Legacy images do not know whether HSC looks too."""
    plain = make("bright", SMALL)
    other = make("bright", {**SMALL, "crop": 96, "modalities": ["spectrum"]}, hsc_size=127)
    assert all(sha256(plain[role]) == sha256(other[role]) for role in ("coadd", "redrock", "images"))
    assert galaxiesml.image_size(other["hsc"]) == 127
    seed = make("bright", SMALL, seed=4)
    assert not any(sha256(path) == sha256(seed[role]) for role, path in plain.items())


def test_measured_columns_are_not_the_truth(tile, truth):
    """Fluxes, sizes and shapes have errors: a catalogue that tells all makes every learning task too easy."""
    table = read_coadd(tile["coadd"]).fibermap
    row = source_rows(read_coadd(tile["coadd"]), truth)
    table, row = table[row >= 0], row[row >= 0]
    fibre = (truth["flux_r"] * (1 - truth["nucleus_share"]) * truth["fibre_fraction"])[row]
    fibre += (truth["flux_r"] * truth["nucleus_share"])[row] * FIBRE_POINT
    assert 0.01 < np.std(np.asarray(table["FIBERFLUX_R"]) / fibre) < 0.1
    size = half_light_radius({name: truth[name][row] for name in ("bulge_fraction", "dust_layer", "r_disk", "r_bulge")})
    assert 0.03 < np.std(np.log10(np.asarray(table["SHAPE_R"]) / size)) < 0.06
    kind = np.asarray(table["MORPHTYPE"]).astype(str)
    assert set(np.asarray(table["SERSIC"])[kind == "EXP"]) == {1.0}
    assert set(np.asarray(table["SERSIC"])[kind == "DEV"]) <= {4.0}
    # the shape of what is all bulge is the bulge's
    flat = np.hypot(table["SHAPE_E1"], table["SHAPE_E2"])[kind == "DEV"]
    bulge = ((1 - truth["q_bulge"]) / (1 + truth["q_bulge"]))[row][kind == "DEV"]
    assert np.median(np.abs(flat - bulge)) < 0.05


def test_what_is_written_is_the_noiseless_spectrum_and_noise_of_the_stated_ivar(tile, truth, parts):
    coadd = read_coadd(tile["coadd"])
    row = source_rows(coadd, truth)
    good = (row >= 0) & (coadd.fibermap["COADD_FIBERSTATUS"] == 0)
    host, nucleus = parts
    nodes = np.log(LEGACY.wavelength)  # what is caught of the host changes from band to band
    share = np.array(
        [np.interp(np.log(OBSERVED), nodes, caught) for caught in truth["fibre_fractions"][row[good]]], "f4"
    )
    light = (host[row[good]] * share + nucleus[row[good]] * FIBRE_POINT) / instrument.PSF_TO_FIBRE
    for arm in ARMS:
        expected = instrument.line_spread(light, arm)
        use = coadd.mask[arm][good] == 0
        pull = ((coadd.flux[arm][good] - expected) * np.sqrt(coadd.ivar[arm][good]))[use]
        assert abs(pull.mean()) < 0.02 and pull.std() == pytest.approx(1, abs=0.02), arm


def test_catalogue_magnitudes_are_speclites_of_the_noiseless_spectrum(truth, spectra):
    table = load_filters("decam2014-g", "decam2014-r", "decam2014-z").get_ab_magnitudes(
        spectra.astype(float) * 1e-17 * units.erg / units.s / units.cm**2 / units.Angstrom, OBSERVED * units.Angstrom
    )
    for band, name in zip("grz", table.colnames, strict=True):
        np.testing.assert_allclose(22.5 - 2.5 * np.log10(truth[f"flux_{band}"]), table[name], atol=0.005)


def test_measured_fluxes_scatter_around_the_true_ones(tile, truth):
    coadd = read_coadd(tile["coadd"])
    row = source_rows(coadd, truth)
    for band in "GRZ":
        flux = np.asarray(coadd.fibermap[f"FLUX_{band}"])[row >= 0]
        true = truth[f"flux_{band.lower()}"][row[row >= 0]]
        error = np.hypot(1 / np.sqrt(coadd.fibermap[f"FLUX_IVAR_{band}"][row >= 0]), 0.015 * true)
        pull = (flux - true) / error
        assert abs(pull.mean()) < 0.4 and 0.75 < pull.std() < 1.25


@pytest.mark.parametrize("which", ["tile", "dark_tile"])
def test_desispec_reads_the_spectra(which, request):
    path = request.getfixturevalue(which)["coadd"]
    ours, theirs = read_coadd(path), read_spectra(str(path))
    np.testing.assert_array_equal(theirs.fibermap["TARGETID"], ours.fibermap["TARGETID"])
    for arm in ARMS:
        np.testing.assert_allclose(theirs.flux[arm], ours.flux[arm])
        np.testing.assert_allclose(theirs.ivar[arm], ours.ivar[arm])
    astropys = Table.read(path, hdu="FIBERMAP", unit_parse_strict="silent")
    np.testing.assert_allclose(astropys["FLUX_W1"], ours.fibermap["FLUX_W1"])


def test_the_files_have_something_to_cut(tile, truth):
    coadd, fit = read_coadd(tile["coadd"]), read_redrock(tile["redrock"])
    np.testing.assert_array_equal(coadd.fibermap["TARGETID"], fit["TARGETID"])
    assert len(np.unique(fit["TARGETID"])) == len(fit)
    kind, status = np.asarray(coadd.fibermap["OBJTYPE"]).astype(str), coadd.fibermap["COADD_FIBERSTATUS"]
    blank = kind == "SKY"
    assert 0 < blank.sum() < 0.1 * len(kind) and (source_rows(coadd, truth)[blank] == -1).all()
    assert len(np.unique(coadd.fibermap["FIBER"])) == len(kind)
    flux = coadd.flux["r"][blank] * np.sqrt(coadd.ivar["r"][blank])
    assert abs(np.median(flux)) < 0.05
    assert (fit["ZWARN"][status != 0] != 0).all()
    broken = status == targets.BROKENFIBER
    assert not coadd.ivar["b"][broken].any() and not coadd.flux["z"][broken].any()
    good = (status == 0) & ~blank & (fit["ZWARN"] == 0)
    z = truth["redshift"][source_rows(coadd, truth)[good]]
    right = np.abs(fit["Z"][good] - z) / (1 + z) < 0.001
    assert good.sum() > 0.85 * len(truth["redshift"]) and right.mean() > 0.97


def test_signal_to_noise_is_that_of_the_bright_program(tile, truth):
    """Median r-arm S/N a pixel of 1.5 to 4 for r = 19.5 to 20.75 within the fibre."""
    coadd = read_coadd(tile["coadd"])
    row = source_rows(coadd, truth)
    fibre = 22.5 - 2.5 * np.log10(np.maximum(np.asarray(coadd.fibermap["FIBERFLUX_R"]), 1e-3))
    use = (row >= 0) & (coadd.fibermap["COADD_FIBERSTATUS"] == 0) & (fibre > 19.5) & (fibre < 20.75)
    snr = np.median(coadd.flux["r"] * np.sqrt(coadd.ivar["r"]), axis=1)[use]
    assert use.sum() > 20 and 1.5 < np.median(snr) < 4


def test_images_and_spectra_are_two_catalogues_of_one_sky(tile, truth):
    imaging, coadd = read_cutout_catalog(tile["images"]), read_coadd(tile["coadd"])
    row = source_rows(coadd, truth)
    spectroscopy = SkyCoord(coadd.fibermap["TARGET_RA"], coadd.fibermap["TARGET_DEC"], unit="deg")[row >= 0]
    _, separation, _ = spectroscopy.match_to_catalog_sky(SkyCoord(imaging["ra"], imaging["dec"], unit="deg"))
    separation = separation.arcsec
    matched = separation < 1
    assert 0.9 < matched.mean() < 1 and 0.02 < np.median(separation[matched]) < 0.3
    assert (truth["targetid"] == 0).any() and len(imaging) != len(truth["redshift"])


def test_resolution_is_written_when_asked_for(make):
    files = make("bright", {"targets_per_tile": {"bgs": 5}, "resolution": True})
    coadd = read_coadd(files["coadd"], resolution=True)
    for arm in ARMS:
        np.testing.assert_array_equal(coadd.resolution[arm][1], instrument.resolution(arm))


def test_a_tile_at_the_edge_has_fewer_galaxies(make):
    files = make("bright", {"targets_per_tile": {"bgs": 30}}, hpix=FIRST)
    assert 0 < len(read_truth(files["truth"])[0]["redshift"]) < 30


def test_a_tile_has_a_target_even_where_none_is_expected(make):
    truth, _ = read_truth(make("dark", {"targets_per_tile": {"elg": 0.3}})["truth"])
    assert list(truth["target"]) == ["elg"]


def test_the_redshift_catalogue_repeats_some_targets_as_not_primary(tile, merged):
    catalogue, fit = read_zcatalog(merged[0]), read_redrock(tile["redrock"])
    primary = np.asarray(catalogue["ZCAT_PRIMARY"], bool)
    np.testing.assert_array_equal(catalogue["TARGETID"][primary], fit["TARGETID"])
    np.testing.assert_array_equal(catalogue["Z"][primary], fit["Z"])
    again = catalogue[~primary]
    assert len(again) and np.isin(again["TARGETID"], fit["TARGETID"]).all()
    assert set(np.asarray(again["PROGRAM"]).astype(str)) == {"dark"}
    columns = {"SURVEY", "PROGRAM", "HEALPIX", "RELEASE", "BRICKID", "BRICK_OBJID", "MORPHTYPE", "EBV", "SERSIC"}
    columns |= {f"{kind}_{band}" for kind in ("FLUX", "FLUX_IVAR", "FIBERFLUX") for band in "GRZ"}
    columns |= {"SV3_DESI_TARGET", "SV3_BGS_TARGET", "SV_PRIMARY", "MAIN_PRIMARY", "SHAPE_R", "SHAPE_E1", "SHAPE_E2"}
    assert columns <= set(catalogue.colnames)


def test_properties_are_the_truth_with_the_scatter_of_a_posterior(truth, merged):
    table = read_properties(merged[1])
    assert 0.7 * len(truth["redshift"]) < len(table) < 0.97 * len(truth["redshift"])
    row = {targetid: i for i, targetid in enumerate(truth["targetid"])}
    place = [row[targetid] for targetid in table["TARGETID"]]
    assert np.std(table["PROVABGS_LOGMSTAR_BF"] - truth["log_mstar"][place]) == pytest.approx(0.1, rel=0.25)


def test_a_dark_tile_has_its_three_kinds_of_target(dark_tile):
    coadd, (truth, made_by) = read_coadd(dark_tile["coadd"]), read_truth(dark_tile["truth"])
    fit = read_redrock(dark_tile["redrock"])
    assert made_by["program"] == "dark" and coadd.header["PROGRAM"] == "dark" and coadd.header["HPXNSIDE"] == 64
    row = source_rows(coadd, truth)
    kind = truth["target"][row[row >= 0]]
    bits = np.asarray(coadd.fibermap["SV3_DESI_TARGET"])[row >= 0]
    for target, bit in (("lrg", 1), ("elg", 2), ("qso", 4)):
        np.testing.assert_array_equal(bits == bit, kind == target)
        assert 10 < np.sum(kind == target)
    assert not np.asarray(coadd.fibermap["SV3_BGS_TARGET"]).any()
    morphology = np.asarray(coadd.fibermap["MORPHTYPE"]).astype(str)[row >= 0]
    assert (morphology[kind == "qso"] == "PSF").all() and (morphology[kind == "lrg"] != "PSF").mean() > 0.9
    # infrared light makes LRGs: r - W1 above 1.8 (Zhou et al. 2023), measured here with noise
    flux = {band: np.asarray(coadd.fibermap[f"FLUX_{band}"])[row >= 0][kind == "lrg"] for band in ("R", "W1")}
    assert np.median(2.5 * np.log10(flux["W1"] / flux["R"])) > 1.5
    good = (np.asarray(coadd.fibermap["COADD_FIBERSTATUS"]) == 0)[row >= 0] & (fit["ZWARN"][row >= 0] == 0)
    right = np.abs(fit["Z"][row >= 0] - truth["redshift"][row[row >= 0]]) < 0.01 * (1 + fit["Z"][row >= 0])
    assert right[good & (kind != "qso")].mean() > 0.95 and right[good & (kind == "qso")].mean() > 0.8
    bare = good & right & (kind == "qso") & (truth["nucleus_share"][row[row >= 0]] > 0.9)
    assert bare.sum() > 5 and np.mean(fit["SPECTYPE"][row >= 0][bare] == "QSO") > 0.8


def test_programs_share_a_tile_but_no_identifier(tile, dark_tile):
    bright, dark = (np.asarray(read_coadd(files["coadd"]).fibermap["TARGETID"]) for files in (tile, dark_tile))
    assert not set(bright) & set(dark)
    exposures = [read_truth(files["truth"])[1]["exposure"] for files in (tile, dark_tile)]
    assert 100 < exposures[0] < 350 and 600 < exposures[1] < 1600


def test_the_nucleus_of_a_quasar_enters_the_fibre_as_a_star_does(dark_tile, grid_path):
    coadd, (truth, _) = read_coadd(dark_tile["coadd"]), read_truth(dark_tile["truth"])
    row = source_rows(coadd, truth)
    use = (row >= 0) & (coadd.fibermap["COADD_FIBERSTATUS"] == 0)
    use[use] = (truth["target"][row[use]] == "qso") & (truth["nucleus_share"][row[use]] > 0.9)
    expected = instrument.line_spread(sum(noiseless(dark_tile["truth"], grid_path, row[use])), "r")
    weight = coadd.ivar["r"][use]
    caught = (coadd.flux["r"][use] * expected * weight).sum(axis=1) / (expected**2 * weight).sum(axis=1)
    assert use.sum() > 5 and np.median(caught) == pytest.approx(FIBRE_POINT / instrument.PSF_TO_FIBRE, abs=0.06)


def test_hsc_images_hold_the_flux_of_the_noiseless_spectrum(tile, truth):
    catalogue = galaxiesml.read_catalog(tile["hsc"])
    place = SkyCoord(truth["ra"], truth["dec"], unit="deg")
    row, separation, _ = SkyCoord(catalogue["ra"], catalogue["dec"], unit="deg").match_to_catalog_sky(place)
    assert np.median(separation.arcsec) < 0.2 and 0.9 < len(catalogue) / len(place) < 1
    for band in "grizy":
        magnitude = 22.5 - 2.5 * np.log10(truth[f"flux_{band}"][row])
        if band in "iy":  # in g, r, z the truth has the Legacy Surveys' filters
            # profiles, 1.5 %, and zero points, 2 %, are not in the stated error
            error = np.hypot(catalogue[f"{band}_cmodel_magsigma"], 1.086 * np.hypot(0.015, HSC.calibration))
            assert np.std((catalogue[f"{band}_cmodel_mag"] - magnitude) / error) < 1.2
        assert np.median(np.abs(catalogue[f"{band}_cmodel_mag"] - magnitude)) < 0.1
    # small, lonely and whole: what is within 3 arcsec of the middle is the galaxy's light
    images = galaxiesml.read_images(tile["hsc"], np.arange(len(catalogue))) / galaxiesml.COUNTS_PER_NANOMAGGY
    y, x = np.mgrid[:64, :64] - 31.5
    inside = np.hypot(x, y) * galaxiesml.PIXEL_SCALE < 3
    found = images[:, 2, inside].sum(axis=1) / truth["flux_i"][row]
    small = (truth["r_disk"] < 0.9)[row] & (truth["r_bulge"] < 0.9)[row] & (truth["artefacts"] == 0)[row]
    assert small.sum() > 10 and np.median(found[small]) == pytest.approx(1.0, abs=0.1)
    error = (catalogue["specz_redshift"] - truth["redshift"][row]) / catalogue["specz_redshift_err"]
    assert np.std(error[np.abs(error) < 6]) == pytest.approx(1, abs=0.2) and (np.abs(error) < 6).mean() > 0.9


def test_compiled_redshifts_have_the_errors_and_failures_they_are_said_to_have():
    rng = np.random.default_rng(0)
    true = rng.uniform(0.001, 4.2, 100_000)
    found, error = rows.compilation(true, rng.standard_normal(len(true)), np.random.default_rng(1))
    off = (found - true) / error
    right = np.abs(off) < 6
    coarse = error / (1 + found) > 1e-3
    assert coarse.mean() == pytest.approx(rows.SPECZ_COARSE, abs=0.005)
    assert 1 - right[~coarse].mean() == pytest.approx(rows.SPECZ_WRONG, abs=0.003)
    assert np.std(off[right]) == pytest.approx(1, abs=0.02)
    wrong = ~right & ~coarse
    assert found[wrong].min() > -0.001 and found[wrong].max() < 4.01
    ratios = rows.SPECZ_LINES[:, None] / rows.SPECZ_LINES
    ratio = (1 + found[wrong]) / (1 + true[wrong])
    assert np.abs(ratio[:, None] / ratios.ravel() - 1).min(axis=1).max() < 1e-3
    again = rows.compilation(true, np.zeros(len(true)), np.random.default_rng(1))[1]
    np.testing.assert_array_equal(again, error)


def test_truth_tells_where_everything_is(tile, truth):
    place = np.stack([truth[axis] for axis in "xyz"], axis=1)
    direction = SkyCoord(*place.T, representation_type="cartesian").spherical
    np.testing.assert_allclose(direction.lon.deg, truth["ra"], atol=1e-9)
    cosmological = (1 + truth["redshift"]) / (1 + truth["velocity"] / 299792.458) - 1
    distance = Planck18.comoving_distance(cosmological).value
    np.testing.assert_allclose(np.linalg.norm(place, axis=1), distance, rtol=1e-4)
    separation = np.linalg.norm(place[:, None] - place, axis=2)
    np.testing.assert_array_equal(truth["neighbours_2mpc"], (separation <= 2).sum(axis=1) - 1)
    assert (truth["border"] > 0).all() and pq.read_schema(tile["truth"]).field("x").metadata[b"unit"] == b"Mpc"


def test_a_survey_without_targets_is_refused():
    assert programs({"targets_per_tile": {"bgs": 0, "qso": 3}}) == ["dark"]
    assert programs({"targets_per_tile": {"bgs": 0}}) == []
    with pytest.raises(BadConfig, match="targets_per_tile: {'bgs': 0} asks for no galaxy"):
        parse(MockSettings, {"kind": "mock", "modalities": ["image"], "targets_per_tile": {"bgs": 0}}, "surveys.mock")


def test_truth_remembers_what_made_it(tile):
    _, made_by = read_truth(tile["truth"])
    assert made_by["hpix"] == WHOLE and made_by["seed"] == 1
    assert made_by["program"] == "bright" and made_by["config"] == {**CONFIG, "seed": 1}


def test_what_is_no_truth_file_gets_one_line(tmp_path):
    path = tmp_path / "truth.parquet"
    path.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="truth.parquet: not a truth file of the mock survey"):
        read_truth(path)
