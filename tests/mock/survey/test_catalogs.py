"""The merged catalogues: the published columns of PROVABGS, BGS alone in it, both programs among the redshifts."""

from dataclasses import fields
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from astropy.cosmology import Planck18
from astropy.table import Table

from skyloom.formats import desi, provabgs
from skyloom.mock.survey import posterior
from skyloom.mock.survey.catalogs import merge_catalogs
from skyloom.mock.survey.targets import BGS_BRIGHT, BGS_FAINT
from skyloom.mock.survey.truth import read_truth, write_truth
from skyloom.mock.universe.population.population import Population

# desi.lbl.gov: data model of BGS_ANY_full.provabgs.sv3.v0.hdf5, in its order but for the weights' prefix
PUBLISHED = """TARGETID RA DEC Z_HP ZERR TSNR2_BGS MAG_G MAG_R MAG_Z MAG_W1 FIBMAG_R HPIX_64 PROVABGS_MCMC
PROVABGS_THETA_BF PROVABGS_LOGMSTAR_BF PROVABGS_Z_MAX SCHLEGEL_COLOR PROVABGS_W_ZFAIL PROVABGS_W_FIBASSIGN IS_BGS_BRIGHT
IS_BGS_FAINT"""
N = 400


def write_tile(folder, program: str, hpix: int, target: str) -> dict:
    """Redrock and truth of a tile whose galaxies are in another order in either; two fits in a hundred are bad."""
    rng = np.random.default_rng(hpix)
    values = {f.name: rng.uniform(0.1, 1, N) for f in fields(Population)}
    values |= {"target": np.full(N, target), "redshift": rng.uniform(0.05, 0.4, N), "log_mstar": rng.normal(10, 1, N)}
    values |= {"sfh": 10 ** values["log_mstar"][:, None] * rng.uniform(0.5, 1, (N, 3)), "z_mw": np.full(N, 0.01)}
    values |= {name: np.ones((N, 3)) for name in ("bulge_fraction", "dust_layer")}
    population = Population(**values)
    targetid = hpix * 1000 + np.arange(N)
    truth = {"targetid": targetid, "fibre_fraction": np.full(N, 0.4), **posterior.properties(population, rng)}
    tile = SimpleNamespace(population=population, hpix=hpix, program=program, seed=1, exposure=200.0)
    files = {"redrock": folder / f"redrock-{hpix}.fits", "truth": folder / f"truth-{hpix}.parquet"}
    write_truth(files["truth"], tile, {}, truth)
    order = rng.permutation(N)
    fitted = Table({"TARGETID": targetid[order], "Z": values["redshift"][order], "ZERR": np.full(N, 1e-4)})
    fitted["ZWARN"], fitted["SPECTYPE"] = (np.arange(N) < 8).astype("i8") * 4, "GALAXY"
    fitted["CHI2"], fitted["DELTACHI2"] = np.full(N, 7000.0), np.full(N, 100.0)
    fibermap = Table({"TARGETID": targetid[order], "TARGET_RA": rng.uniform(10, 11, N)})
    fibermap["TARGET_DEC"], fibermap["OBJTYPE"] = rng.uniform(30, 31, N), "TGT"
    fibermap["COADD_FIBERSTATUS"], fibermap["COADD_EXPTIME"] = np.zeros(N, "i4"), np.full(N, 210.0, "f4")
    fibermap["EBV"] = np.full(N, 0.1, "f4")
    for band, flux in {"G": 5.0, "R": 12.0, "Z": 20.0, "W1": 30.0}.items():
        fibermap[f"FLUX_{band}"] = np.full(N, flux, "f4")
    fibermap["FIBERFLUX_R"] = np.full(N, 4.0, "f4")
    fibermap["SV3_BGS_TARGET"] = np.where(np.arange(N) % 4, BGS_BRIGHT, BGS_FAINT) * (target == "bgs")
    desi.write_redrock(files["redrock"], fitted, fibermap)
    return files


@pytest.fixture(scope="module")
def merged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("merged")
    tiles = [write_tile(folder, "bright", 7, "bgs"), write_tile(folder, "dark", 8, "lrg")]
    merge_catalogs(tiles, folder / "zall.fits", folder / "provabgs.hdf5", folder / "derived.hdf5")
    return folder, tiles


def test_columns_are_the_published_ones_alone(merged):
    table = Table.read(merged[0] / "provabgs.hdf5")
    assert table.colnames == PUBLISHED.split()
    assert table["PROVABGS_MCMC"].shape[1:] == (100, 13) and table["PROVABGS_THETA_BF"].shape[1:] == (13,)
    assert table["IS_BGS_BRIGHT"].dtype == bool and table["TARGETID"].dtype == "i8"


