"""Every form of file, written here as its documentation has it, gives the spectra that were put in."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import constants, units
from astropy.io import fits

from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats.fits_files import one_row, open_fits
from skyloom.formats.spectrum_files import spectra, tables
from skyloom.formats.spectrum_files.readers import read
from skyloom.formats.spectrum_files.tables import read_catalog

ROWS, PIXELS = 5, 300
WAVE = 5000 + 1.5 * np.arange(PIXELS)
RNG = np.random.default_rng(1)
FLUX = RNG.uniform(1, 9, (ROWS, PIXELS))
IVAR = RNG.uniform(0.5, 2, (ROWS, PIXELS))
IDS = np.array([39633345008634465 + row for row in range(ROWS)])
Z = RNG.uniform(0.1, 1, ROWS)
NAMES = {"flux": {"column": "flux"}, "wavelength": {"column": "wave"}}


def whole(path, form="auto", columns=None):
    """All spectra of a file as one block."""
    found = list(read(path, form, columns))
    one = found[0]
    for block in found[1:]:
        one.row, one.flux = np.append(one.row, block.row), np.concatenate([one.flux, block.flux])
        one.identifier = np.append(one.identifier, block.identifier)
    return one


def as_fits(path, *hdus):
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    return path


def table(name="", **columns):
    return fits.BinTableHDU.from_columns([_column(key, values) for key, values in columns.items()], name=name)


def _column(name, values):
    values = np.asarray(values)
    code = {"f": "D", "i": "K", "U": "20A"}[values.dtype.kind]
    return fits.Column(name, f"{values.shape[1] if values.ndim == 2 else ''}{code}", array=values)


def as_parquet(path, **columns):
    pq.write_table(pa.table({name: list(v) if np.ndim(v) == 2 else v for name, v in columns.items()}), path)
    return path


def as_hdf5(path, **columns):
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name] = values
    return path


WRITERS = {
    "x.fits": lambda path, **columns: as_fits(path, table(**columns)),
    "x.h5": as_hdf5,
    "x.parquet": as_parquet,
    "x.npz": lambda path, **columns: np.savez(path, **columns) or path,
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_with_names_that_speak_for_themselves_needs_no_map(name, tmp_path):
    many = np.broadcast_to(WAVE, FLUX.shape)
    columns = {"FLUX": FLUX, "ivar": IVAR, "Wave": many, "TARGETID": IDS, "z": Z, "RA": Z * 100, "DEC": Z * 10}
    path = WRITERS[name](tmp_path / name, **columns)
    found = whole(path)
    np.testing.assert_allclose(found.flux, FLUX)
    np.testing.assert_allclose(found.ivar, IVAR)
    np.testing.assert_allclose(np.broadcast_to(found.wavelength, FLUX.shape), many)
    assert found.identifier.tolist() == [str(number) for number in IDS] and found.good.all()
    np.testing.assert_allclose(found.numbers["redshift"], Z)
    np.testing.assert_allclose(found.numbers["ra"], Z * 100)
    assert np.isnan(found.numbers["log_mstar"]).all() and not found.reason.any()


@pytest.mark.parametrize("name", WRITERS)
def test_a_column_map_finds_other_names_units_masks_and_logarithms(name, tmp_path):
    one = {"f": FLUX[0] * 1e-16, "e": IVAR[0] ** -0.5 * 1e-16, "l": np.log(WAVE / 10), "m": np.arange(PIXELS) % 7}
    path = WRITERS[name](tmp_path / name, **one)
    places = {
        "flux": {"column": "f", "unit": "erg / (s cm2 Angstrom)", "factor": 0.1},
        "error": {"column": "e"},
        "wavelength": {"column": "l", "scale": "ln", "unit": "nm"},
        "mask": {"column": "m", "bits": 4},
    }
    found = whole(path, "table", places)
    np.testing.assert_allclose(found.flux, FLUX[:1])
    np.testing.assert_allclose(found.ivar, IVAR[:1])
    np.testing.assert_allclose(found.wavelength, WAVE)
    np.testing.assert_array_equal(found.good[0], np.arange(PIXELS) % 7 < 4)
    places["mask"] = {"column": "m", "good": True}
    np.testing.assert_array_equal(whole(path, "table", places).good[0], np.arange(PIXELS) % 7 > 0)


def test_large_tables_come_in_blocks_with_their_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "BLOCK", 2)
    for name, writer in WRITERS.items():
        path = writer(tmp_path / name, flux=FLUX, targetid=IDS, z=Z, wave=np.broadcast_to(WAVE, FLUX.shape))
        blocks = list(read(path))
        assert [len(block) for block in blocks] == [2, 2, 1]
        assert np.concatenate([block.row for block in blocks]).tolist() == [0, 1, 2, 3, 4]
        np.testing.assert_allclose(np.concatenate([block.flux for block in blocks]), FLUX)
        np.testing.assert_allclose(np.concatenate([block.numbers["redshift"] for block in blocks]), Z)


def test_parquet_in_several_row_groups_with_lists_of_several_lengths(tmp_path):
    rows = [FLUX[row, : 100 + 10 * row] for row in range(ROWS)]
    waves = [WAVE[: len(row)] for row in rows]
    pq.write_table(pa.table({"flux": rows, "wave": waves, "id": IDS}), tmp_path / "x.parquet", row_group_size=2)
    found = whole(tmp_path / "x.parquet")
    assert found.flux.shape == (ROWS, 140) and found.identifier[-1] == str(IDS[-1])
    for row in range(ROWS):
        real = np.isfinite(found.wavelength[row])
        np.testing.assert_allclose(found.wavelength[row, real], waves[row])
        np.testing.assert_allclose(found.flux[row, real], rows[row])
        assert not found.good[row, ~real].any()


def test_a_wide_table_has_a_column_a_spectrum(tmp_path):
    columns = {f"F_{name}_x": FLUX[row] for row, name in enumerate("abc")}
    errors = {f"E_{name}": IVAR[row] ** -0.5 for row, name in enumerate("abc")}
    path = as_fits(tmp_path / "wide.fits", table(**columns, **errors, W=WAVE))
    places = {"flux": {"column": "F_*_x"}, "error": {"column": "E_*"}, "wavelength": {"column": "W"}}
    found = whole(path, columns=places)
    np.testing.assert_allclose(found.flux, FLUX[:3])
    np.testing.assert_allclose(found.ivar, IVAR[:3])
    assert found.identifier.tolist() == ["a", "b", "c"]


def test_fits_images_by_name_row_or_header_have_their_wavelengths_too(tmp_path):
    path = as_fits(tmp_path / "x.fits", fits.ImageHDU(FLUX, name="FLUX"), fits.ImageHDU(IVAR, name="IVAR"),
                   fits.ImageHDU(WAVE, name="WAVE"))  # fmt: skip
    found = whole(path)
    np.testing.assert_allclose(found.flux, FLUX)
    np.testing.assert_allclose(found.wavelength, WAVE)
    fits.PrimaryHDU(np.stack([WAVE, FLUX[0], IVAR[0] ** -0.5])).writeto(tmp_path / "rows.fits")
    rows = {name: {"hdu": 0, "row": row} for row, name in enumerate(("wavelength", "flux", "error"))}
    np.testing.assert_allclose(whole(tmp_path / "rows.fits", columns=rows).ivar, IVAR[:1])
    image = fits.PrimaryHDU(FLUX[0])
    image.header.update(
        {"CRVAL1": np.log10(5000), "CD1_1": 1e-4, "CRPIX1": 1, "DC-FLAG": 1, "NAME": "n1", "SCALE": 3.0}
    )
    image.writeto(tmp_path / "iraf.fits")
    places = {"flux": {"hdu": 0, "factor": "SCALE"}, "identifier": {"header": "NAME"}}
    found = whole(tmp_path / "iraf.fits", columns=places)
    np.testing.assert_allclose(found.wavelength, 5000 * 10 ** (1e-4 * np.arange(PIXELS)))
    np.testing.assert_allclose(found.flux[0], 3 * FLUX[0])
    assert found.identifier.tolist() == ["n1"]


def test_identifiers_of_several_columns_and_classes_by_other_names(tmp_path):
    columns = {"flux": FLUX, "PLATE": IDS % 100, "FIBER": np.arange(ROWS), "KIND": ["g", "QSO", "s", "?", ""]}
    path = as_fits(tmp_path / "x.fits", table(**columns), table(GRID=WAVE[None]))
    places = {
        "flux": {"column": "flux"},
        "wavelength": {"column": "GRID", "hdu": 2},
        "identifier": {"column": ["PLATE", "FIBER"]},
        "class": {"column": "KIND", "names": {"g": "GALAXY", "s": "STAR"}},
    }
    found = whole(path, columns=places)
    assert found.identifier.tolist() == [f"{number % 100}-{row}" for row, number in enumerate(IDS)]
    assert found.spectype.tolist() == ["GALAXY", "QSO", "STAR", "", ""]
    np.testing.assert_allclose(found.wavelength, WAVE)


def sdss(path, zwarning=0):
    mask = np.zeros(PIXELS, int)
    mask[10], mask[11] = 1 << 23, 1 << 17  # BRIGHTSKY; LOWFLAT, which is no harm
    coadd = table("COADD", flux=FLUX[0], loglam=np.log10(WAVE), ivar=IVAR[0], and_mask=mask, or_mask=mask)
    known = table("SPECOBJ", PLATE=[266], MJD=[51602], FIBERID=[7], Z=[0.12], Z_ERR=[1e-5], ZWARNING=[zwarning],
                  CLASS=["GALAXY"], PLUG_RA=[146.9], PLUG_DEC=[-0.7])  # fmt: skip
    return as_fits(path, coadd, known)


def test_sdss_spec_files_are_known_by_what_they_hold(tmp_path):
    found = whole(sdss(tmp_path / "spec-0266-51602-0007.fits"))
    np.testing.assert_allclose(found.flux, FLUX[:1])
    np.testing.assert_allclose(found.wavelength, WAVE)
    assert found.identifier.tolist() == ["0266-51602-0007"] and found.spectype.tolist() == ["GALAXY"]
    assert [found.numbers[name][0] for name in ("redshift", "ra", "dec")] == pytest.approx([0.12, 146.9, -0.7])
    assert np.flatnonzero(~found.good[0]).tolist() == [10]
    assert np.isnan(whole(sdss(tmp_path / "warned.fits", 4)).numbers["redshift"][0])


def test_one_row_straight_from_the_bytes_is_that_of_astropy(tmp_path):
    columns = [
        fits.Column("NAME", "7A", array=["ab"]),
        fits.Column("FLAGS", "11X", array=np.ones((1, 11), bool)),
        fits.Column("MANY", "3E", array=np.ones((1, 3))),
        *(fits.Column(f"C{code}", code, array=[value]) for code, value in {"B": 7, "I": -8, "J": 9, "E": 1.5}.items()),
        fits.Column("TRUE", "L", array=[True]),
        fits.Column("LAST", "K", array=[39633345008634465]),
    ]  # fmt: skip
    hdu = fits.BinTableHDU.from_columns(columns, name="ROW")
    as_fits(tmp_path / "x.fits", hdu)
    as_fits(tmp_path / "x.fits.gz", hdu)
    names = [column.name for column in columns]
    single = [name for name in names if name not in ("FLAGS", "MANY", "TRUE")]
    for name in ("x.fits", "x.fits.gz"):
        with open_fits(tmp_path / name, whole=False) as hdus:
            found = one_row(tmp_path / name, hdus[1], names)
            assert found == {key: hdus[1].data[key][0] for key in single}


@pytest.mark.parametrize("length", [2880 * 3, 2880 * 6, 2880 * 8 + 50])
def test_a_truncated_sdss_file_is_one_line(length, tmp_path):
    whole_file = sdss(tmp_path / "spec.fits").read_bytes()
    (tmp_path / "cut.fits").write_bytes(whole_file[:length])
    with pytest.raises(BadInput) as error:
        whole(tmp_path / "cut.fits")
    assert "\n" not in str(error.value) and "cut.fits" in str(error.value)


def test_multimodal_universe_hdf5_has_padded_wavelengths_and_a_mask_of_bad_pixels(tmp_path):
    wave, mask = np.broadcast_to(WAVE, FLUX.shape).copy(), np.zeros(FLUX.shape, bool)
    wave[1, 200:], mask[1, 200:], mask[0, 3] = -1, True, True
    names = ("flux", "ivar", "lambda", "mask", "lsf_sigma")
    columns = {f"spectrum_{n}": v for n, v in zip(names, (FLUX, IVAR, wave, mask, IVAR), strict=True)}
    path = as_hdf5(tmp_path / "001-of-001.hdf5", **columns, object_id=np.array([b"  461 "] * ROWS), Z=Z, ra=Z, dec=Z)
    found = whole(path)
    assert np.isnan(found.wavelength[1, 200:]).all() and np.isfinite(found.wavelength[1, :200]).all()
    np.testing.assert_array_equal(found.good, ~mask)
    assert found.identifier[0] == "461" and found.numbers["redshift"] == pytest.approx(Z)


def test_multimodal_universe_parquet_and_desi_edr_without_wavelengths(tmp_path):
    parts = {
        "flux": FLUX,
        "ivar": IVAR,
        "lambda": np.broadcast_to(WAVE, FLUX.shape),
        "mask": np.zeros(FLUX.shape, bool),
    }
    rows = [{name: values[row].tolist() for name, values in parts.items()} for row in range(ROWS)]
    pq.write_table(pa.table({"spectrum": rows, "Z": Z, "object_id": [str(n) for n in IDS]}), tmp_path / "x.parquet")
    found = whole(tmp_path / "x.parquet")
    np.testing.assert_allclose(found.flux, FLUX)
    np.testing.assert_allclose(np.broadcast_to(found.wavelength, FLUX.shape), parts["lambda"])
    assert found.identifier.tolist() == [str(number) for number in IDS]
    ends = {f"spectrum_lambda_{end}": np.full(ROWS, value) for end, value in (("min", WAVE[0]), ("max", WAVE[-1]))}
    path = as_hdf5(tmp_path / "edr.hdf5", spectrum_flux=FLUX, spectrum_ivar=IVAR, object_id=IDS, **ends)
    np.testing.assert_allclose(whole(path).wavelength, WAVE)


def test_astroclip_hdf5_is_read_group_by_group(tmp_path):
    flux = RNG.normal(1, 1, (4, 7781, 1)).astype("f4")
    with h5py.File(tmp_path / "exported_data.h5", "w") as file:
        for group in ("0", "1", "10", "2"):
            file[f"{group}/spectra"], file[f"{group}/redshifts"] = flux, Z[:4]
            file[f"{group}/targetids"] = IDS[:4] + 100 * int(group)
    blocks = list(read(tmp_path / "exported_data.h5"))
    assert np.concatenate([block.row for block in blocks]).tolist() == list(range(16))
    assert [block.identifier[0] for block in blocks] == [str(IDS[0] + 100 * group) for group in (0, 1, 2, 10)]
    assert blocks[0].ivar is None and blocks[0].wavelength[[0, -1]] == pytest.approx([3600, 9824])
    np.testing.assert_allclose(blocks[0].flux, flux[:, :, 0])
    nested = [[[float(value)] for value in row[:, 0]] for row in flux]
    pq.write_table(pa.table({"spectrum": nested, "redshift": Z[:4], "targetid": IDS[:4]}), tmp_path / "hf.parquet")
    found = whole(tmp_path / "hf.parquet")
    np.testing.assert_allclose(found.flux, flux[:, :, 0])
    assert found.wavelength[-1] == pytest.approx(9824) and found.identifier[0] == str(IDS[0])


@pytest.mark.parametrize(
    ("air", "vacuum"),
    [(3727.092 - 1.060, 3727.092), (4861.325, 4862.683), (5006.843, 5008.240), (6562.801, 6564.614), (9068.6, 9071.1)],
)
def test_air_becomes_vacuum_as_the_line_lists_have_it(air, vacuum):
    """SDSS's table of lines (H-beta, [OIII], H-alpha, [SIII]) in both."""
    assert spectra.to_vacuum(np.array(air)) == pytest.approx(vacuum, abs=0.05 if vacuum > 9000 else 0.01)


