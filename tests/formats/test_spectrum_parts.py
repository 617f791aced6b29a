"""From a user's files to spectra on the survey's grid: what is of use, and why the rest is not."""

import h5py
import numpy as np
import pytest
from astropy.io import fits

from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats.spectrum_files.readers import read
from skyloom.formats.spectrum_parts import convert, on_grid, read_part, read_spectra
from tests.paths import SHARED

GRID = {"start": 4000.0, "step": 2.0, "pixels": 500}
CENTRES = 4000 + 2.0 * np.arange(500)
WAVE = 4000 + 1.5 * np.arange(600)
DESI = {"start": 3600.0, "step": 0.8, "pixels": 7781}


def write(path, **columns):
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name] = values
    return path


def light(rows, seed=1):
    rng = np.random.default_rng(seed)
    return 5 + np.sin(WAVE / 200) + rng.normal(0, 0.5, (rows, len(WAVE)))


def converted(folder, paths, grid=GRID, minimum_good=0.1, form="auto", columns=None):
    convert({str(path): path for path in paths}, form, columns, grid, minimum_good, folder / "spectra-0000.h5")
    return *read_part(folder / "spectra-0000.h5"), folder / "spectra-0000.h5"


def test_spectra_and_what_is_known_of_them_come_back(tmp_path):
    flux, ivar = light(300), np.full((300, 600), 4.0)
    known = {"targetid": np.arange(300) + 10**17, "z": np.linspace(0, 1, 300), "ra": np.linspace(0, 359, 300)}
    first = write(tmp_path / "a.h5", flux=flux, ivar=ivar, wave=WAVE, **known)
    second = write(tmp_path / "b.h5", flux=flux[0], ivar=ivar[0], wave=WAVE)
    kept, aside, path = converted(tmp_path, [first, second])
    assert len(kept["row"]) == 301 and not len(aside["row"])
    assert kept["row"].tolist() == [*range(300), 0] and kept["file"].tolist() == [str(first)] * 300 + [str(second)]
    assert kept["identifier"][7] == str(10**17 + 7) and kept["identifier"][-1] == "b"
    np.testing.assert_allclose(kept["redshift"][:300], known["z"])
    assert np.isnan(kept["redshift"][-1]) and not kept["ivar_estimated"].any()
    found, weight = read_spectra(path, np.array([3, 300]), GRID)
    inside = (CENTRES > 4010) & (CENTRES < 4880)
    np.testing.assert_allclose(found[0, inside], np.interp(CENTRES, WAVE, flux[3])[inside], atol=1.5)
    assert weight[:, inside].sum(1) == pytest.approx(4.0 * 2 / 1.5 * inside.sum(), rel=1e-3)
    assert not weight[:, CENTRES > 4902].any() and not found[:, CENTRES > 4902].any()
    with pytest.raises(BadInput, match="grid .* expected"):
        read_spectra(path, np.array([0]), DESI)


def test_noise_that_is_not_there_is_estimated_and_said_so(tmp_path, caplog):
    path = write(tmp_path / "a.h5", flux=light(20), wave=WAVE)
    kept, _, part = converted(tmp_path, [path])
    assert kept["ivar_estimated"].all()
    assert "20 of 20 spectra state no noise: it is estimated from the flux" in caplog.text
    ivar = read_spectra(part, np.arange(20), GRID)[1]
    assert np.median(ivar[:, 10:400]) == pytest.approx(0.5**-2 * 2 / 1.5, rel=0.1)  # a bin is 4/3 pixels


