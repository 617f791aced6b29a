"""DESI files: what is written, desispec reads; what is wrong with a file is said in one line."""

import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from skyloom.core.errors import BadInput, SkyloomError
from skyloom.formats import desi
from skyloom.formats.fits_files import MEND
from skyloom.surveys import desi_samples

COADDS = [Path(name).name for name in desi_samples.file_names() if "coadd" in name]


def make_fibermap(n: int) -> Table:
    rng = np.random.default_rng(1)
    return Table(
        {
            "TARGETID": 39627000000000000 + np.arange(n),
            "COADD_FIBERSTATUS": np.where(np.arange(n) % 5 == 4, 512, 0).astype("i4"),
            "TARGET_RA": rng.uniform(0, 360, n),
            "TARGET_DEC": rng.uniform(-20, 80, n),
            "OBJTYPE": np.where(np.arange(n) % 6 == 5, "SKY", "TGT"),
            "FLUX_R": rng.exponential(5, n).astype("f4"),
            "FLUX_IVAR_R": np.full(n, 400, "f4"),
            "EBV": np.full(n, 0.03, "f4"),
            "COADD_EXPTIME": np.full(n, 180, "f4"),
        }
    )


def make_coadd(n: int, resolution: bool = False) -> desi.Coadd:
    """Noise with 2 % of masked pixels, whose ivar is 0 as in released coadds."""
    rng = np.random.default_rng(2)
    arms = {arm: npix for arm, (_, npix) in desi.ARMS.items()}
    mask = {arm: np.where(rng.random((n, npix)) < 0.02, 4, 0).astype("i4") for arm, npix in arms.items()}
    flux = {arm: rng.normal(3, 2, (n, npix)).astype("f4") for arm, npix in arms.items()}
    ivar = {a: np.where(mask[a], 0, rng.exponential(2, (n, npix))).astype("f4") for a, npix in arms.items()}
    matrices = {arm: rng.random((n, 11, npix)).astype("f4") for arm, npix in arms.items()} if resolution else None
    wavelength = {arm: desi.arm_wavelength(arm) for arm in arms}
    header = desi.healpix_header(27247, "sv3", "bright")
    return desi.Coadd(make_fibermap(n), wavelength, flux, ivar, mask, matrices, header)


@pytest.fixture(scope="module")
def coadd() -> desi.Coadd:
    return make_coadd(12, resolution=True)


