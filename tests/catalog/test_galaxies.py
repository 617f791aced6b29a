"""The table of galaxies: against a survey counted by hand, real samples, and input that is not what it should be."""

import json
import logging
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table, hstack
from astropy_healpix import HEALPix

from skyloom.catalog.galaxies import build_galaxies, write_splits
from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats import desi, legacy, provabgs
from tests.catalog import small_survey
from tests.paths import SHARED

DATA = SHARED
CONFIG = {
    "crossmatch": {"radius_arcsec": 1.0, "one_to_one": True},
    "require_properties": False,
    "shards": 2,
    "modalities": ["spectrum", "image"],
}
SPLIT = {"kind": "random", "nside": 256, "fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}}


@pytest.fixture
def raw(tmp_path):
    """The files of the small survey."""
    (tmp_path / "raw").mkdir()
    return small_survey.write(tmp_path / "raw")


def build(folder, raw, **changes):
    """The galaxies and the flow table."""
    build_galaxies("small", {**CONFIG, **changes}, raw, folder / "galaxies.parquet", folder / "cuts.csv")
    return pd.read_parquet(folder / "galaxies.parquet").set_index("targetid"), pd.read_csv(folder / "cuts.csv")


def test_every_galaxy_lost_is_counted(tmp_path, raw):
    galaxies, flow = build(tmp_path, raw)
    assert flow.columns.tolist() == ["survey", "step", "cut", "kept", "lost"]
    assert [tuple(row) for row in flow.iloc[:, 1:].values.tolist()] == small_survey.FLOW
    assert galaxies.index.tolist() == small_survey.LEFT


def test_rows_point_at_their_spectrum_and_image(tmp_path, raw):
    galaxies, _ = build(tmp_path, raw)
    paths = {Path(path).name: path for path in raw["coadd"]}
    for targetid, galaxy in galaxies.iterrows():
        coadd = desi.read_coadd(paths[galaxy["spectrum_file"]], rows=[galaxy["spectrum_row"]])
        assert coadd.fibermap["TARGETID"][0] == targetid
    assert galaxies["spectrum_file"][13] == "coadd-sv3-dark-100.fits"  # the program of its redshift
    assert galaxies["spectrum_file"][1] == "coadd-sv3-bright-100.fits"
    order = list(small_survey.IMAGES)
    for targetid, galaxy in galaxies.iterrows():
        place = order.index(targetid)
        assert (galaxy["image_file"], galaxy["image_row"]) == (f"images-{place // 5}.h5", place % 5)
        assert galaxy["separation_arcsec"] == pytest.approx(small_survey.IMAGES[targetid], abs=1e-6)
    assert galaxies["shard"].tolist() == [0 if "bright" in name else 1 for name in galaxies["spectrum_file"]]


def test_values_are_those_of_the_catalogues(tmp_path, raw):
    galaxies, _ = build(tmp_path, raw)
    targetid = galaxies.index.to_numpy()
    np.testing.assert_allclose(galaxies["z"], 0.01 * targetid)
    np.testing.assert_allclose(galaxies["flux_r"], 2.0 * targetid, rtol=1e-6)
    np.testing.assert_allclose(galaxies["mag_g"], 22.5 - 2.5 * np.log10(targetid), rtol=1e-6)
    ra, dec = (galaxies[name].to_numpy() * u.deg for name in ("ra", "dec"))
    np.testing.assert_array_equal(galaxies["healpix"], HEALPix(64, order="nested").lonlat_to_healpix(ra, dec))
    measured = galaxies.drop([11, 12])
    np.testing.assert_allclose(measured["log_mstar"], 9 + 0.1 * measured.index)
    np.testing.assert_allclose(measured["log_ssfr"], -measured["log_mstar"])
    assert galaxies.loc[[11, 12], ["log_mstar", "t_age", "log_ssfr", "ssfr_legacy"]].isna().all(axis=None)


def test_required_properties_drop_galaxies(tmp_path, raw):
    galaxies, flow = build(tmp_path, raw, require_properties=True)
    assert galaxies.index.tolist() == [1, 9, 13, 14, 16]
    assert flow[flow["step"] == "properties"]["lost"].tolist() == [1, 0, 0, 1, 0, 0]


def test_image_shared_by_two_galaxies_if_allowed(tmp_path, raw):
    galaxies, flow = build(tmp_path, raw, crossmatch={"radius_arcsec": 2.0, "one_to_one": False})
    assert galaxies.index.tolist() == sorted([*small_survey.LEFT, 8, 10])
    assert galaxies.loc[9, "image_row"] == galaxies.loc[10, "image_row"]
    assert "image within 2 arcsec" in flow["cut"].tolist()


def test_spectra_alone_need_no_images(tmp_path, raw):
    galaxies, flow = build(tmp_path, {**raw, "images": [], "properties": []}, modalities=["spectrum"])
    assert galaxies.index.tolist() == [1, 8, 9, 10, 11, 12, 13, 14, 15, 16]
    assert set(galaxies["image_file"]) == {""}
    assert set(galaxies["image_row"]) == {-1}
    assert "image" not in flow["step"].tolist()
    assert np.isnan(galaxies.loc[15, "ra"])
    assert galaxies.loc[15, "healpix"] == -1


THREE = ["spectrum", "image", "hsc_image"]


def test_galaxies_without_an_hsc_image_are_dropped_and_counted(tmp_path, raw):
    galaxies, flow = build(tmp_path, raw, modalities=THREE)
    assert galaxies.index.tolist() == [1, 9, 13]
    assert [tuple(row) for row in flow.loc[flow["step"] == "hsc_image", ["cut", "kept", "lost"]].values.tolist()] == [
        ("HSC image within 1 arcsec", 3, 4),
        ("HSC image not closer to another galaxy", 3, 0),
    ]
    assert set(galaxies["hsc_file"]) == {"hsc.hdf5"}
    for targetid, galaxy in galaxies.iterrows():
        assert galaxy["hsc_row"] == list(small_survey.HSC).index(targetid)
        assert galaxy["hsc_separation_arcsec"] == pytest.approx(small_survey.HSC[targetid], abs=1e-6)


def test_without_hsc_among_the_modalities_nobody_looks_for_it(tmp_path, raw):
    galaxies, flow = build(tmp_path, {**raw, "hsc": ["/nowhere.hdf5"]})
    assert galaxies.index.tolist() == small_survey.LEFT and "hsc_image" not in flow["step"].tolist()
    assert set(galaxies["hsc_file"]) == {""} and set(galaxies["hsc_row"]) == {-1}
    assert galaxies["hsc_separation_arcsec"].isna().all()


@pytest.mark.parametrize(
    ("require", "left", "steps"),
    [
        (["image"], small_survey.LEFT, ("image", "with hsc_image")),
        (["hsc_image"], [1, 9, 13], ("with image", "hsc_image")),
        ([], [1, 8, 9, 10, 11, 12, 13, 14, 15, 16], ("with image", "with hsc_image")),
    ],
)
def test_kinds_of_image_that_are_not_required_drop_nobody(tmp_path, raw, require, left, steps):
    crossmatch = {**CONFIG["crossmatch"], "require": require}
    galaxies, flow = build(tmp_path, raw, modalities=THREE, crossmatch=crossmatch)
    assert galaxies.index.tolist() == left
    assert [step for step in dict.fromkeys(flow["step"]) if "image" in step] == list(steps)
    with_hsc = galaxies[galaxies["hsc_row"] >= 0]
    assert with_hsc.index.tolist() == [1, 9, 13]
    near = 3 if require == ["image"] else 4  # 10, where it is still there, is near the image of 9 too
    assert flow.loc[flow["step"] == steps[1], "kept"].tolist() == [near, 3]
    absent = galaxies.drop(with_hsc.index)
    assert set(absent["hsc_file"]) <= {""} and absent["hsc_separation_arcsec"].isna().all()
    if 10 in left:  # its only image belongs to 9; its photometry is that of the redshift catalogue
        assert (galaxies.loc[10, "image_file"], galaxies.loc[10, "image_row"]) == ("", -1)
        assert galaxies.loc[10, "flux_r"] == 20.0


def test_an_optional_image_without_any_match_and_its_photometry(tmp_path, raw):
    table = small_survey.zcatalog()
    table.remove_columns(["FLUX_G", "FLUX_R", "FLUX_Z"])
    table["TARGET_DEC"] = table["TARGET_DEC"] + 0.1
    desi.write_zcatalog(raw["zcatalog"][0], table)
    galaxies, flow = build(tmp_path, raw, crossmatch={"radius_arcsec": 1.0, "one_to_one": True, "require": []})
    assert len(galaxies) == 10 and galaxies["flux_r"].isna().all() and set(galaxies["image_row"]) == {-1}
    assert flow.loc[flow["step"] == "with image", "kept"].tolist() == [0, 0]


def test_own_cuts_replace_the_default_ones(tmp_path, raw):
    own = [{"name": "nearby", "column": "Z", "below": 0.095}, {"name": "a_target", "column": "OBJTYPE", "in": ["TGT"]}]
    galaxies, flow = build(tmp_path, raw, cuts=own, property_cuts=[])
    assert galaxies.index.tolist() == [1, 2, 9]
    assert flow[flow["step"] == "quality"]["cut"].tolist() == [
        *("nearby", "a_target", "redshift finite, z -0.01 to 20", "one row a TARGETID"),
    ]


def test_photometry_comes_from_the_images_where_the_redshifts_have_none(tmp_path, raw):
    table = small_survey.zcatalog()
    table.remove_columns(["FLUX_G", "FLUX_R", "FLUX_Z", "EBV", "SURVEY", "PROGRAM"])
    desi.write_zcatalog(raw["zcatalog"][0], table)
    galaxies, _ = build(tmp_path, raw)
    assert set(galaxies["flux_z"]) == {5.0}
    assert galaxies["ebv"].isna().all()
    assert galaxies["spectrum_file"][13] == "coadd-sv3-bright-100.fits"  # nothing says which: the first by name


def test_same_input_gives_the_same_bytes(tmp_path, raw):
    written = []
    for order in (1, -1):
        folder = tmp_path / f"order{order}"
        build(folder, {role: paths[::order] for role, paths in raw.items()})
        written.append([(folder / name).read_bytes() for name in ("galaxies.parquet", "cuts.csv")])
    assert written[0] == written[1]


def test_units_and_ucds_reach_every_reader(tmp_path, raw):
    build(tmp_path, raw)
    path = str(tmp_path / "galaxies.parquet")
    schema = pq.read_schema(path)
    words = {field.name: {k.decode(): v.decode() for k, v in field.metadata.items()} for field in schema}
    assert words["flux_g"]["unit"] == "nmgy"
    assert words["ra"] == {"unit": "deg", "ucd": "pos.eq.ra;meta.main", "description": "Right ascension, ICRS"}
    for name, entry in words.items():
        assert check_ucd(entry["ucd"], check_controlled_vocabulary=True), name
        assert entry["description"], name
    table = Table.read(path)
    assert (table["flux_r"].quantity.to_value("nmgy") > 0).all()
    assert str(table["t_age"].unit) == "Gyr"
    assert table["spectrum_file"][0] == small_survey.FILES[0]
    frame = duckdb.sql(f"SELECT targetid, log_mstar FROM '{path}' WHERE z < 0.1").fetchall()
    assert [row[0] for row in frame] == [1, 9]


def test_survey_without_catalogue_takes_fibermaps_and_redrock(tmp_path):
    first, second = small_survey.coadd([1, 2, -3], "bright"), small_survey.coadd([2, 4], "dark")
    first.fibermap["OBJTYPE"] = ["TGT", "TGT", "SKY"]
    first.fibermap["FLUX_G"] = np.array([10.0, 1.0, 0.0], "f4")
    second.fibermap["COADD_FIBERSTATUS"] = np.array([0, 512], "i4")
    raw = {"coadd": [str(tmp_path / name) for name in small_survey.FILES], "redrock": [str(tmp_path / "redrock.fits")]}
    for path, coadd in zip(raw["coadd"], (first, second), strict=True):
        desi.write_coadd(path, coadd)
    redshifts = Table({"TARGETID": [1], "Z": [0.3], "ZERR": [1e-4], "ZWARN": [0], "SPECTYPE": ["GALAXY"]})
    redshifts["DELTACHI2"] = 30.0
    desi.write_redrock(raw["redrock"][0], redshifts, first.fibermap[:1])
    galaxies, flow = build(tmp_path, raw, modalities=["spectrum"])
    assert galaxies.index.tolist() == [1, 2]
    np.testing.assert_array_equal(galaxies["z"], [0.3, np.nan])
    np.testing.assert_allclose(galaxies["mag_g"], [20.0, 22.5], rtol=1e-6)
    assert galaxies["spectrum_file"].tolist() == [small_survey.FILES[0]] * 2
    assert list(zip(flow["cut"], flow["lost"], strict=True))[:4] == [
        ("rows read", 0),
        ("is_target", 1),
        ("fibre_ok", 1),
        ("one row a TARGETID", 1),
    ]


@pytest.mark.skipif(not DATA.exists(), reason="the real sample files are not here")
def test_real_samples_lose_sky_and_broken_fibres(tmp_path):
    names = ("desi_fastspecfit/coadd-*.fits", "desi_specutils/coadd-*.fits")
    coadds = [str(path) for name in names for path in DATA.glob(name)]
    redrock = [str(path) for path in DATA.glob("desi_fastspecfit/redrock-*.fits")]
    galaxies, flow = build(tmp_path, {"coadd": coadds, "redrock": redrock}, modalities=["spectrum"])
    lost = dict(zip(flow["cut"], flow["lost"], strict=True))
    assert (flow["kept"][0], lost["is_target"], lost["fibre_ok"], len(galaxies)) == (12, 6, 1, 5)
    assert galaxies["z"].dropna().to_dict() == pytest.approx(
        {39633345008634465: 0.36874, 39089837499744649: 0.00727}, abs=1e-4
    )
    assert (galaxies.index > 0).all()
    assert galaxies.loc[39633345008634465, "flux_g"] == pytest.approx(3.24, abs=0.01)


def test_splits_follow_the_galaxies(tmp_path, raw):
    galaxies, _ = build(tmp_path, raw)
    for name in ("one", "two"):
        paths = (tmp_path / f"{name}.parquet", tmp_path / f"{name}.json")
        write_splits(tmp_path / "galaxies.parquet", {"split": SPLIT, "seed": 3}, *paths)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    found = pd.read_parquet(tmp_path / "one.parquet")
    assert found.columns.tolist() == ["targetid", "split"]
    assert found["targetid"].tolist() == galaxies.index.tolist()
    assert set(found["split"]) <= {"train", "validation", "test"}


def test_a_split_by_crop_shares_no_sky_and_says_so(tmp_path, caplog):
    rng = np.random.default_rng(2)
    n = 3000  # on a square degree: the density of the Bright Galaxy Survey with its Faint sample, twice
    table = pd.DataFrame({"targetid": np.arange(n), "ra": rng.uniform(10, 11, n), "dec": rng.uniform(-0.5, 0.5, n)})
    table.to_parquet(tmp_path / "galaxies.parquet")
    fractions = {"train": 0.6, "validation": 0.2, "test": 0.2}
    survey = {"seed": 1, "modalities": ["spectrum", "image", "hsc_image"], "crop": 96, "hsc_size": 64}
    found = {}
    for separation in (1.0, "crop"):
        split = {"kind": "random", "nside": 256, "fractions": fractions, "separation_arcsec": separation}
        with caplog.at_level(logging.INFO):
            write_splits(
                tmp_path / "galaxies.parquet", survey | {"split": split}, tmp_path / "s.parquet", tmp_path / "s.json"
            )
        found[separation] = json.loads((tmp_path / "s.json").read_text())
        shares = pd.read_parquet(tmp_path / "s.parquet")["split"].value_counts(normalize=True)
        assert shares["test"] == pytest.approx(0.2, abs=0.04)
    side = 96 * 0.262
    assert found["crop"]["side_arcsec"] == pytest.approx(side)
    assert found["crop"]["separation_arcsec"] == pytest.approx(side * 2**0.5)
    assert found["crop"]["shared_sky"] == 0
    poisson = 1 - np.exp(-0.6 * n * (2 * side / 3600) ** 2)  # squares overlap whose centres are less than a side apart
    assert found[1.0]["shared_sky"] == pytest.approx(poisson, abs=0.07) and poisson > 0.2
    assert "0.0 % of the test galaxies share sky with a training galaxy on images of 25.2 arcsec" in caplog.text
    spectra = survey | {"split": split, "modalities": ["spectrum"]}
    with pytest.raises(BadConfig, match="split.separation_arcsec: 'crop' needs image or hsc_image"):
        write_splits(tmp_path / "galaxies.parquet", spectra, tmp_path / "n.parquet", tmp_path / "n.json")


def test_empty_split_is_reported(tmp_path, raw, caplog):
    build(tmp_path, raw)
    config = {"split": {**SPLIT, "fractions": {"train": 0.999999, "validation": 1e-6, "test": 0.0}}, "seed": 0}
    with caplog.at_level(logging.WARNING):
        write_splits(tmp_path / "galaxies.parquet", config, tmp_path / "splits.parquet", tmp_path / "shared.json")
    assert "the split 'validation' is empty" in caplog.text
    assert "'test'" not in caplog.text


def write_zcatalog_as_is(path, **columns):
    """The redshift catalogue with other columns (None: without), by astropy, which writes anything."""
    table = small_survey.zcatalog()
    for name, values in columns.items():
        table.remove_column(name)
        if values is not None:
            table[name] = np.full(len(table), values)
    hdu = fits.table_to_hdu(table)
    hdu.name = "ZCATALOG"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, overwrite=True)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"Z": "0.1"}, "zall.fits: HDU ZCATALOG column Z is str"),
        ({"TARGETID": 1.5}, "zall.fits: HDU ZCATALOG column TARGETID is float64, expected"),
        ({"TARGET_RA": None}, "zall.fits: HDU ZCATALOG has no column TARGET_RA"),
        ({"ZCAT_PRIMARY": None}, "zall.fits: HDU ZCATALOG has no column ZCAT_PRIMARY"),
        ({"FLUX_R": "bright"}, "zall.fits: column FLUX_R is <U6, expected numbers"),
        ({"ZCAT_PRIMARY": "yes"}, "zall.fits: column ZCAT_PRIMARY holds text; the cut 'best_spectrum' asks for equals"),
        ({"TARGET_DEC": 91.0}, "declinations beyond 90 degrees, first 91 "),
        ({"TARGET_RA": np.nan}, "no galaxy left: 'image within 1 arcsec' lost the last 10 of 17"),
        ({"ZWARN": 4}, r"no galaxy left: 'redshift_ok' \(ZWARN equals 0\) lost the last 15 of 17"),
        ({"TARGETID": 77}, "no galaxy left: 'spectrum in a coadd file' lost the last 1 of 17"),
    ],
)
def test_wrong_redshift_catalogue_is_named(tmp_path, raw, columns, message):
    write_zcatalog_as_is(raw["zcatalog"][0], **columns)
    refused(tmp_path, raw, message)