def test_air_to_vacuum_is_the_inverse_of_the_formula_and_agrees_with_another():
    vacuum = np.linspace(2100, 25000, 500)
    s = (1e4 / vacuum) ** 2
    air = vacuum / (1 + 5.792105e-2 / (238.0185 - s) + 1.67917e-3 / (57.362 - s))
    np.testing.assert_allclose(spectra.to_vacuum(air), vacuum, atol=1e-6, rtol=0)
    s = (1e4 / air) ** 2  # Piskunov's inverse of Birch & Downs 1994, as in VALD3
    other = 1 + 8.336624212083e-5 + 2.408926869968e-2 / (130.1065924522 - s) + 1.599740894897e-4 / (38.92568793293 - s)
    visible = vacuum < 10000
    np.testing.assert_allclose(spectra.to_vacuum(air)[visible], (air * other)[visible], atol=2e-3, rtol=0)
    assert spectra.to_vacuum(np.array([1215.67])) == 1215.67


def test_flux_per_frequency_becomes_flux_per_wavelength(tmp_path):
    """Against c / wavelength^2, and noise with it."""
    path = as_hdf5(tmp_path / "x.h5", flux=FLUX, error=FLUX / 10, wave=WAVE)
    places = {**NAMES, "flux": {"column": "flux", "unit": "uJy"}, "error": {"column": "error"}}
    found = whole(path, "table", places)
    per_hertz = FLUX * 1e-29  # erg/s/cm2/Hz
    expected = per_hertz * constants.c.to_value(units.Angstrom / units.s) / WAVE**2 / 1e-17
    np.testing.assert_allclose(found.flux, expected, rtol=1e-6)
    np.testing.assert_allclose(found.ivar, (expected / 10) ** -2.0, rtol=1e-6)


