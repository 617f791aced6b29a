"""Scores of photometric redshifts: closed forms of errors and intervals, densities, widths, the baseline."""

import json

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from skyloom.analysis.common.statistics import interval
from skyloom.analysis.photoz import Settings, certainty, metrics, photometry, published
from skyloom.analysis.photoz.certainty import CONFORMAL, RAW
from skyloom.analysis.photoz.methods import Method, Sky, first_shown, read_method, whole_image
from skyloom.core.errors import BadInput
from skyloom.tokens.store import Shards
from tests.paths import SHARED

from . import synthetic

STEP, BINS = 0.001, 1800
BANDS = ("g", "r", "i", "z", "y")
H, S = "hsc_image", "spectrum"


def truths(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.1, 1.2, count)


def scattered(known: np.ndarray, sigma: float, seed: int, shift: float = 0.0) -> np.ndarray:
    """Redshifts with Gaussian dz of a width and a mean."""
    return known + (1 + known) * np.random.default_rng(seed).normal(shift, sigma, len(known))


def test_gaussian_errors_have_their_own_scatter_bias_and_outliers():
    known = truths(200_000)
    bias, sigma, outliers, catastrophic = metrics.measured(known, scattered(known, 0.1, 1, 0.03))
    assert bias == pytest.approx(0.03, abs=1e-3) and sigma == pytest.approx(0.1, rel=0.01)
    beyond = stats.norm.sf(0.15, 0.03, 0.1) + stats.norm.cdf(-0.15, 0.03, 0.1)
    assert outliers == pytest.approx(beyond, abs=2e-3) and catastrophic < 1e-4


def test_catastrophic_errors_are_not_scaled_and_outliers_are():
    known, said = np.array([9.0, 0.0, 2.0, 1.0]), np.array([10.2, 0.5, 2.1, np.inf])
    found = dict(zip(metrics.METRICS, metrics.measured(known, said), strict=True))
    assert found["catastrophic"] == 0.5 and found["outliers"] == 0.5  # 9 -> 10.2 is no outlier, 0 -> 0.5 is one


def test_what_is_not_finite_counts_as_wrong():
    said = metrics.counted(np.array([0.5, np.nan, -np.inf]))
    assert metrics.measured(np.full(3, 0.5), said)[2:] == pytest.approx([2 / 3, 2 / 3])


def test_intervals_hold_the_scatter_nineteen_times_of_twenty():
    held = 0
    for seed in range(60):
        known = truths(300, seed)
        row = list(metrics.rows(*_both(known, scattered(known, 0.05, 100 + seed), seed), 300))[metrics.SIGMA]
        held += row["ci_low"] <= 0.05 <= row["ci_high"]
    assert stats.binom(60, 0.95).ppf(0.001) <= held


def _both(known, said, seed=0, count=300):
    return metrics.measured(known, said), metrics.drawn(known, said, count, seed)


def test_ratios_hold_one_when_scatters_are_equal_and_not_when_one_is_twice_as_large():
    known = truths(2000)
    one, other, twice = (_both(known, scattered(known, s, n)) for n, s in ((1, 0.05), (2, 0.05), (3, 0.1)))
    rows = {name: list(metrics.difference(a[0], one[0], (a[1], one[1]), 2000)) for name, a in
            (("same", one), ("equal", other), ("twice", twice))}  # fmt: skip
    ratio = {name: found[-1] for name, found in rows.items()}
    assert [ratio["same"][key] for key in ("value", "ci_low", "ci_high")] == [1, 1, 1]
    assert ratio["equal"]["ci_low"] < 1 < ratio["equal"]["ci_high"] and ratio["equal"]["ci_high"] < 1.15
    assert ratio["twice"]["ci_low"] > 1.7 and ratio["twice"]["value"] == pytest.approx(2, rel=0.1)
    difference = rows["twice"][metrics.SIGMA]
    assert difference["metric"] == "sigma_nmad_difference" and difference["value"] == pytest.approx(0.05, rel=0.1)
    assert difference["ci_low"] > 0.04


def test_differences_are_paired_galaxy_by_galaxy():
    known = truths(500)
    one = scattered(known, 0.05, 1)
    other = known + 1.1 * (one - known)  # the same errors, a tenth larger
    a, b = _both(known, one), _both(known, other)
    paired = list(metrics.difference(b[0], a[0], (b[1], a[1]), 500))[metrics.SIGMA]
    unpaired = np.subtract(*interval(b[1][:, 1] - metrics.drawn(known, one, 300, 9)[:, 1])[::-1])
    assert paired["ci_low"] > 0 and paired["ci_high"] - paired["ci_low"] < 0.3 * unpaired