def refused(folder, raw, message, **changes):
    """`build` must fail with one line that matches, and leave nothing behind."""
    with pytest.raises(BadInput, match=message) as error:
        build(folder, raw, **changes)
    assert "\n" not in str(error.value)
    assert not list(folder.glob("*galaxies*")) + list(folder.glob("*cuts*"))


def test_wrong_property_table_is_named(tmp_path, raw):
    path = raw["derived"][0]
    table = small_survey.companion()
    table["Z_MW"].name = "Z"
    provabgs.write_properties(path, hstack([small_survey.properties(), table[["Z"]]]))
    refused(tmp_path, raw, "derived.hdf5: .*no column Z_MW")
    table["Z_MW"] = np.array(["high"] * len(table), "S4")
    provabgs.write_companion(path, table)
    refused(tmp_path, raw, "derived.hdf5: column Z_MW is .*, expected numbers")


def test_a_property_file_as_published_needs_nothing_else(tmp_path, raw, caplog):
    galaxies, flow = build(tmp_path, {**raw, "derived": []})
    assert galaxies.index.tolist() == small_survey.LEFT
    measured = galaxies.drop([11, 12])
    np.testing.assert_allclose(measured["log_mstar"], 9 + 0.1 * measured.index)
    assert galaxies[["z_mw", "t_age", "avg_sfr", "log_ssfr"]].isna().all(axis=None)
    assert flow.iloc[-1][["step", "kept", "lost"]].tolist() == ["labels", 0, 5]
    assert "5 galaxies of the property catalogue have no Z_MW, TAGE_MW, AVG_SFR" in caplog.text
    refused(tmp_path / "2", {**raw, "derived": []}, "star formation derived' lost the last 5", require_properties=True)