def test_only_bgs_galaxies_with_a_trusted_redshift_have_properties(merged):
    table = provabgs.read_properties(merged[0] / "provabgs.hdf5")
    assert set(np.asarray(table["TARGETID"]) // 1000) == {7} and len(set(table["TARGETID"])) == len(table)
    assert len(table) == pytest.approx(392 * 11 / 12, abs=25)
    assert np.mean(table["IS_BGS_BRIGHT"]) == pytest.approx(0.75, abs=0.05)
    np.testing.assert_array_equal(table["IS_BGS_FAINT"], ~table["IS_BGS_BRIGHT"])
    zcatalog = desi.read_zcatalog(merged[0] / "zall.fits")
    primary = zcatalog[zcatalog["ZCAT_PRIMARY"]]
    assert len(primary) == 2 * N and set(primary["PROGRAM"]) == {"bright", "dark"}
    assert set(primary["HEALPIX"][primary["PROGRAM"] == "dark"]) == {8}
    again = zcatalog[~zcatalog["ZCAT_PRIMARY"]]
    assert 5 < len(again) < 60 and set(again["PROGRAM"][np.asarray(again["TARGETID"]) // 1000 == 7]) == {"dark"}


def test_values_are_those_of_the_galaxy(merged):
    table = provabgs.read_properties(merged[0] / "provabgs.hdf5")
    zcatalog = desi.read_zcatalog(merged[0] / "zall.fits")
    primary = zcatalog[zcatalog["ZCAT_PRIMARY"]]
    z = dict(zip(primary["TARGETID"], primary["Z"], strict=True))
    np.testing.assert_allclose(table["Z_HP"], [z[number] for number in table["TARGETID"]])
    np.testing.assert_allclose(table["MAG_R"], 22.5 - 2.5 * np.log10(12) - 2.165 * 0.1, rtol=1e-6)
    mag = {band: np.asarray(table[f"MAG_{band}"]) for band in ("G", "R", "Z", "W1")}
    np.testing.assert_allclose(table["SCHLEGEL_COLOR"], mag["Z"] - mag["W1"] - 1.2 * (mag["G"] - mag["R"]) + 1.2)
    truth = truth_of(table, merged)
    np.testing.assert_array_equal(table["PROVABGS_LOGMSTAR_BF"], truth["measured_log_mstar"])
    pull = (table["PROVABGS_LOGMSTAR_BF"] - truth["log_mstar"]) / posterior.WIDTH["log_mstar"]
    assert np.std(pull) == pytest.approx(1, abs=0.15) and abs(np.mean(pull)) < 0.2
    mass = np.asarray(table["PROVABGS_MCMC"])[..., 0]
    np.testing.assert_allclose(mass.std(axis=1).mean(), posterior.WIDTH["log_mstar"], rtol=0.03)
    assert abs(np.mean(mass.mean(axis=1) - table["PROVABGS_THETA_BF"][:, 0])) < 0.003
    np.testing.assert_allclose(table["TSNR2_BGS"], 210 / 0.14, rtol=1e-6)


def truth_of(table, merged) -> dict:
    """The truth of the rows of a table of the first tile."""
    truth, _ = read_truth(merged[1][0]["truth"])
    place = {number: row for row, number in enumerate(truth["targetid"])}
    rows = [place[number] for number in table["TARGETID"]]
    return {name: values[rows] for name, values in truth.items()}


def test_the_companion_has_what_a_fit_reports_of_the_same_galaxies(merged):
    table = provabgs.read_properties(merged[0] / "provabgs.hdf5", ["TARGETID"])
    derived = Table.read(merged[0] / "derived.hdf5")
    assert derived.colnames == list(provabgs.COMPANION)
    np.testing.assert_array_equal(derived["TARGETID"], table["TARGETID"])
    truth = truth_of(table, merged)
    for name, key in {"Z_MW": "z_mw", "TAGE_MW": "t_age_mw", "AVG_SFR": "avg_sfr"}.items():
        np.testing.assert_array_equal(derived[name], truth[f"measured_{key}"])
        assert 0.05 < np.std(np.log10(derived[name] / truth[key])) < 0.3  # measured, not true


def test_the_largest_redshift_is_where_the_galaxy_has_the_limits_magnitude(merged):
    table = provabgs.read_properties(merged[0] / "provabgs.hdf5")
    below = np.asarray(table["PROVABGS_Z_MAX"]) < 0.6
    z, z_max = np.asarray(table["Z_HP"])[below], np.asarray(table["PROVABGS_Z_MAX"])[below]
    fainter = 5 * np.log10(Planck18.luminosity_distance(z_max) / Planck18.luminosity_distance(z))
    mag_r = np.asarray(table["MAG_R"])[below]
    np.testing.assert_allclose(mag_r + fainter, np.where(mag_r > 19.5, 20.175, 19.5), atol=2e-3)
    assert below.any() and (np.asarray(table["PROVABGS_Z_MAX"]) >= np.asarray(table["Z_HP"])).all()


def test_the_same_tiles_the_same_bytes_and_nan_takes_no_room(merged, tmp_path):
    folder, tiles = merged
    merge_catalogs(tiles, tmp_path / "zall.fits", tmp_path / "provabgs.hdf5", tmp_path / "derived.hdf5")
    for name in ("zall.fits", "provabgs.hdf5", "derived.hdf5"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    with h5py.File(folder / "provabgs.hdf5") as file:
        dataset = file["__astropy_table__"]
        assert dataset.id.get_storage_size() < 0.55 * dataset.nbytes
