"""The table of parents and the check of their redshifts: against numpy and by hand, and where they are not made."""

import h5py
import numpy as np
import pandas
import pytest
import yaml
from astropy.table import Table
from scipy.stats import beta

from skyloom.analysis.common import blocks, statistics, tables
from skyloom.analysis.parents import Settings, archives, parents
from skyloom.analysis.parents.present import present
from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats import desi, galaxiesml
from skyloom.settings.config import load
from tests.formats.images import as_compound
from tests.paths import ROOT

from . import synthetic

N = 200
CUTS = [{"name": "redshift_ok", "column": "ZWARN", "equals": 0}]
DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text())


def sky(folder):
    """Galaxies of which 100 have images in two files, and a redshift there: 90 agree, 4 are off by .01, 6 by 1."""
    rng = np.random.default_rng(3)
    z = rng.uniform(0.1, 1.5, N)
    zcatalog = Table({"TARGETID": np.arange(N), "Z": z, "ZWARN": np.where(np.arange(N) < 150, 0, 4)})
    zcatalog["ZERR"], zcatalog["SPECTYPE"], zcatalog["DELTACHI2"] = 1e-4, "GALAXY", 99.0
    zcatalog["TARGET_RA"], zcatalog["TARGET_DEC"] = np.zeros(N), np.zeros(N)
    zcatalog["COADD_FIBERSTATUS"], zcatalog["OBJTYPE"], zcatalog["ZCAT_PRIMARY"] = 0, "TGT", True
    zcatalog["Z"][-1] = np.nan
    desi.write_zcatalog(folder / "zall.fits", zcatalog)
    dz = np.zeros(100)
    dz[[0, 10, 20, 30]], dz[[1, 11, 21, 31, 41, 51]] = 0.01, [1, 0.5, 1, 1, 1, 1.25]
    in_file, hsc = np.arange(120) % 2, []
    specz = np.append(z[:100] + dz * (1 + z[:100]), rng.uniform(0, 3, 20))
    specz[119], mag = -9, rng.uniform(18, 23, 120)
    mag[118] = np.nan
    for number in (0, 1):
        mine = in_file == number
        hsc.append(folder / f"hsc-{number}.hdf5")
        n = int(mine.sum())
        known = {"object_id": np.arange(n), "ra": np.zeros(n), "dec": np.zeros(n)}
        known |= {"specz_redshift": specz[mine], "i_cmodel_mag": mag[mine]}
        galaxiesml.write_galaxiesml(hsc[-1], np.zeros((n, 5, 64, 64), "f4"), known)
    galaxies = {"targetid": np.arange(N), "z": z, "zerr": np.full(N, 1e-4), "zwarn": np.where(np.arange(N) < 80, 0, 4)}
    galaxies["spectype"] = np.where(np.arange(N) < 60, "GALAXY", "QSO")
    there = np.arange(N) < 100
    galaxies["hsc_file"] = np.where(there, np.array(["hsc-0.hdf5", "hsc-1.hdf5"])[np.arange(N) % 2], "")
    galaxies["hsc_row"] = np.where(there, np.arange(N) // 2, -1)
    tables.write_parquet(folder / "galaxies.parquet", pandas.DataFrame(galaxies))
    return zcatalog, specz, mag, dz, hsc


def made(folder, hsc=(), **more):
    inputs = {"galaxies": str(folder / "galaxies.parquet"), "published": str(ROOT / "resources/published.csv")}
    inputs |= {"hsc": [str(path) for path in hsc]} if hsc else {}
    outputs = synthetic.run("parents", {**inputs, **more}, folder / "out", {"resamples": 200}, of_survey={"cuts": CUTS})
    return {role: str(path) for role, path in outputs.items()}


def test_the_table_is_what_numpy_says(tmp_path):
    zcatalog, specz, mag, _, hsc = sky(tmp_path)
    out = pandas.read_csv(made(tmp_path, hsc, zcatalog=str(tmp_path / "zall.fits"))["table"]).set_index("dataset")
    z = np.asarray(zcatalog["Z"])
    expected = {
        "redshift catalogue, all rows": (z, [], N),
        "redshift catalogue, rows that pass the cuts": (z[:150], [], 150),
        "HSC images": (specz[:119], mag[np.isfinite(mag)], 120),
        "sample, redshifts of DESI": (z[:100], mag[:100], 100),
        "sample, redshifts of HSC's files": (specz[:100], mag[:100], 100),
    }
    assert list(out.index) == list(expected)
    for name, (values, magnitudes, count) in expected.items():
        row = out.loc[name]
        assert row["count"] == count
        assert row.z_percentile == pytest.approx(np.nanpercentile(values, 90), rel=1e-5)
        assert row.z_max == pytest.approx(np.nanmax(values), rel=1e-5)
        found = row.i_percentile
        assert found == pytest.approx(np.percentile(magnitudes, 90), rel=1e-5) if len(magnitudes) else np.isnan(found)
    published = out[["published_count", "published_z_percentile", "published_z_max", "published_i_percentile"]]
    assert published.loc["redshift catalogue, all rows"].tolist()[:3] == [20283824, 1.343, 6.857]
    assert published.loc["HSC images"].tolist() == [286401, 1.155, 4.0, 22.171]
    assert published.loc["sample, redshifts of DESI"].tolist() == [134533, 1.581, 4.119, 20.635]
    assert published.drop(index=out[out.published_dataset.notna()].index).isna().all(axis=None)


def test_shares_are_those_that_were_put_in(tmp_path):
    *_, dz, hsc = sky(tmp_path)
    paths = made(tmp_path, hsc)
    scores = pandas.read_csv(paths["scores"]).set_index(["group", "metric"])
    for group, some in (("all", dz), ("GALAXY", dz[:60]), ("QSO", dz[60:]), ("without warning", dz[:80])):
        n, agree, far = len(some), (np.abs(some) < 0.005).sum(), (np.abs(some) > 0.15).sum()
        row = scores.loc[group, "agree"]
        assert (row.value, row.n) == (pytest.approx(agree / n), n)
        low, high = beta.ppf(0.025, agree, n - agree + 1), beta.ppf(0.975, agree + 1, n - agree) if agree < n else 1
        assert (row.ci_low, row.ci_high) == (pytest.approx(low, rel=1e-4), pytest.approx(high, rel=1e-4))
        assert scores.loc[group, "outliers"].value == pytest.approx(far / n)
        assert scores.loc[group, "bias"].value == pytest.approx(0, abs=1e-12)
        assert scores.loc[group, "largest"].value == pytest.approx(some[np.argmax(np.abs(some))], abs=1e-12)
    assert ("with warning", "agree") in scores.index
    wrong = pandas.read_csv(paths["disagreeing"])
    assert len(wrong) == 10 and wrong.targetid[0] == 51 and (wrong.dz.abs().diff()[1:] < 1e-9).all()
    np.testing.assert_allclose(wrong.dz, dz[wrong.targetid], rtol=1e-4)


def test_the_report_says_in_how_many_they_agree_and_from_which_models_learn(tmp_path):
    *_, hsc = sky(tmp_path)
    found = present(made(tmp_path, hsc), Settings(), blocks.Shown("sky", True, "sky"))
    claim = next(block for block in found if isinstance(block, blocks.Claim))
    assert (
        claim.numbers.startswith("90 of 100: 0.900 [0.824, 0.951]") and claim.verdict == "holds, within the uncertainty"
    )
    assert "learn from DESI's" in claim.text
    table = next(block for block in found if isinstance(block, blocks.Table))
    assert {len(table.columns)} == {len(row) for row in table.lines} and "134,533" in table.lines[-2]
    strict = present(made(tmp_path, hsc), Settings(expected=0.99), blocks.Shown("sky", True, "sky"))
    assert not next(block for block in strict if isinstance(block, blocks.Claim)).holds


def test_a_sample_without_parents_or_redshifts_has_one_of_all_that_is_known(tmp_path):
    *_, hsc = sky(tmp_path)
    for path in hsc:
        with h5py.File(path, "a") as file:
            del file["specz_redshift"], file["i_cmodel_mag"]
    paths = made(tmp_path, pairs=[str(path) for path in hsc])
    table = pandas.read_csv(paths["table"])
    assert table.dataset.tolist() == ["sample, redshifts of DESI", "sample, redshifts of HSC's files"]
    assert table["count"].tolist() == [100, 100] and table.z_max.isna().tolist() == [False, True]
    assert pandas.read_csv(paths["scores"]).empty and pandas.read_csv(paths["disagreeing"]).empty
    found = present(paths, Settings(), blocks.Shown("sky"))
    assert not [block for block in found if isinstance(block, blocks.Claim | blocks.Scores)]


def test_both_forms_of_the_published_file_say_the_same(tmp_path):
    with h5py.File(tmp_path / "groups.hdf5", "w") as file:
        file["image"], file["object_id"] = np.zeros((3, 5, 64, 64), "f4"), np.arange(3)
        file["targetid"] = np.array([b"1", b"2", b"3"])
        file["spectrum/flux"] = file["spectrum/ivar"] = np.ones((3, 7783), "f4")
        file["DESI_fibermap/DESI_redshift"] = np.array([0.1, 0.2, 0.3])
        file["HSC_metadata/specz_redshift"] = np.array([0.1, -1.0, 0.3])
        file["HSC_metadata/i_cmodel_mag"] = np.array([20.0, 21.0, 99.0])
    as_compound(tmp_path / "compound.hdf5", tmp_path / "groups.hdf5")
    found = [archives.of_hsc(tmp_path / f"{name}.hdf5") for name in ("groups", "compound")]
    pandas.testing.assert_frame_equal(*found)
    np.testing.assert_array_equal(found[0].z_hsc, [0.1, np.nan, 0.3])
    np.testing.assert_array_equal(found[0].mag_i, [20, 21, np.nan])


def test_files_that_do_not_belong_together_are_one_line(tmp_path):
    *_, hsc = sky(tmp_path)
    galaxiesml.write_galaxiesml(hsc[0], np.zeros((1, 5, 64, 64), "f4"), dict.fromkeys(galaxiesml.REQUIRED, [0]))
    with pytest.raises(BadInput, match=r"hsc-0.hdf5: has 1 rows, but .*galaxies.parquet names row 49"):
        made(tmp_path, hsc)


def test_percentiles_other_than_the_published_ones_have_none_beside_them():
    known = parents.published(ROOT / "resources/published.csv", 50.0)
    assert known["GalaxiesML"][0] == 286401 and np.isnan(known["GalaxiesML"][1]) and known["GalaxiesML"][2] == 4


@pytest.mark.parametrize(("hits", "n"), [(0, 7), (7, 7), (3, 7)])
def test_an_exact_interval_holds_the_share_and_its_tails_are_as_small_as_said(hits, n):
    from scipy.stats import binom

    low, high = statistics.exact_interval(hits, n)
    assert low <= hits / n <= high
    assert not hits or binom.sf(hits - 1, n, low) == pytest.approx(0.025)
    assert hits == n or binom.cdf(hits, n, high) == pytest.approx(0.025)


def loaded(entry: dict, **settings):
    config = {**DEFAULT, "analyses": {"parents": {"surveys": ["other"], **settings}}}
    return load({**config, "surveys": {**DEFAULT["surveys"], "other": entry}})


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**DEFAULT["surveys"]["mock"], "modalities": ["spectrum", "image"]}, "'other' has no modality hsc_image"),
        ({"kind": "hsc"}, "'other' has no modality spectrum; it has hsc_image"),
        (
            {
                "kind": "hats",
                "catalogs": {"spectrum": "https://a.hub/one", "hsc_image": "https://a.hub/two"},
                "modalities": ["spectrum", "hsc_image"],
            },
            "has HSC images out of catalogues that do not say their redshifts",
        ),
    ],
)
def test_what_a_survey_lacks_is_said(entry, words):
    entry = {key: value for key, value in entry.items() if key not in ("models", "models_from")}
    with pytest.raises(BadConfig, match=f"analyses.parents.surveys: .*{words}"):
        loaded(entry)


def test_parents_of_a_survey_of_pairs_are_not_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    built = "results/mock_spectra/catalog/DESI_HSC_64x64.hdf5"
    inputs = loaded({"kind": "galaxiesml_spectra", "files": [built]}).made["parents", "other"]
    assert set(inputs) == {"galaxies", "published", "pairs"} and inputs["pairs"] == [built]
    url = "https://an.archive/records/1/DESI_HSC_64x64_v2.hdf5"
    inputs = loaded({"kind": "galaxiesml_spectra", "files": [url]}).made["parents", "other"]
    assert inputs["pairs"] == ["results/downloads/web/https/an.archive/records/1/DESI_HSC_64x64_v2.hdf5"]
    inputs = load(DEFAULT).made["parents", "mock_spectra"]
    assert set(inputs) == {"galaxies", "published", "hsc", "zcatalog"} and len(inputs["hsc"]) == 8