def test_derived_properties_belong_to_their_targetid_and_may_be_cut_on(tmp_path, raw):
    table = small_survey.companion()[::-1][3:]  # in another order, and without 1, 2 and 3
    table["Z_MW"] = 1e-4 * table["TARGETID"]
    provabgs.write_companion(raw["derived"][0], table)
    galaxies, flow = build(tmp_path, raw)
    np.testing.assert_allclose(galaxies["z_mw"], [np.nan, 9e-4, np.nan, np.nan, 13e-4, 14e-4, 16e-4])
    assert galaxies["log_mstar"].notna().tolist() == [True, True, False, False, True, True, True]
    assert flow.iloc[-1][["kept", "lost"]].tolist() == [4, 1]
    rich = [{"name": "rich", "column": "Z_MW", "above": 1.35e-3}]
    galaxies, _ = build(tmp_path, raw, property_cuts=rich, require_properties=True)
    assert galaxies.index.tolist() == [14, 16]


def test_redshifts_that_are_no_numbers_are_cut_and_counted(tmp_path, raw, caplog):
    table = small_survey.zcatalog()
    z = np.array(table["Z"])
    z[np.isin(table["TARGETID"], [11, 12])], z[table["TARGETID"] == 14] = np.nan, -99
    table["Z"] = z
    desi.write_zcatalog(raw["zcatalog"][0], table)
    galaxies, flow = build(tmp_path, raw)
    assert galaxies.index.tolist() == [1, 9, 13, 16]
    assert flow.loc[flow["cut"].str.startswith("redshift finite"), ["kept", "lost"]].values.tolist() == [[9, 3]]
    assert "zall.fits: 3 rows pass the cuts without a redshift that can be" in caplog.text