@pytest.fixture(scope="module")
def written(coadd, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("desi") / "coadd-sv3-bright-27247.fits"
    desi.write_coadd(path, coadd)
    return path


def make_redshifts(n: int) -> Table:
    return Table(
        {
            "TARGETID": 39627000000000000 + np.arange(n),
            "Z": np.linspace(0.01, 0.6, n),
            "ZERR": np.full(n, 1e-5),
            "ZWARN": np.arange(n) % 2 * 4,
            "SPECTYPE": np.where(np.arange(n) % 3, "GALAXY", "QSO"),
            "DELTACHI2": np.linspace(5, 900, n),
            "TSNR2_BGS": np.full(n, 1000, "f4"),
        }
    )


def test_the_grid_is_that_of_the_archive():
    assert desi.WAVELENGTH.shape == (7781,)
    assert desi.WAVELENGTH[[0, -1]] == pytest.approx([3600, 9824])
    union = np.unique(np.concatenate([desi.arm_wavelength(arm).round(1) for arm in desi.ARMS]))
    np.testing.assert_allclose(union, desi.WAVELENGTH, atol=1e-6)


def test_reads_back_what_it_wrote(coadd, written):
    found = desi.read_coadd(written, resolution=True)
    for arm in desi.ARMS:
        for name in ("wavelength", "flux", "ivar", "mask", "resolution"):
            values = getattr(found, name)[arm]
            np.testing.assert_array_equal(values, getattr(coadd, name)[arm])
            assert values.dtype == getattr(coadd, name)[arm].dtype
    assert found.fibermap.colnames == coadd.fibermap.colnames
    for name in coadd.fibermap.colnames:
        np.testing.assert_array_equal(found.fibermap[name], coadd.fibermap[name])
    assert found.fibermap["TARGET_RA"].unit == "deg"
    assert found.header == coadd.header


def test_reads_rows_in_the_order_asked_for(coadd, written):
    rows = [7, 2, 3, 3, 11]
    found = desi.read_coadd(written, rows=rows, resolution=True)
    np.testing.assert_array_equal(found.fibermap["TARGETID"], coadd.fibermap["TARGETID"][rows])
    for arm in desi.ARMS:
        np.testing.assert_array_equal(found.flux[arm], coadd.flux[arm][rows])
        np.testing.assert_array_equal(found.mask[arm], coadd.mask[arm][rows])
        np.testing.assert_array_equal(found.resolution[arm], coadd.resolution[arm][rows])
    assert len(desi.read_coadd(written, rows=[]).flux["b"]) == 0


def test_a_few_rows_take_little_memory(tmp_path):
    desi.write_coadd(tmp_path / "coadd.fits", make_coadd(300))
    tracemalloc.start()
    desi.read_coadd(tmp_path / "coadd.fits", rows=[0, 150, 299])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300 * 7958 * 4 / 4  # a quarter of one quantity of all rows


def test_layout_units_and_types_are_those_of_the_archive(written):
    with fits.open(written) as hdus:
        arms = [f"{arm}_{name}" for arm in "BRZ" for name in ("WAVELENGTH", "FLUX", "IVAR", "MASK", "RESOLUTION")]
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "FIBERMAP", "EXP_FIBERMAP", *arms, "SCORES"]
        assert hdus["R_FLUX"].header["BUNIT"] == "10**-17 erg/(s cm2 Angstrom)"
        assert hdus["R_IVAR"].header["BUNIT"] == "10**+34 (s2 cm4 Angstrom2) / erg2"
        assert hdus["R_WAVELENGTH"].header["BITPIX"] == -64
        assert hdus["Z_MASK"].header["BITPIX"] == 32
        assert hdus["B_RESOLUTION"].shape == (12, 11, 2751)
        columns = hdus["FIBERMAP"].columns
        assert (columns["TARGETID"].format, columns["OBJTYPE"].format) == ("K", "3A")
        assert (columns["FLUX_R"].unit, columns["FLUX_IVAR_R"].unit) == ("nanomaggy", "nanomaggy^-2")
        assert all(hdus["EXP_FIBERMAP"].columns[name].format == "J" for name in ("NIGHT", "TILEID", "FIBER"))
        assert hdus[0].header["HPXPIXEL"] == 27247 and hdus[0].header["HPXNEST"] is True


def test_same_coadd_same_bytes(coadd, written, tmp_path):
    desi.write_coadd(tmp_path / "again.fits", coadd)
    assert (tmp_path / "again.fits").read_bytes() == written.read_bytes()


def test_full_disk_is_one_line_and_leaves_nothing(coadd, tmp_path):
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        with pytest.raises(SkyloomError, match="coadd.fits: the disk is full") as caught:
            desi.write_coadd(tmp_path / "coadd.fits", coadd)
        assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_refuses_arrays_that_do_not_fit(coadd, tmp_path):
    broken = make_coadd(3)
    broken.ivar["r"] = broken.ivar["r"][:2]
    with pytest.raises(ValueError, match="arm r: ivar has shape"):
        desi.write_coadd(tmp_path / "coadd.fits", broken)
    assert not list(tmp_path.iterdir())


def test_desispec_reads_it(coadd, written):
    from desispec.io import read_spectra

    spectra = read_spectra(str(written))
    assert spectra.bands == ["b", "r", "z"]
    np.testing.assert_array_equal(spectra.target_ids(), coadd.fibermap["TARGETID"])
    for arm in desi.ARMS:
        np.testing.assert_array_equal(spectra.wave[arm], coadd.wavelength[arm])
        np.testing.assert_array_equal(spectra.flux[arm], coadd.flux[arm])
        np.testing.assert_array_equal(spectra.mask[arm], coadd.mask[arm])
        np.testing.assert_array_equal(spectra.resolution_data[arm], coadd.resolution[arm])
    assert set(spectra.exp_fibermap["TARGETID"]) == set(coadd.fibermap["TARGETID"])
    assert spectra.meta["SURVEY"] == "sv3"
    assert len(spectra[[0, 3]].fibermap) == 2


