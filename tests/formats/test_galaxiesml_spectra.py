"""GalaxiesML-Spectra: built from a cross-match, read as its users read it, in both forms its tables may have."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from skyloom.core.errors import BadInput
from skyloom.formats import desi, galaxiesml, galaxiesml_spectra
from skyloom.formats.image_files.readers import images_in
from skyloom.formats.spectrum_files import readers
from tests.formats.images import as_compound

COADDS = ("coadd-b.fits", "coadd-a.fits")
HSC = ("hsc-1.hdf5", "hsc-0.hdf5")


def coadd(targetid: np.ndarray, morphology: bool) -> desi.Coadd:
    n, rng = len(targetid), np.random.default_rng(int(targetid[0]))
    fibermap = Table({"TARGETID": targetid, "TARGET_RA": np.zeros(n), "TARGET_DEC": np.zeros(n)})
    fibermap["COADD_FIBERSTATUS"], fibermap["OBJTYPE"] = np.zeros(n, "i4"), "TGT"
    if morphology:
        fibermap["MORPHTYPE"], fibermap["FLUX_W1"] = "EXP", targetid.astype("f4")
    shape = {arm: (n, npix) for arm, (_, npix) in desi.ARMS.items()}
    return desi.Coadd(
        fibermap,
        {arm: desi.arm_wavelength(arm) for arm in desi.ARMS},
        {arm: rng.normal(2, 1, s).astype("f4") for arm, s in shape.items()},
        {arm: np.full(s, 3, "f4") for arm, s in shape.items()},
        {arm: np.zeros(s, "i4") for arm, s in shape.items()},
        header=desi.healpix_header(100, "sv3", "bright"),
    )


@pytest.fixture
def made(tmp_path):
    """A survey of six galaxies in two coadds and two HSC files, 13 without an HSC image; and the file built of it."""
    spectra = {COADDS[0]: coadd(np.array([10, 11, 12]), True), COADDS[1]: coadd(np.array([13, 14, 15]), False)}
    for name, values in spectra.items():
        desi.write_coadd(tmp_path / name, values)
    for number, name in enumerate(HSC):
        images = np.full((3, 5, 64, 64), number, "f4") + np.arange(3, dtype="f4")[:, None, None, None] / 10
        ids = {"object_id": 100 * number + np.arange(3), "ra": np.zeros(3), "dec": np.zeros(3)}
        ids |= {"i_cmodel_mag": 20.0 + number + np.arange(3), "specz_name": np.array([b"a", b"b", b"c"])}
        galaxiesml.write_galaxiesml(tmp_path / name, images, ids)
    table = {
        "targetid": np.arange(10, 16),
        "z": 0.01 * np.arange(10, 16),
        "zerr": np.full(6, 1e-5),
        "spectrum_file": [COADDS[0]] * 3 + [COADDS[1]] * 3,
        "spectrum_row": pa.array([0, 1, 2, 0, 1, 2], pa.int32()),
        "hsc_file": [HSC[1], HSC[0], HSC[1], "", HSC[0], HSC[0]],
        "hsc_row": pa.array([2, 1, 0, -1, 0, 2], pa.int32()),
    }
    pq.write_table(pa.table(table), tmp_path / "galaxies.parquet")
    build(tmp_path)
    return tmp_path, spectra


def build(folder, size: int = 64):
    galaxiesml_spectra.build(
        folder / "galaxies.parquet",
        [folder / name for name in COADDS],
        [folder / name for name in HSC],
        folder / "pairs.hdf5",
        size,
    )


ORDER = [14, 15, 10, 11, 12]  # coadd-a before coadd-b


def test_is_read_as_its_users_read_it(made):
    with h5py.File(made[0] / "pairs.hdf5") as file:
        assert set(file) == {"image", "spectrum", "targetid", "object_id", "DESI_fibermap", "HSC_metadata"}
        assert file["spectrum"]["flux"].shape == file["spectrum"]["ivar"].shape == (5, 7783)
        assert [int(raw.decode("utf-8")) for raw in file["targetid"]] == ORDER
        np.testing.assert_allclose(file["DESI_fibermap"]["DESI_redshift"][:], 0.01 * np.array(ORDER))
        assert [m.decode().strip() for m in file["DESI_fibermap"]["MORPHTYPE"][:]] == ["", "", "EXP", "EXP", "EXP"]
        assert np.isnan(file["DESI_fibermap"]["FLUX_W1"][:2]).all() and file["DESI_fibermap"]["FLUX_W1"][2] == 10
        assert file["HSC_metadata"]["g_cmodel_mag"].shape == (5,)
        wave = file["spectrum"]["wave"][0]
        assert (len(wave), wave[0], wave[-1]) == (7783, pytest.approx(3599.2), pytest.approx(9824.8))
        assert not file["spectrum"]["ivar"][:, [0, -1]].any() and (file["spectrum"]["ivar"][:, 1:-1] > 0).all()


def test_spectra_and_images_are_those_of_the_galaxy(made):
    folder, spectra = made
    flux, ivar = galaxiesml_spectra.read_spectra(folder / "pairs.hdf5", [2, 0])
    for row, (name, place) in enumerate([(COADDS[0], 0), (COADDS[1], 1)]):
        expected = desi.combine_arms(spectra[name])
        np.testing.assert_allclose(flux[row], expected[0][place], rtol=1e-6)
        np.testing.assert_allclose(ivar[row], expected[1][place], rtol=1e-6)
    table = galaxiesml_spectra.read_catalog(folder / "pairs.hdf5")
    assert table["targetid"].tolist() == ORDER and table["object_id"].tolist() == [0, 2, 102, 1, 100]
    assert table["i_cmodel_mag"].tolist() == [20, 22, 23, 21, 21]
    assert table["specz_name"].tolist() == ["a", "c", "c", "b", "a"]
    images = galaxiesml.read_images(folder / "pairs.hdf5", range(5))
    np.testing.assert_allclose(images[:, 0, 0, 0], [0.0, 0.2, 1.2, 0.1, 1.0], rtol=1e-6)


def test_tables_may_be_compound_and_spectra_without_the_two_pixels(made, tmp_path):
    before = galaxiesml_spectra.read_catalog(made[0] / "pairs.hdf5")
    flux, _ = galaxiesml_spectra.read_spectra(made[0] / "pairs.hdf5", range(5))
    as_compound(tmp_path / "compound.hdf5", made[0] / "pairs.hdf5")
    after = galaxiesml_spectra.read_catalog(tmp_path / "compound.hdf5")
    assert set(after.colnames) == set(before.colnames)
    for name in before.colnames:
        np.testing.assert_array_equal(after[name], before[name])
    np.testing.assert_array_equal(galaxiesml_spectra.read_spectra(tmp_path / "compound.hdf5", range(5))[0], flux)
    for path in (made[0] / "pairs.hdf5", tmp_path / "compound.hdf5"):  # as files of a survey
        assert readers.recognised(path) == "galaxiesml_spectra"
        (spectra,) = readers.read(path)
        np.testing.assert_array_equal(spectra.flux[:, np.isin(spectra.wavelength, desi.WAVELENGTH)], flux)
        assert spectra.identifier.tolist() == [str(number) for number in ORDER] and spectra.split is None
        np.testing.assert_allclose(spectra.numbers["redshift"], 0.01 * np.array(ORDER))
        assert not spectra.numbers["ra"].any() and np.isnan(spectra.numbers["flux_r"]).all()
        (images,) = images_in(path).values()
        assert (images.form, images.modality) == ("GalaxiesML-Spectra", "hsc_image")
        assert images.catalog()["identifier"].tolist() == ORDER
        expected = galaxiesml.read_images(path, [3, 1]) / np.float32(galaxiesml.COUNTS_PER_NANOMAGGY)
        np.testing.assert_array_equal(images.read([3, 1]), expected)


@pytest.mark.parametrize(
    ("name", "values", "line"),
    [
        ("HSC_metadata", None, "no group or table HSC_metadata"),
        ("targetid", np.array([b"12a"] * 5), "targetid holds a text that is not a number"),
        ("object_id", np.arange(4), "object_id has 4 rows, expected 5"),
        ("DESI_fibermap/DESI_redshift", None, "DESI_fibermap has no DESI_redshift"),
    ],
)
def test_bad_input_is_one_line(made, name, values, line):
    path = made[0] / "pairs.hdf5"
    with h5py.File(path, "a") as file:
        del file[name]
        if values is not None:
            file[name] = values
    with pytest.raises(BadInput, match=line) as error:
        galaxiesml_spectra.read_catalog(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_spectra_of_another_grid_are_refused(made):
    path = made[0] / "pairs.hdf5"
    with h5py.File(path, "a") as file:
        del file["spectrum/wave"], file["spectrum/flux"]
        file["spectrum/flux"] = np.zeros((5, 7700), "f4")
    with pytest.raises(BadInput, match="7700 pixels do not hold DESI's 7781"):
        galaxiesml_spectra.read_spectra(path, [0])


def test_what_cannot_be_built_is_said_in_one_line(made):
    folder = made[0]
    (folder / "pairs.hdf5").unlink()
    with pytest.raises(BadInput, match="images of 64 pixels, expected 127"):
        build(folder, size=127)
    (folder / HSC[0]).rename(folder / "elsewhere.hdf5")
    with pytest.raises(BadInput, match=r"hsc-1\.hdf5: no such file"):
        build(folder)
    table = pq.read_table(folder / "galaxies.parquet").slice(3, 1)
    pq.write_table(table, folder / "galaxies.parquet")
    with pytest.raises(BadInput, match="no galaxy has an HSC image"):
        build(folder)
    assert not (folder / "pairs.hdf5").exists()