def test_values_that_cannot_be_become_nan_and_are_counted(tmp_path, raw, caplog):
    table, derived = small_survey.properties(), small_survey.companion()
    table["PROVABGS_LOGMSTAR_BF"][table["TARGETID"] == 9] = 1e10  # not a logarithm
    table["MAG_G"][table["TARGETID"] == 13] = 99.0
    derived["TAGE_MW"][derived["TARGETID"] == 14] = 5e9  # years
    provabgs.write_properties(raw["properties"][0], table)
    provabgs.write_companion(raw["derived"][0], derived)
    catalogue = small_survey.zcatalog()
    catalogue["FLUX_R"][catalogue["TARGETID"] == 16] = -1e20
    desi.write_zcatalog(raw["zcatalog"][0], catalogue)
    galaxies, flow = build(tmp_path, raw)
    assert galaxies.index.tolist() == small_survey.LEFT
    assert galaxies.loc[14, ["t_age"]].isna().all() and galaxies.loc[14, "log_mstar"] == pytest.approx(10.4)
    assert galaxies.loc[[9, 13], ["log_mstar", "z_mw", "log_ssfr"]].isna().all(axis=None)
    assert galaxies.loc[16, ["flux_r", "mag_r"]].isna().all() and galaxies.loc[16, "flux_g"] == 16
    lines = {
        "log_mstar 3 to 14 dex(Msun)": [5, 1],
        "t_age 0 to 14 Gyr": [5, 1],
        "mag_g 0 to 45 mag": [5, 1],
        "flux_r -10000 to 1e+07 nanomaggy": [6, 1],
    }
    values = flow[flow["step"] == "values"].set_index("cut")[["kept", "lost"]]
    assert {cut: row.tolist() for cut, row in values.iterrows()} == lines
    assert "small: 1 values of mag_g are outside mag_g 0 to 45 mag (99 to 99)" in caplog.text


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path, raw):
    """Stein's cutouts: north/images_npix152_000000000_001000000.h5 and the same in south."""
    moved = []
    for path, folder in zip(raw["images"], ("north", "south"), strict=True):
        moved.append(Path(path).parent / folder / "images_npix152_000000000_001000000.h5")
        moved[-1].parent.mkdir()
        Path(path).rename(moved[-1])
    plain, _ = build(tmp_path, {**raw, "images": list(map(str, moved))})
    for targetid, galaxy in plain.iterrows():
        place = list(small_survey.IMAGES).index(targetid)
        folder = "south" if place < 5 else "north"  # `raw` has images-1 first
        assert galaxy["image_file"] == f"{folder}/{moved[0].name}" and galaxy["image_row"] == place % 5
    assert (plain["image_row"] >= 0).all() and set(plain["spectrum_file"]) == set(small_survey.FILES)