def test_scores_are_those_of_desispec(coadd, written):
    from desispec.io import read_spectra
    from desispec.specscore import compute_coadd_scores

    expected, _ = compute_coadd_scores(read_spectra(str(written)), update_coadd=False)
    found = desi.scores(coadd)
    assert set(found.colnames) == set(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=2e-5)


def assert_agrees_with_desispec(path: Path, rtol: float = 2e-6) -> None:
    from desispec.coaddition import coadd_cameras
    from desispec.io import read_spectra

    combined = coadd_cameras(read_spectra(str(path)))
    flux, ivar = desi.combine_arms(desi.read_coadd(path))
    np.testing.assert_allclose(combined.wave["brz"], desi.WAVELENGTH, atol=1e-6)
    np.testing.assert_allclose(ivar, combined.ivar["brz"], rtol=rtol)
    weighted = ivar > 0
    np.testing.assert_allclose(flux[weighted], combined.flux["brz"][weighted], rtol=rtol, atol=1e-6)
    assert not flux[~weighted].any()


def test_combined_arms_agree_with_desispec(written):
    assert_agrees_with_desispec(written)


@pytest.mark.parametrize("name", COADDS)
def test_real_spectra_combine_as_in_desispec(real_spectra, name):
    assert_agrees_with_desispec(real_spectra[name])


def test_overlap_is_weighted_by_inverse_variance():
    coadd = make_coadd(4)
    for arm, flux, ivar in (("b", 1.0, 1.0), ("r", 3.0, 3.0), ("z", 3.0, 3.0)):
        coadd.flux[arm][:] = flux
        coadd.ivar[arm][:] = ivar
        coadd.mask[arm][:] = 0
    coadd.mask["b"][1] = 4
    coadd.flux["r"][2] = np.nan
    coadd.ivar["b"][3] = 0
    flux, ivar = desi.combine_arms(coadd)
    overlap = np.searchsorted(desi.WAVELENGTH, 5780)  # where b and r see the same light
    np.testing.assert_allclose(flux[:, overlap], [2.5, 3, 1, 3])  # (1*1 + 3*3) / 4, then one arm alone
    np.testing.assert_allclose(ivar[:, overlap], [4, 3, 1, 3])
    alone = np.searchsorted(desi.WAVELENGTH, 4000)
    np.testing.assert_array_equal(ivar[:, alone], [1, 0, 1, 0])
    np.testing.assert_array_equal(flux[:, alone], [1, 0, 1, 0])
    assert np.isfinite(flux).all() and flux.dtype == ivar.dtype == np.float32


def test_infinite_and_negative_ivar_count_for_nothing():
    coadd = make_coadd(2)
    coadd.ivar["b"][0, 100], coadd.ivar["b"][1, 100] = np.inf, -1
    flux, ivar = desi.combine_arms(coadd)
    assert not ivar[:, 100].any() and not flux[:, 100].any()


def test_redrock_file_has_its_documented_form(tmp_path):
    redshifts, path = make_redshifts(6), tmp_path / "redrock.fits"
    desi.write_redrock(path, redshifts, make_fibermap(6), desi.healpix_header(27247, "sv3", "bright"))
    found = desi.read_redrock(path)
    for name in desi.REDSHIFT_COLUMNS:
        np.testing.assert_array_equal(found[name], redshifts[name])
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "REDSHIFTS", "FIBERMAP", "EXP_FIBERMAP", "TSNR2"]
        assert hdus["REDSHIFTS"].data["COEFF"].shape == (6, 10)
        assert hdus["TSNR2"].columns.names == ["TARGETID", "TSNR2_BGS"]
        assert hdus[0].header["SPGRPVAL"] == 27247


