"""A whole tile: its files against the truth behind them, and the same bytes whoever makes them."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.table import Table
from desispec.io import read_spectra
from speclite.filters import load_filters

from skyloom.errors import BadInput
from skyloom.files import sha256
from skyloom.surveys.desi import ARMS, read_coadd, read_redrock, read_zcatalog
from skyloom.surveys.legacy import read_cutout_catalog
from skyloom.surveys.mock import instrument, targets
from skyloom.surveys.mock.catalogs import merge_catalogs
from skyloom.surveys.mock.footprint import FIRST
from skyloom.surveys.mock.layout import tile_files
from skyloom.surveys.mock.tile import make_tile
from skyloom.surveys.mock.truth import noiseless, read_truth
from skyloom.surveys.mock.wavelengths import OBSERVED
from skyloom.surveys.provabgs import read_properties

WHOLE = FIRST + 3
SMALL = {"galaxies_per_tile": 70}


@pytest.fixture(scope="module")
def truth(tile):
    return read_truth(tile["truth"])[0]


@pytest.fixture(scope="module")
def spectra(tile, grid_path):
    return noiseless(tile["truth"], grid_path)


@pytest.fixture(scope="module")
def merged(tile, tmp_path_factory):
    folder = tmp_path_factory.mktemp("merged")
    merge_catalogs([tile], folder / "zall.fits", folder / "properties.hdf5")
    return folder / "zall.fits", folder / "properties.hdf5"


def source_rows(coadd, truth):
    """Row of the truth for each spectrum, -1 for sky fibres."""
    order = {targetid: row for row, targetid in enumerate(truth["targetid"]) if targetid}
    return np.array([order.get(targetid, -1) for targetid in coadd.fibermap["TARGETID"]])


def test_another_process_with_other_threads_makes_the_same_bytes(grid_path, sky_path, tmp_path):
    script = (
        "import sys; from skyloom.surveys.mock.tile import make_tile\n"
        "roles = ('coadd', 'redrock', 'images', 'truth')\n"
        "make_tile(int(sys.argv[1]), 3, {'galaxies_per_tile': 70}, *sys.argv[2:4], dict(zip(roles, sys.argv[4:])))"
    )
    digests = []
    for threads in ("1", "2"):
        files = [str(tmp_path / threads / name) for name in tile_files(WHOLE).values()]
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        environment["PYTHONPATH"] = str(Path(__file__).parents[3] / "workflow")
        command = [sys.executable, "-c", script, str(WHOLE), str(grid_path), str(sky_path), *files]
        subprocess.run(command, env=environment, check=True)
        digests.append([sha256(path) for path in files])
    assert digests[0] == digests[1]


def test_seed_and_tile_make_the_difference_and_other_settings_do_not(grid_path, sky_path, tmp_path):
    digest = {}
    cases = {"plain": (WHOLE, 3, SMALL), "other": (WHOLE, 3, {**SMALL, "crop": 96}), "seed": (WHOLE, 4, SMALL)}
    for case, (hpix, seed, config) in cases.items():
        files = {role: tmp_path / case / name for role, name in tile_files(hpix).items()}
        make_tile(hpix, seed, config, grid_path, sky_path, files)
        digest[case] = [sha256(path) for path in files.values()]
    assert digest["plain"] == digest["other"]
    assert not set(digest["plain"]) & set(digest["seed"])


def test_what_is_written_is_the_noiseless_spectrum_and_noise_of_the_stated_ivar(tile, truth, spectra):
    coadd = read_coadd(tile["coadd"])
    row = source_rows(coadd, truth)
    good = (row >= 0) & (coadd.fibermap["COADD_FIBERSTATUS"] == 0)
    share = truth["fibre_fraction"][row[good]] / instrument.PSF_TO_FIBRE
    for arm in ARMS:
        expected = instrument.line_spread(spectra[row[good]] * share[:, None].astype("f4"), arm)
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


def test_desispec_reads_the_spectra(tile):
    ours, theirs = read_coadd(tile["coadd"]), read_spectra(str(tile["coadd"]))
    np.testing.assert_array_equal(theirs.fibermap["TARGETID"], ours.fibermap["TARGETID"])
    for arm in ARMS:
        np.testing.assert_allclose(theirs.flux[arm], ours.flux[arm])


def test_the_files_have_something_to_cut(tile, truth):
    coadd, fit = read_coadd(tile["coadd"]), read_redrock(tile["redrock"])
    np.testing.assert_array_equal(coadd.fibermap["TARGETID"], fit["TARGETID"])
    assert len(np.unique(fit["TARGETID"])) == len(fit)
    kind, status = np.asarray(coadd.fibermap["OBJTYPE"]).astype(str), coadd.fibermap["COADD_FIBERSTATUS"]
    blank = kind == "SKY"
    assert 0 < blank.sum() < 0.1 * len(kind) and (source_rows(coadd, truth)[blank] == -1).all()
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
    """Median r-arm S/N a pixel of 2 to 5 for r = 19.5 to 20.75 within the fibre."""
    coadd = read_coadd(tile["coadd"])
    row = source_rows(coadd, truth)
    fibre = 22.5 - 2.5 * np.log10(np.maximum(np.asarray(coadd.fibermap["FIBERFLUX_R"]), 1e-3))
    use = (row >= 0) & (coadd.fibermap["COADD_FIBERSTATUS"] == 0) & (fibre > 19.5) & (fibre < 20.75)
    snr = np.median(coadd.flux["r"] * np.sqrt(coadd.ivar["r"]), axis=1)[use]
    assert use.sum() > 20 and 2 < np.median(snr) < 5


def test_images_and_spectra_are_two_catalogues_of_one_sky(tile, truth):
    imaging, coadd = read_cutout_catalog(tile["images"]), read_coadd(tile["coadd"])
    row = source_rows(coadd, truth)
    spectroscopy = SkyCoord(coadd.fibermap["TARGET_RA"], coadd.fibermap["TARGET_DEC"], unit="deg")[row >= 0]
    _, separation, _ = spectroscopy.match_to_catalog_sky(SkyCoord(imaging["ra"], imaging["dec"], unit="deg"))
    separation = separation.arcsec
    matched = separation < 1
    assert 0.9 < matched.mean() < 1 and 0.02 < np.median(separation[matched]) < 0.3
    assert (truth["targetid"] == 0).any() and len(imaging) != len(truth["redshift"])


def test_resolution_is_written_when_asked_for(grid_path, sky_path, tmp_path):
    files = {role: tmp_path / name for role, name in tile_files(WHOLE).items()}
    make_tile(WHOLE, 3, {"galaxies_per_tile": 5, "resolution": True}, grid_path, sky_path, files)
    coadd = read_coadd(files["coadd"], resolution=True)
    for arm in ARMS:
        np.testing.assert_array_equal(coadd.resolution[arm][1], instrument.resolution(arm))


def test_a_tile_at_the_edge_has_fewer_galaxies(grid_path, sky_path, tmp_path):
    files = {role: tmp_path / name for role, name in tile_files(FIRST).items()}
    make_tile(FIRST, 1, {"galaxies_per_tile": 30}, grid_path, sky_path, files)
    assert 0 < len(read_truth(files["truth"])[0]["redshift"]) < 30


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
    assert Table.read(merged[1]).colnames == table.colnames
    assert 0.7 * len(truth["redshift"]) < len(table) < 0.97 * len(truth["redshift"])
    row = {targetid: i for i, targetid in enumerate(truth["targetid"])}
    place = [row[targetid] for targetid in table["TARGETID"]]
    np.testing.assert_array_equal(table["LOG_MSTAR_TRUE"], truth["log_mstar"][place])
    assert np.std(table["LOG_MSTAR"] - table["LOG_MSTAR_TRUE"]) == pytest.approx(0.1, rel=0.25)
    for name, scatter in (("Z_MW", 0.18), ("TAGE_MW", 0.12), ("AVG_SFR", 0.2)):
        assert np.std(np.log10(table[name] / table[f"{name}_TRUE"])) == pytest.approx(scatter, rel=0.25)


def test_truth_remembers_what_made_it(tile):
    _, made_by = read_truth(tile["truth"])
    assert made_by["hpix"] == WHOLE and made_by["seed"] == 1
    assert made_by["config"] == {"galaxies_per_tile": 150, "population": "parametric", "seed": 1}


def test_what_is_no_truth_file_gets_one_line(tmp_path):
    path = tmp_path / "truth.parquet"
    path.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="truth.parquet: not a truth file of the mock survey"):
        read_truth(path)