def test_no_properties_where_they_are_required(tmp_path, raw):
    refused(tmp_path, {**raw, "properties": []}, "'in the property catalogue' lost the last 7", require_properties=True)


def test_empty_catalogue_missing_images_and_doubtful_names_are_refused(tmp_path, raw):
    refused(tmp_path, {**raw, "images": []}, "small: modalities name 'image', but the survey has no image file")
    refused(tmp_path, {**raw, "hsc": []}, "'hsc_image', but the survey has no HSC image file", modalities=THREE)
    refused(tmp_path, {**raw, "coadd": []}, "no coadd file")
    refused(tmp_path, {**raw, "coadd": [raw["coadd"][0]] * 2}, "given twice")
    desi.write_zcatalog(raw["zcatalog"][0], small_survey.zcatalog()[:0])
    refused(tmp_path, raw, "zall.fits: no rows")


def test_truncated_files_are_named(tmp_path, raw):
    for role in ("coadd", "zcatalog", "images", "hsc", "properties", "derived"):
        path = Path(raw[role][0])
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        refused(tmp_path, raw, f"{path.name}: .*; delete it and run again", modalities=THREE)
        path.write_bytes(whole)


def with_keys(folder, raw, key_of: dict[int, tuple[int, int, int]]) -> dict:
    """The small survey with keys in its redshift catalogue, and one file with an image of each of them, far away."""
    table = small_survey.zcatalog()
    for name, place in (("RELEASE", 0), ("BRICKID", 1), ("BRICK_OBJID", 2)):
        table[name] = [key_of.get(targetid, (0, 0, 0))[place] for targetid in table["TARGETID"]]
    desi.write_zcatalog(raw["zcatalog"][0], table)
    path, keys = folder / "keys.h5", np.array([*key_of.values(), (0, 0, 0), (9011, 5, 6)])
    columns = dict(zip(("release", "brickid", "objid"), keys.T, strict=True))
    columns |= {"ra": np.full(len(keys), 10.0), "dec": np.full(len(keys), 30.0), "flux": np.ones((len(keys), 3))}
    legacy.write_cutouts(path, np.zeros((len(keys), 3, 152, 152), "f4"), columns)
    return {**raw, "images": [str(path)]}