def test_real_redrock_files_are_read(real_spectra):
    paths = [path for name, path in real_spectra.items() if name.startswith("redrock")]
    assert [round(float(desi.read_redrock(path)["Z"][0]), 5) for path in paths] == [0.36874, 0.00727]


def test_zcatalog_comes_back_whole_or_by_column(tmp_path):
    table = make_fibermap(9)
    for name, values in make_redshifts(9).columns.items():
        table[name] = values
    table["SV_PRIMARY"] = np.arange(9) % 2 == 0
    desi.write_zcatalog(tmp_path / "zall-pix-mock.fits", table)
    found = desi.read_zcatalog(tmp_path / "zall-pix-mock.fits")
    assert found.colnames == table.colnames
    for name in table.colnames:
        np.testing.assert_array_equal(found[name], table[name])
    assert found["SV_PRIMARY"].dtype == bool
    assert desi.read_zcatalog(tmp_path / "zall-pix-mock.fits", ["TARGETID", "Z"]).colnames == ["TARGETID", "Z"]
    with fits.open(tmp_path / "zall-pix-mock.fits") as hdus:
        assert hdus[1].name == "ZCATALOG"


def bad_line(read, *arguments, **options) -> str:
    """The message of the BadInput that `read` must raise: one line that names the file."""
    with pytest.raises(BadInput) as caught:
        read(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message and str(arguments[0]) in message
    return message


@pytest.fixture
def small(tmp_path) -> Path:
    desi.write_coadd(tmp_path / "coadd.fits", make_coadd(2))
    return tmp_path / "coadd.fits"


def test_any_truncation_is_noticed(small):
    whole = small.read_bytes()
    for length in [0, 100, 2880, *np.linspace(3000, len(whole) - 2880, 40, dtype=int)]:
        small.write_bytes(whole[:length])
        bad_line(desi.read_coadd, small)


def test_truncation_names_the_hdu(small):
    with fits.open(small) as hdus:
        inside = hdus.fileinfo("R_IVAR")["datLoc"] + 1000
    small.write_bytes(small.read_bytes()[:inside])
    line = bad_line(desi.read_coadd, small)
    assert "truncated: HDU R_IVAR needs" in line and line.endswith("; " + MEND)


def test_damaged_headers_are_refused_or_harmless(small):
    whole, rng = small.read_bytes(), np.random.default_rng(7)
    with fits.open(small) as hdus:
        headers = [hdus.fileinfo(index) for index in range(len(hdus))]
    refused = 0
    for _ in range(60):
        damaged, header = bytearray(whole), headers[rng.integers(len(headers))]
        damaged[rng.integers(header["hdrLoc"], header["datLoc"])] = rng.integers(32, 127)
        small.write_bytes(damaged)
        try:
            desi.read_coadd(small)
        except BadInput as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 0


def test_what_is_not_fits_is_refused(tmp_path):
    (tmp_path / "coadd.fits").write_text("<html>403 Forbidden</html>" * 1000)
    line = bad_line(desi.read_coadd, tmp_path / "coadd.fits")
    assert "not a readable FITS file" in line and line.endswith("; " + MEND)
    assert "no such file" in bad_line(desi.read_coadd, tmp_path / "absent.fits")


def change(path: Path, name: str, hdu: object) -> None:
    """Replace one HDU of a file, or drop it."""
    with fits.open(path, memmap=False) as hdus:
        kept = [hdu if old.name == name else old.copy() for old in hdus]
        fits.HDUList([new for new in kept if new is not None]).writeto(path, overwrite=True)


@pytest.mark.parametrize("name", ["FIBERMAP", "B_WAVELENGTH", "R_FLUX", "Z_IVAR", "B_MASK"])
def test_missing_hdu(small, name):
    change(small, name, None)
    assert f"no HDU {name}, found PRIMARY" in bad_line(desi.read_coadd, small)


def test_resolution_may_be_absent_until_it_is_asked_for(small):
    assert desi.read_coadd(small).resolution is None
    assert "no HDU B_RESOLUTION" in bad_line(desi.read_coadd, small, resolution=True)


def fibermap_with(column: str, values: object) -> fits.BinTableHDU:
    fibermap = make_fibermap(2)
    fibermap.remove_column(column)
    if values is not None:
        fibermap[column] = values
    return fits.BinTableHDU(fibermap, name="FIBERMAP")


@pytest.mark.parametrize(
    ("column", "values", "line"),
    [
        ("TARGETID", None, "HDU FIBERMAP has no column TARGETID"),
        ("OBJTYPE", None, "HDU FIBERMAP has no column OBJTYPE"),
        ("TARGETID", np.array([1.5, 2.5]), "HDU FIBERMAP column TARGETID is float64, expected integers"),
        ("TARGET_RA", np.array(["10h", "11h"]), "HDU FIBERMAP column TARGET_RA is str96, expected numbers"),
        ("OBJTYPE", np.array([0, 1]), "HDU FIBERMAP column OBJTYPE is int64, expected text"),
    ],
)
def test_fibermap_column_missing_or_of_the_wrong_type(small, column, values, line):
    change(small, "FIBERMAP", fibermap_with(column, values))
    assert line in bad_line(desi.read_coadd, small)


@pytest.mark.parametrize(
    ("name", "values", "line"),
    [
        ("B_FLUX", np.zeros((2, 2750), "f4"), "HDU B_FLUX has shape (2, 2750), expected (2, 2751)"),
        ("R_IVAR", np.zeros((3, 2326), "f4"), "HDU R_IVAR has shape (3, 2326), expected (2, 2326)"),
        ("Z_FLUX", np.zeros((2, 2881), "i4"), "HDU Z_FLUX holds int32, expected floats"),
        ("Z_MASK", np.zeros((2, 2881), "f4"), "HDU Z_MASK holds float32, expected integers"),
        ("R_WAVELENGTH", desi.arm_wavelength("r") * 1.001, "HDU R_WAVELENGTH runs 5765.76..7627.62 Angstrom"),
        ("Z_WAVELENGTH", np.linspace(7520, 9824, 2000), "HDU Z_WAVELENGTH has shape (2000,)"),
    ],
)
def test_image_of_the_wrong_shape_type_or_grid(small, name, values, line):
    change(small, name, fits.ImageHDU(values, name=name))
    assert line in bad_line(desi.read_coadd, small)


def test_table_in_place_of_an_image_and_the_other_way_round(small):
    change(small, "B_FLUX", fits.BinTableHDU(make_fibermap(2), name="B_FLUX"))
    assert "HDU B_FLUX is a table, expected an image" in bad_line(desi.read_coadd, small)
    change(small, "FIBERMAP", fits.ImageHDU(np.zeros((2, 2)), name="FIBERMAP"))
    assert "HDU FIBERMAP is not a binary table" in bad_line(desi.read_coadd, small)


def test_rows_that_are_not_there(small):
    assert "asked for rows 1..2, the file has 2 rows" in bad_line(desi.read_coadd, small, rows=[1, 2])


def test_unsigned_masks_of_older_files_are_read(small):
    mask = np.zeros((2, 2751), "u4")
    mask[1, 5] = 8
    change(small, "B_MASK", fits.ImageHDU(mask, name="B_MASK"))
    for rows in (None, [0, 1]):
        found = desi.read_coadd(small, rows=rows).mask["b"]
        assert found.dtype == np.int32 and found[1, 5] == 8 and found.sum() == 8


def test_bad_redshift_files(tmp_path):
    redshifts = make_redshifts(3)
    redshifts["Z"] = ["a", "b", "c"]
    desi.write_redrock(tmp_path / "redrock.fits", redshifts, make_fibermap(3))
    assert "HDU REDSHIFTS column Z is" in bad_line(desi.read_redrock, tmp_path / "redrock.fits")
    assert "no HDU ZCATALOG" in bad_line(desi.read_zcatalog, tmp_path / "redrock.fits")
    table = make_fibermap(3)
    with pytest.raises(ValueError, match="needs the columns Z, ZERR"):
        desi.write_zcatalog(tmp_path / "zall.fits", table)