def test_groups_are_of_the_known_redshift_and_class_and_small_ones_are_left_out():
    known = np.array([0.05, 0.1, 0.3, 0.39, 0.4, 0.9, 2.5])
    spectype = np.array(["GALAXY"] * 5 + ["QSO"] * 2, object)
    found = metrics.groups(known, spectype, [0, 0.2, 0.4, 1, 5], 2)
    assert {name: int(mask.sum()) for name, (_, _, mask) in found.items()} == {
        "all": 7, "z < 0.4": 4, "z 0 to 0.2": 2, "z 0.2 to 0.4": 2, "z 0.4 to 1": 2, "galaxies": 5, "quasars": 2,
    }  # fmt: skip
    assert "quasars" not in metrics.groups(known, np.full(7, "", object), [0, 5], 2)


# densities


def posterior(known: np.ndarray, sigma: float, claimed: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Medians and bins of Gaussians in ln(1 + z) of a claimed width whose middles are off by `sigma`."""
    middle = np.log1p(known) + np.random.default_rng(seed).normal(0, sigma, len(known))
    edges = STEP * np.arange(BINS + 1)
    chance = np.diff(stats.norm.cdf((edges - middle[:, None]) / claimed), axis=1)
    return np.expm1(middle), (chance / chance.sum(1, keepdims=True)).astype("f4")


def write(path, targetid, split, z, chance=None, **about):
    columns = {"targetid": targetid, "split": split, "z": np.asarray(z, "f4")}
    if chance is not None:
        columns["posterior"] = pa.FixedSizeListArray.from_arrays(chance.ravel(), BINS)
        about["log_scale"] = [STEP / 2, STEP, BINS]
    model, _, query = path.stem.rpartition("-")
    about = {"model": model, "query": query, "modalities": [H], **about}
    pq.write_table(pa.table(columns).replace_schema_metadata({"skyloom": json.dumps(about)}), path)
    return path


def sky_of(known: np.ndarray, test: int) -> Sky:
    split = np.where(np.arange(len(known)) < test, "test", "validation")
    magnitude = 18 + 2 * known
    table = pandas.DataFrame({"z_known": known, "split": split, "mag_r": magnitude}, index=1000 + np.arange(len(known)))
    return Sky(table, table.index[:test].to_numpy())


@pytest.mark.parametrize("claimed", [0.05, 0.025, 0.1])
def test_exact_densities_hold_and_others_hold_after_the_conformal_step_alone(tmp_path, claimed):
    known = truths(4000)
    z, chance = posterior(known, 0.05, claimed, 1)
    sky = sky_of(known, 2000)
    method = read_method(write(tmp_path / "m-q.parquet", sky.galaxies.index, sky.galaxies["split"], z, chance))
    found = certainty.judged(method, sky)
    rows = pandas.DataFrame(certainty.rows(method, found, sky, Settings()))
    overall = rows[rows["group"] == "overall"].set_index("stage")
    for level in (68, 90):
        z_score = stats.norm.ppf((1 + level / 100) / 2)
        expected = 2 * stats.norm.cdf(z_score * claimed / 0.05) - 1
        assert overall.loc[RAW, f"coverage{level}"] == pytest.approx(expected, abs=0.025)
        assert overall.loc[CONFORMAL, f"coverage{level}"] == pytest.approx(level / 100, abs=0.035)
        ends = stats.binomtest(round(2000 * overall.loc[RAW, f"coverage{level}"]), 2000).proportion_ci(0.95, "exact")
        assert overall.loc[RAW, [f"coverage{level}_low", f"coverage{level}_high"]].tolist() == pytest.approx([*ends])
    assert (overall.loc[RAW, "pit_p"] > 1e-3) == (claimed == 0.05) and overall.loc[CONFORMAL, "pit_p"] > 1e-3
    assert overall.loc[CONFORMAL, "calibrated_on"] == 2000 and overall.loc[RAW, "calibrated_on"] == 0
    if claimed == 0.05:  # closed forms of a Gaussian: width, and CRPS sigma / sqrt(pi), in ln(1 + z)
        scale = np.median(1 + known)
        assert overall.loc[RAW, "width90"] == pytest.approx(2 * 1.645 * 0.05 * scale, rel=0.03)
        assert overall.loc[RAW, "crps"] == pytest.approx(0.05 / np.sqrt(np.pi) * np.mean(1 + known), rel=0.05)
    bins = rows[(rows["stage"] == CONFORMAL) & (rows["group"] != "overall")]
    assert bins["group"].value_counts().to_dict() == {"mag_r": 4, "estimate": 4}
    assert bins.groupby("group")["n"].sum().eq(2000).all()


def test_without_validation_galaxies_there_is_no_conformal_step(tmp_path):
    known = truths(50)
    sky = sky_of(known, 50)
    z, chance = posterior(known, 0.05, 0.05, 1)
    method = read_method(write(tmp_path / "m-q.parquet", sky.galaxies.index, sky.galaxies["split"], z, chance))
    assert set(certainty.judged(method, sky)) == {RAW}


def asked(name, image, spectrum, bands=BANDS, given=None, model="mmae"):
    given = given or tuple(m for m, share in ((H, image), (S, spectrum)) if share < 1)
    return Method(name, model, given, pandas.Series(dtype=float), {H: image, S: spectrum}, tuple(bands))


WHOLE, QUARTER, GRI = asked("whole", 0, 1), asked("quarter", 0.25, 1), asked("gri", 0, 1, "gri")
BOTH, ALONE, OTHER = asked("both", 0, 0), asked("spectrum", 1, 0), asked("whole", 0, 1, model="other")
FIXED = Method("cnn-redshift", "cnn", (H,), pandas.Series(dtype=float))


def test_less_is_shown_where_modalities_or_bands_are_missing_and_nothing_is_added():
    found = {(a.name, b.name) for a in (WHOLE, QUARTER, GRI, BOTH, ALONE) for b in (WHOLE, QUARTER, GRI, BOTH, ALONE)
             if a.shows_less(b)}  # fmt: skip
    assert found == {("whole", "both"), ("quarter", "both"), ("gri", "both"), ("spectrum", "both"), ("gri", "whole")}
    assert not OTHER.shows_less(BOTH) and not FIXED.shows_less(FIXED)


def test_the_quarter_hidden_is_drawn_and_the_whole_image_is_what_is_compared(caplog):
    methods = [FIXED, GRI, BOTH, QUARTER, WHOLE]
    assert first_shown(methods, None) is QUARTER and first_shown(methods, "both") is BOTH
    assert first_shown([FIXED, BOTH], None) is FIXED and first_shown([BOTH, ALONE], "gone") is BOTH
    assert "shown: gone is not among what was asked, both, " in caplog.text
    assert whole_image(methods) is WHOLE and whole_image([FIXED, BOTH]) is None


def test_widths_are_compared_by_their_medians():
    rng = np.random.default_rng(0)
    narrow = rng.uniform(0.5, 1.5, 400)
    widths = {"whole": 2 * narrow, "both": narrow, "gri": rng.uniform(1, 3, 400)}
    rows = {(r["method"], r["other"]): r for r in certainty.wider([WHOLE, BOTH, GRI], widths, Settings(), 0)}
    assert set(rows) == {("whole", "both"), ("gri", "both"), ("gri", "whole")}
    exact = rows["whole", "both"]
    assert [exact[k] for k in ("value", "ci_low", "ci_high")] == pytest.approx([2, 2, 2])
    equal = rows["gri", "whole"]
    assert equal["ci_low"] < 1 < equal["ci_high"]


def test_a_table_that_does_not_say_what_it_is_made_of_is_refused(tmp_path):
    path = write(tmp_path / "m-q.parquet", np.arange(3), ["test"] * 3, [0.1] * 3, modalities=[])
    with pytest.raises(BadInput, match="does not say of which modalities"):
        read_method(path)
    with pytest.raises(BadInput, match="targetid 7 occurs more than once"):
        read_method(write(tmp_path / "m-q.parquet", [7, 7], ["test"] * 2, [0.1] * 2))


# the baseline


def test_circles_have_their_area_and_stay_on_the_image():
    mask = photometry.circles(32, 0.168, [0.6, 1.2, 2.4])
    assert mask.sum(0) * 0.168**2 == pytest.approx(np.pi * np.array([0.6, 1.2, 2.4]) ** 2, rel=5e-3)
    square = mask[:, 0].reshape(32, 32)
    assert np.array_equal(square, square[::-1]) and np.array_equal(square, square.T) and square[0, 0] == 0
    with pytest.raises(BadInput, match="apertures of 2.4 arcsec reach beyond the images, 1.34 arcsec"):
        photometry.circles(16, 0.168, [0.6, 2.4])


def test_light_in_circles_is_measured_and_dark_bands_are_unknown(tmp_path):
    flux = np.random.default_rng(0).normal(0, 0.01, (3, 5, 32, 32))
    flux[0, :, 14:18, 14:18] += 1.0  # 16 nanomaggy within 0.5 arcsec
    flux[2, 3] = 0
    synthetic.write_shard(tmp_path / "x.h5", [5, 6, 7], {"flux": flux}, {"pixel_arcsec": 0.168})
    light, noise = photometry.measure(Shards([tmp_path / "x.h5"]), np.array([7, 5]), [0.6, 2.4])
    assert light.shape == (2, 5, 2) and light[1] == pytest.approx(16, abs=0.7)
    assert np.isnan(light[0, 3]).all() and np.isnan(noise[0, 3]) and np.isfinite(light[0, :3]).all()
    assert noise[1] == pytest.approx(0.01, rel=0.15)


def test_bright_magnitudes_are_the_usual_ones_and_faint_ones_stay_finite():
    flux = np.array([[[100.0], [10.0]], [[-0.01], [0.0]]])
    found = photometry.features(flux, np.full((2, 1), 0.01))
    assert found[0] == pytest.approx([17.5, 20.0, -2.5], abs=1e-4) and np.isfinite(found).all()


def test_boosting_learns_a_redshift_from_colours():
    rng = np.random.default_rng(0)
    z = {split: rng.uniform(0, 1, n) for split, n in (("train", 1500), ("validation", 300), ("test", 300))}
    seen = {
        split: np.stack([2 * x + rng.normal(0, 0.02, len(x)), rng.normal(size=len(x))], 1) for split, x in z.items()
    }
    found = photometry.boosted(seen, z, Settings(trees=80), 0)
    sigma = metrics.measured(z["test"], found)[metrics.SIGMA]
    assert sigma < 0.02 < metrics.measured(z["test"], np.full(300, 0.5))[metrics.SIGMA]


# published predictions


def test_the_scatter_of_the_published_predictions_is_the_published_one():
    path = SHARED / "mmae" / "mmae_fullmaskspectrum_quartermaskimage.csv"
    if not path.exists():
        pytest.skip("the published predictions are not here")
    true, said = published.read_predictions(str(path))
    near = true < 0.4
    assert metrics.measured(true[near], said[near])[1] == pytest.approx(0.0163, abs=5e-5)  # 0.016 in the paper
    bias, sigma, outliers, catastrophic = metrics.measured(true, said)
    assert sigma == pytest.approx(0.0210, abs=5e-5) and outliers == pytest.approx(0.046, abs=5e-4)
    near_line, all_line = published.lines(true, said, 100)
    assert near_line.startswith("z < 0.4, 11,149 galaxies: bias ") and "sigma_nmad 0.0163 [" in near_line
    assert all_line.startswith("all, 20,181 galaxies") and "sigma_nmad 0.0210 [" in all_line


@pytest.mark.parametrize("names", [("y_test", "y_pred"), ("True Redshift", "Predicted-Redshift"), ("specz", "photo_z")])
def test_columns_are_found_by_their_usual_names(tmp_path, names):
    known = np.append(truths(3000), np.nan)
    said = np.append(scattered(known[:-1], 0.04, 1, 0.01), 0.3)
    pandas.DataFrame({"id": np.arange(3001), names[1]: said, names[0]: known}).to_csv(tmp_path / "p.csv", index=False)
    true, found = published.read_predictions(str(tmp_path / "p.csv"))
    assert len(true) == 3000
    bias, sigma = metrics.measured(true, found)[:2]
    assert bias == pytest.approx(0.01, abs=3e-3) and sigma == pytest.approx(0.04, rel=0.05)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,y_pred\n1,2\n", "no column of true redshifts; it has a, y_pred; expected a name such as y_true"),
        ("y_true,b\n1,2\n", "no column of predicted redshifts"),
        ("y_true,z_spec,y_pred\n1,1,1\n", "the columns y_true, z_spec, not one, of true redshifts"),
        ("y_true,y_pred\nx,1\n", "column y_true does not hold numbers"),
        ("y_true,y_pred\n,1\n", "no row has a true redshift"),
        ("", "not a readable CSV file"),
    ],
)
def test_a_file_that_is_no_table_of_predictions_gets_one_line(tmp_path, text, words, capsys, monkeypatch):
    path = tmp_path / "p.csv"
    path.write_text(text)
    monkeypatch.setattr("sys.argv", ["published", str(path)])
    with pytest.raises(SystemExit) as stopped:
        published.main()
    assert words in stopped.value.code and str(path) in stopped.value.code and "\n" not in stopped.value.code


def test_the_command_prints_both_groups(tmp_path, capsys, monkeypatch):
    known = truths(200)
    pandas.DataFrame({"z_true": known, "z_pred": known}).to_csv(tmp_path / "p.csv", index=False)
    monkeypatch.setattr("sys.argv", ["published", str(tmp_path / "p.csv"), "--resamples", "100"])
    published.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "sigma_nmad 0.0000 [0.0000, 0.0000]" in lines[1] and "200 galaxies" in lines[1]