def test_images_may_be_joined_by_the_key_of_their_source(tmp_path, raw):
    keys = {9: (9010, 123456, 77), 10: (9010, 123456, 78), 11: (9011, 123456, 77), 16: (10000, 660000, 4_000_000)}
    raw = with_keys(tmp_path, raw, keys)
    galaxies, flow = build(tmp_path, raw, crossmatch={"by": "key"})
    assert galaxies.index.tolist() == list(keys) and galaxies.image_row.tolist() == [0, 1, 2, 3]
    assert ("image", "image of the same source", 4, 6) in [tuple(row) for row in flow.iloc[:, 1:].values.tolist()]
    apart = np.hypot((galaxies.ra - 10) * np.cos(np.radians(30)), galaxies.dec - 30) * 3600
    assert np.allclose(galaxies.separation_arcsec, apart, rtol=0.01)


def test_without_columns_of_keys_the_targetid_tells_the_source(tmp_path, raw):
    """Two sources of the small survey get TARGETIDs as DESI makes them; the others have none."""
    keys = {9: (9010, 123456, 77), 16: (10000, 660000, 4_000_000)}
    raw = with_keys(tmp_path, raw, keys)
    number = {9: (9010 << 42) | (123456 << 22) | 77, 16: (10000 << 42) | (660000 << 22) | 4_000_000}
    table = small_survey.zcatalog()
    table["TARGETID"] = [number.get(targetid, targetid) for targetid in table["TARGETID"]]
    desi.write_zcatalog(raw["zcatalog"][0], table)
    for path, program, targetids in zip(sorted(raw["coadd"]), ("bright", "dark"), small_survey.SPECTRA, strict=True):
        made = small_survey.coadd(targetids, program)
        made.fibermap["TARGETID"] = [number.get(targetid, targetid) for targetid in targetids]
        desi.write_coadd(path, made)
    galaxies, _ = build(tmp_path, raw, crossmatch={"by": "key"})
    assert galaxies.index.tolist() == [number[9], number[16]] and galaxies.image_row.tolist() == [0, 1]