def test_bad_rows_are_put_aside_with_their_reason_and_the_others_go_on(tmp_path):
    flux, ivar = light(9), np.full((9, 600), 4.0)
    wave = np.broadcast_to(WAVE, flux.shape).copy()
    flux[1] = np.nan
    flux[2] = 0
    ivar[3] = -1
    wave[4] = np.nan
    wave[5] = np.random.default_rng(1).permutation(WAVE)
    wave[6] += 5000
    ivar[7, 30:] = 0
    flux[8] *= 1e-17
    path = write(tmp_path / "a.h5", flux=flux, ivar=ivar, wave=wave)
    kept, aside, _ = converted(tmp_path, [path])
    assert kept["row"].tolist() == [0] and aside["row"].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert aside["reason"].tolist() == [
        "flux is zero or NaN everywhere",
        "flux is zero or NaN everywhere",
        "no good pixel",
        "wavelength is not a number above zero",
        "wavelength does not rise",
        "no good pixel within the grid",
        "fewer than 0.1 of the grid's pixels are good",
        "the flux is not within 1e-08 and 1e+10 of 1e-17 erg/s/cm2/A: set columns.flux.unit",
    ]
    assert aside["identifier"].tolist() == [f"a:{row}" for row in range(1, 9)]


def test_runs_of_zeros_are_padding_even_where_the_file_states_a_noise(tmp_path):
    flux = light(1)[0]
    flux[:200] = 0
    path = write(tmp_path / "a.h5", flux=flux, error=np.full(600, 0.5), wave=WAVE)
    _, _, part = converted(tmp_path, [path])
    ivar = read_spectra(part, np.array([0]), GRID)[1][0]
    assert not ivar[CENTRES < 4298].any() and (ivar[(CENTRES > 4302) & (CENTRES < 4890)] > 0).all()


def test_one_broken_file_does_not_stop_the_others(tmp_path, caplog):
    good = [write(tmp_path / f"{name}.h5", flux=light(1)[0], wave=WAVE) for name in "ac"]
    broken, short = tmp_path / "b.h5", write(tmp_path / "d.h5", flux=light(1)[0], wave=WAVE[1:])
    broken.write_bytes(good[0].read_bytes()[:900])
    kept, aside, _ = converted(tmp_path, [good[0], broken, good[1], short])
    assert kept["identifier"].tolist() == ["a", "c"] and aside["row"].tolist() == [-1, -1]
    assert aside["reason"][0].startswith("the file cannot be read: not a readable HDF5 file")
    assert aside["reason"][1].endswith("lengths differ: flux has 600 pixels, wavelength has 599")
    assert "quarantined 1: the file cannot be read: lengths differ" in caplog.text


def test_a_unit_that_cannot_be_is_the_configurations_fault_not_the_files(tmp_path):
    path = write(tmp_path / "a.h5", flux=light(1)[0], wave=WAVE)
    columns = {"flux": {"column": "flux", "unit": "kg"}, "wavelength": {"column": "wave"}}
    with pytest.raises(BadConfig, match="columns.flux.unit"):
        converted(tmp_path, [path], columns=columns)
    assert not (tmp_path / "spectra-0000.h5").exists()


def test_a_line_in_air_on_a_logarithmic_grid_arrives_where_it_is_in_vacuum(tmp_path):
    wave = 10 ** (3.6 + 1e-4 * np.arange(900))  # 3981 to 4897, air
    line = 1 + 30 * np.exp(-0.5 * ((wave - 4340.472) / 3) ** 2)  # H-gamma
    path = write(tmp_path / "a.h5", flux=line, error=np.full(900, 0.1), log=np.log10(wave))
    columns = {
        "flux": {"column": "flux"},
        "error": {"column": "error"},
        "wavelength": {"column": "log", "scale": "log10", "medium": "air"},
    }
    _, _, part = converted(tmp_path, [path], columns=columns)
    flux = read_spectra(part, np.array([0]), GRID)[0][0] - 1
    near = np.abs(CENTRES - 4341.7) < 20
    assert (flux * CENTRES)[near].sum() / flux[near].sum() == pytest.approx(4341.691, abs=0.02)


def test_the_same_files_give_the_same_bytes(tmp_path):
    path = write(tmp_path / "a.h5", flux=light(5), wave=WAVE, targetid=np.arange(5))
    parts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        parts.append(converted(tmp_path / name, [path])[2].read_bytes())
    assert parts[0] == parts[1]