def test_a_unit_that_the_file_states_is_used_unless_another_is_given(tmp_path, caplog):
    hdu = table(flux=FLUX, wave=np.broadcast_to(WAVE, FLUX.shape))
    hdu.columns["flux"].unit = "W/m2/um"
    path = as_fits(tmp_path / "x.fits", hdu)
    np.testing.assert_allclose(whole(path).flux, FLUX * 1e16)  # 1e7 erg/s, 1e-4 /cm2, 1e-4 /Angstrom, by 1e-17
    given = {**NAMES, "flux": {"column": "flux", "unit": "1e-17 erg / (s cm2 Angstrom)"}}
    np.testing.assert_allclose(whole(path, columns=given).flux, FLUX)
    hdu.columns["flux"].unit = "1E-17 erg/cm^2/s/Ang"
    np.testing.assert_allclose(whole(as_fits(tmp_path / "y.fits", hdu)).flux, FLUX)
    hdu.columns["flux"].unit = "counts"
    np.testing.assert_allclose(whole(as_fits(tmp_path / "z.fits", hdu)).flux, FLUX)
    assert "'counts', which is no known flux density" in caplog.text


def test_wavelengths_come_in_the_unit_that_the_file_states_as_jwst_has_them(tmp_path):
    """An x1d file: EXTRACT1D with WAVELENGTH in um, FLUX and FLUX_ERROR in Jy."""
    per_hertz = FLUX[0] * 1e-6
    hdu = table("EXTRACT1D", WAVELENGTH=WAVE * 1e-4, FLUX=per_hertz, FLUX_ERROR=per_hertz / 20)
    for name, unit in (("WAVELENGTH", "um"), ("FLUX", "Jy"), ("FLUX_ERROR", "Jy")):
        hdu.columns[name].unit = unit
    found = whole(as_fits(tmp_path / "jw_x1d.fits", hdu))
    np.testing.assert_allclose(found.wavelength, WAVE)
    expected = per_hertz * 1e-23 * constants.c.to_value(units.Angstrom / units.s) / WAVE**2 / 1e-17
    np.testing.assert_allclose(found.flux[0], expected)
    np.testing.assert_allclose(found.ivar[0], (expected / 20) ** -2.0)
    hdu.columns["WAVELENGTH"].unit = "pixel"
    path = as_fits(tmp_path / "odd.fits", hdu)
    np.testing.assert_allclose(whole(path).wavelength, WAVE * 1e-4)
    places = {"flux": {"column": "FLUX"}, "wavelength": {"column": "WAVELENGTH", "unit": "um"}}
    np.testing.assert_allclose(whole(path, columns=places).wavelength, WAVE)