def wanted_of(raw) -> Table:
    """What an archive's catalogue would tell of the small survey: where its spectra and images are."""
    images = {}
    for path in raw["images"]:
        for row in legacy.read_cutout_catalog(path):
            images[(round(row["ra"]), round(row["dec"]))] = Path(path).name
    rows = []
    for path, program in zip(sorted(raw["coadd"]), ("bright", "dark"), strict=True):
        for targetid in desi.read_coadd(path).fibermap["TARGETID"]:
            ra, dec = small_survey.position(targetid)
            row = {"targetid": targetid, "ra": ra, "dec": dec, "z_spec": 0.0, "ebv": 0.1, "survey": "sv3", "brick": ""}
            row |= {
                "program": program,
                "coadd": Path(path).name,
                "images": images.get((round(ra), round(dec)), "none.h5"),
            }
            rows.append(row | dict.fromkeys(("release", "brickid", "objid", "flux_g", "flux_r", "flux_z"), 1))
    table = Table(rows=rows)
    table.sort(["coadd", "targetid"])
    return table


def test_galaxies_of_files_that_are_not_here_yet_are_those_of_the_files(tmp_path, raw):
    wanted_of(raw).write(tmp_path / "wanted.parquet")
    there, _ = build(tmp_path, raw, modalities=["spectrum"])
    told = {**raw, "coadd": [], "images": [], "wanted": [str(tmp_path / "wanted.parquet")]}
    here, _ = build(tmp_path, told, modalities=["spectrum"])
    same = [name for name in there if not name.startswith(("spectrum_row", "image"))]
    assert len(there) == 10 and here[same].equals(there[same]) and (here.spectrum_row == -1).all()
    with_images, _ = build(tmp_path, told, modalities=["spectrum", "image"])
    wanted = Table.read(tmp_path / "wanted.parquet")
    for targetid, galaxy in with_images.iterrows():
        rows = wanted[wanted["images"] == galaxy.image_file]
        assert rows["targetid"][galaxy.image_row] == targetid and galaxy.separation_arcsec < 0.3