def test_rows_with_wavelengths_of_their_own_are_as_those_with_one(tmp_path):
    path = write(tmp_path / "a.h5", flux=light(4), error=np.full((4, 600), 0.5), wave=WAVE)
    (block,) = read(path)
    edges = GRID["start"] + GRID["step"] * (np.arange(501) - 0.5)
    together = on_grid(block, edges, 0.1)
    block.wavelength = np.stack([WAVE, WAVE, WAVE, WAVE + 1e-9])
    for found, expected in zip(on_grid(block, edges, 0.1)[:2], together[:2], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


SDSS = {
    **{name: {"column": name} for name in ("flux", "ivar")},
    "wavelength": {"column": "input_grid", "hdu": 2, "scale": "log10"},
    **{"redshift": {"column": "Z"}, "class": {"column": "CLASS"}},
    "identifier": {"column": ["PLATE", "MJD", "FIBERID"]},
}
WIDE = {"flux": {"column": "TARGET*"}, "wavelength": {"column": "WAVELENGTH"}}
STACK = {name: {"column": image} for name, image in (("flux", "FLUX"), ("ivar", "IVAR"), ("wavelength", "WAVE"))}


@pytest.mark.parametrize(
    ("pattern", "columns", "kept", "aside"),
    [
        ("sdss/*.fits", SDSS, 50, 0),
        ("desi_minisv/big_coadd*.fits", WIDE, 50, 0),
        ("desi_edr_npz/*.npz", None, 3, 0),
        ("desi_specutils/coadd*.fits", None, 3, 7),
        ("desi_fastspecfit/coadd*.fits", None, 2, 0),
        ("desi_fastspecfit/stack*.fits", STACK, 1, 0),
    ],
)
def test_real_spectra_are_read(pattern, columns, kept, aside, tmp_path):
    paths = sorted(SHARED.glob(pattern))
    if not paths:
        pytest.skip(f"{SHARED} has no {pattern}")
    found, lost, part = converted(tmp_path, paths, DESI, columns=columns)
    assert (len(found["row"]), len(lost["row"])) == (kept, aside)
    flux, ivar = read_spectra(part, np.arange(kept), DESI)
    assert (ivar > 0).mean() > 0.5 and np.isfinite(flux).all()
    assert found["ivar_estimated"].all() == ("minisv" in pattern)


def test_lines_of_a_real_sdss_galaxy_are_at_its_redshift(tmp_path):
    path = SHARED / "sdss" / "sdss_50_examples.fits"
    if not path.exists():
        pytest.skip(f"no {path}")
    found, _, part = converted(tmp_path, [path], DESI, columns=SDSS)
    assert {name: (found["spectype"] == name).sum() for name in ("GALAXY", "QSO", "STAR")} == {
        "GALAXY": 14, "QSO": 16, "STAR": 20}  # fmt: skip
    flux, ivar = read_spectra(part, np.arange(50), DESI)
    wavelength, peaks = 3600 + 0.8 * np.arange(7781), []
    for row in np.flatnonzero((found["spectype"] == "GALAXY") & (found["redshift"] < 0.35)):
        line = 6564.61 * (1 + found["redshift"][row])
        near = np.abs(wavelength - line) < 10
        signal = np.sqrt(ivar[row, near]) * (flux[row, near] - np.median(flux[row, np.abs(wavelength - line) < 150]))
        if signal.max() > 8:
            peaks.append(abs(wavelength[near][np.argmax(signal)] - line))
    assert len(peaks) >= 3 and np.median(peaks) < 2


def test_sky_and_broken_fibres_of_real_coadds_are_told_apart(tmp_path):
    paths = sorted(SHARED.glob("desi_specutils/coadd*.fits"))
    if not paths:
        pytest.skip(f"no desi_specutils in {SHARED}")
    kept, aside, _ = converted(tmp_path, paths, DESI)
    for path in paths:
        table = fits.getdata(path, "FIBERMAP")
        sky = (table["OBJTYPE"] != "TGT").sum()
        of_file = aside["reason"][aside["file"] == str(path)]
        assert (of_file == "not a target: OBJTYPE is not TGT").sum() == sky
        assert len(of_file) + (kept["file"] == str(path)).sum() == len(table)