def test_objects_are_refused_since_they_would_be_unpickled(tmp_path):
    np.savez(tmp_path / "x.npz", flux=np.array([[1.0], "text"], dtype=object), wave=WAVE)
    with pytest.raises(BadInput, match="array flux holds objects"):
        whole(tmp_path / "x.npz")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("flux", (2,), dtype=h5py.vlen_dtype("f4"))
        file["wave"] = WAVE
    with pytest.raises(BadInput, match="dataset flux holds object"):
        whole(tmp_path / "x.h5")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({**NAMES, "flux": {"column": "light"}}, r"no column light, found flux, id, short, three, wave"),
        ({**NAMES, "wavelength": {"column": "short"}}, "lengths differ: flux has 300 pixels, wavelength has 299"),
        ({**NAMES, "redshift": {"column": "three"}}, r"columns.redshift: \(3,\) values for 5 spectra"),
        ({"flux": {"column": "flux"}}, "no wavelengths"),
        ({**NAMES, "redshift": {"column": "id"}}, "columns.redshift: .*expected numbers"),
    ],
)
def test_columns_that_do_not_fit_are_named_in_one_line(columns, says, tmp_path):
    path = as_hdf5(tmp_path / "x.h5", flux=FLUX, wave=WAVE, id=[b"a"] * ROWS, short=WAVE[1:], three=Z[:3])
    with pytest.raises(BadInput, match=says) as error:
        whole(path, columns=columns)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_units_that_cannot_be_are_errors_of_the_configuration(tmp_path):
    path = as_hdf5(tmp_path / "x.h5", flux=FLUX, wave=WAVE)
    with pytest.raises(BadConfig, match="columns.flux.unit: 'kg' is not allowed; expected a flux density"):
        whole(path, columns={**NAMES, "flux": {"column": "flux", "unit": "kg"}})
    with pytest.raises(BadConfig, match="columns.wavelength.unit: 'erg' is not allowed"):
        whole(path, columns={**NAMES, "wavelength": {"column": "wave", "unit": "erg"}})


DAMAGED = {"x.fits": b"SIMPLE", "x.h5": b"\x89HDF", "x.npz": b"PK", "x.parquet": b"P", "x.txt": b"1"}


@pytest.mark.parametrize(("name", "content"), DAMAGED.items())
def test_a_file_that_is_damaged_or_of_another_kind_is_one_line(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput) as error:
        whole(tmp_path / name)
    assert "\n" not in str(error.value) and name in str(error.value)


def test_catalogues_keep_long_identifiers_and_know_missing_redshifts(tmp_path):
    (tmp_path / "list.csv").write_text(f"object_id, z, kind\n{IDS[0]},0.5,QSO\n{IDS[1]},,galaxy\n")
    places = {"identifier": {"column": "object_id"}, "redshift": {"column": "z"}, "class": {"column": "kind"}}
    found = read_catalog(tmp_path / "list.csv", places)
    assert found["identifier"].tolist() == [str(IDS[0]), str(IDS[1])]
    assert found["redshift"][0] == 0.5 and np.isnan(found["redshift"][1])
    assert found["class"].tolist() == ["QSO", "GALAXY"]


@pytest.mark.parametrize("name", WRITERS)
def test_damage_anywhere_in_a_file_is_one_line_or_harmless(name, tmp_path):
    many = np.broadcast_to(WAVE, FLUX.shape)
    content = WRITERS[name](tmp_path / name, flux=FLUX, ivar=IVAR, wave=many, targetid=IDS).read_bytes()
    rng, refused = np.random.default_rng(3), 0
    for trial in range(60):
        damaged = bytearray(content[: rng.integers(1, len(content))] if trial % 5 == 0 else content)
        for place in rng.integers(0, min(len(damaged), 6000), 3):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / name).write_bytes(damaged)
        try:
            whole(tmp_path / name)
        except BadInput as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused >= 12
