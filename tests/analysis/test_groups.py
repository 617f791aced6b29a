"""Scores by group: the sky, environments, brightness: against closed forms, and planted trends are found."""

import numpy as np
import pandas
import pytest
from astropy import units as u
from astropy_healpix import healpix_to_lonlat
from scipy import stats

from skyloom.analysis.brightness.compare import halves
from skyloom.analysis.common import blocks, bygroup, statistics, tables
from skyloom.analysis.environment import ANGULAR, SPATIAL
from skyloom.analysis.environment.density import in_cylinders, on_the_sky, thirds
from skyloom.analysis.sky.clusters import spherical_kmeans
from skyloom.settings import kinds

from . import synthetic

SETTINGS = {"resamples": 200}


def survey(folder, n=600, noise=lambda galaxies: 0.3, **columns):
    """A catalogue, and predictions of one model of its test galaxies, whose errors are as large as `noise` says."""
    rng = np.random.default_rng(1)
    galaxies = pandas.DataFrame({"targetid": np.arange(n) + 10**15})
    galaxies["ra"], galaxies["dec"] = rng.uniform(150, 153, n), rng.uniform(0, 3, n)
    galaxies["z"], galaxies["mag_r"] = rng.uniform(0.1, 0.3, n), rng.uniform(16, 20, n)
    galaxies = galaxies.assign(**columns)
    truth = rng.normal(size=n)
    said = truth + noise(galaxies) * rng.normal(size=n)
    one = {"model": "net", "modality": "image", "method": "knn", "property": "log_mstar"}
    frame = pandas.DataFrame({"targetid": galaxies["targetid"], "truth": truth, "prediction": said}).assign(**one)
    tables.write_parquet(folder / "galaxies.parquet", galaxies)
    tables.write_parquet(folder / "predictions.parquet", frame[bygroup.PREDICTIONS])
    return {"galaxies": folder / "galaxies.parquet", "predictions": folder / "predictions.parquet"}, galaxies, frame


def test_many_are_resampled_as_plainly_as_one():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=300)
    said = truth + rng.normal(size=(3, 300)) * np.array([[0.1], [0.5], [1.0]])
    found = statistics.bootstrap_r2_of_many(truth, said, count=50, seed=3)
    for values, prediction in zip(found[:, 0], said, strict=True):
        np.testing.assert_allclose(
            values, statistics.bootstrap(statistics.r2, truth, prediction, count=50, seed=3), rtol=1e-9
        )


def test_what_is_unknown_or_in_another_group_does_not_count():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200) + 1000
    said = np.stack([truth + rng.normal(size=200), truth + 0.5 * rng.normal(size=200)])
    members = np.stack([np.arange(200) < 80, np.arange(200) >= 80])
    holes = said.copy()
    holes[0, ::3] = np.nan
    gone = truth.copy()
    gone[5:15] = np.nan
    found = statistics.bootstrap_r2_of_many(gone, holes, members, 4000, 0)
    for m, g in np.ndindex(2, 2):
        use = np.isfinite(gone) & np.isfinite(holes[m]) & members[g]
        alone = statistics.bootstrap(statistics.r2, gone[use], said[m, use], count=4000, seed=1)
        assert np.isclose(found[m, g].mean(), alone.mean(), atol=0.02)
        assert np.isclose(found[m, g].std(), alone.std(), rtol=0.1)  # the number in a group varies, by little
    value, number = statistics.r2_of_many(gone, holes, members)
    use = np.isfinite(gone) & np.isfinite(holes[0]) & members[1]
    assert value[0, 1] == pytest.approx(statistics.r2(truth[use], said[0, use])) and number[0, 1] == use.sum()


def test_ninety_five_percent_intervals_hold_so_often():
    rng = np.random.default_rng(0)
    held = 0
    for trial in range(200):
        truth = rng.normal(size=250)
        said = truth + rng.normal(size=(1, 250))  # errors are as large as the scatter: R2 is 0
        low, high = statistics.interval(statistics.bootstrap_r2_of_many(truth, said, count=300, seed=trial)[0, 0])
        held += low <= 0 <= high
    assert stats.binom.cdf(held, 200, 0.95) > 1e-3 and stats.binom.sf(held - 1, 200, 0.95) > 1e-3


def test_a_group_that_does_not_vary_has_no_score():
    found = statistics.bootstrap_r2_of_many(np.ones(10), np.ones((1, 10)), count=5)
    assert np.isnan(found).all()


def test_clusters_on_the_sphere_do_not_break_at_zero_hours_nor_at_the_pole():
    rng = np.random.default_rng(0)
    ra = np.concatenate([rng.normal(0, 1, 100) % 360, rng.normal(40, 1, 80)])
    dec = np.concatenate([rng.normal(5, 1, 100), rng.normal(5, 1, 80)])
    labels = spherical_kmeans(ra, dec, 2, 3, 0)
    assert (labels[:100] == 0).all() and (labels[100:] == 1).all()  # the largest first
    around = rng.uniform(0, 360, 100)
    labels = spherical_kmeans(np.append(around, ra[100:]), np.append(np.full(100, 89.0), dec[100:]), 2, 3, 0)
    assert (labels[:100] == 0).all()


def test_the_sky_is_clustered_and_scored(tmp_path):
    given, galaxies, frame = survey(tmp_path)
    outputs = synthetic.run("sky", given, tmp_path / "out", SETTINGS)
    table, members = blocks.read_csv(outputs["table"]), tables.read_parquet(outputs["members"])
    counts = table[table["metric"] == "count"]
    assert counts["value"].sum() == len(galaxies) and len(counts) == 10
    assert table[table["metric"] == "share"]["value"].sum() == pytest.approx(1, abs=1e-4)
    own = frame[frame["targetid"].isin(members.loc[members["cluster"] == 3, "targetid"])]
    row = table[(table["metric"] == "r2") & (table["group"] == "3")].iloc[0]
    assert row["value"] == pytest.approx(statistics.r2(own["truth"], own["prediction"]), abs=1e-5)
    assert row["ci_low"] < row["value"] < row["ci_high"] and row["n"] == len(own)
    whole = table[(table["metric"] == "r2") & (table["group"] == "all")].iloc[0]
    assert whole["value"] == pytest.approx(statistics.r2(frame["truth"], frame["prediction"]), abs=1e-5)
    assert presented("sky", outputs)


def presented(kind: str, outputs: dict) -> list:
    """What the report shows."""
    found = kinds.find("analysis", kind, "")
    settings = found.settings()
    return list(kinds.load(found.present)({k: str(v) for k, v in outputs.items()}, settings, blocks.Shown("mock")))


def test_distances_and_counts_on_the_sky_are_those_of_all_pairs():
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(0, 2, 60) - 1, rng.uniform(-1, 1, 60)
    nearest, count = on_the_sky(ra % 360, dec, 12.0)
    a, d = np.radians(ra), np.radians(dec)
    cos = np.sin(d) * np.sin(d[:, None]) + np.cos(d) * np.cos(d[:, None]) * np.cos(a - a[:, None])
    apart = np.degrees(np.arccos(cos.clip(-1, 1))) * 60
    np.fill_diagonal(apart, np.inf)
    np.testing.assert_allclose(nearest, apart.min(axis=1), rtol=1e-4)
    assert (count == (apart < 12).sum(axis=1)).all()
    assert np.isnan(on_the_sky(ra[:1], dec[:1], 1.0)[0]).all()


def in_pixels(count, pixels, nside, rng):
    """Positions evenly over pixels."""
    fine = 64
    corner = rng.choice(pixels, count) * fine**2 + rng.integers(0, fine**2, count)
    lon, lat = healpix_to_lonlat(corner, nside * fine, rng.random(count), rng.random(count), order="nested")
    return lon.to_value(u.deg), lat.to_value(u.deg)


def test_without_clusters_the_density_is_one_at_edges_too():
    rng = np.random.default_rng(0)
    ra, dec = in_pixels(6000, np.array([8192, 8193, 8195]), 64, rng)
    z = rng.uniform(0.1, 0.3, 6000)
    density, share = in_cylinders(ra, dec, z, 4.0, 1500.0, 10.0, 64)
    edge, middle = share < 0.75, share > 0.99
    assert edge.sum() > 400 and middle.sum() > 400
    for group in (edge, middle):
        error = density[group].std() / np.sqrt(group.sum() / 3)  # neighbours count each other
        assert abs(density[group].mean() - 1) < 4 * error + 0.02
    counted = density[edge] * share[edge]
    assert counted.mean() < 0.8  # what it would be without the correction


def test_a_cluster_is_dense_and_a_projection_is_not():
    rng = np.random.default_rng(0)
    ra, dec = in_pixels(2000, np.array([8192]), 64, rng)
    z = rng.uniform(0.1, 0.3, 2000)
    centre = np.median(ra), np.median(dec)
    ra[:40], dec[:40] = centre[0] + rng.normal(0, 0.02, 40), centre[1] + rng.normal(0, 0.02, 40)
    z[:20] = 0.2 + rng.normal(0, 0.0005, 20)  # the other 20 are at any redshift
    density, _ = in_cylinders(ra, dec, z, 2.0, 1000.0, 10.0, 64)
    _, count = on_the_sky(ra, dec, 5.0)
    assert np.median(density[:20]) > 3 * np.median(density[20:40])
    assert np.median(count[20:40]) > 20


def test_thirds_keep_equal_values_together():
    found = thirds(np.array([0, 0, 0, 0, 1, 1, 2, 5, np.nan]))
    assert found.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, -1] and (thirds(np.full(3, np.nan)) == -1).all()


def test_a_planted_trend_with_the_environment_is_recovered(tmp_path):
    rng = np.random.default_rng(4)
    crowd, n = rng.random(900) < 0.4, 900
    ra, dec = rng.uniform(150, 154, n), rng.uniform(0, 4, n)
    ra[crowd], dec[crowd] = 152 + rng.normal(0, 0.06, crowd.sum()), 2 + rng.normal(0, 0.06, crowd.sum())
    z = np.where(crowd, 0.2 + rng.normal(0, 0.0008, n), rng.uniform(0.1, 0.3, n))
    given, _, _ = survey(tmp_path, n, lambda galaxies: np.where(crowd, 1.0, 0.2), ra=ra, dec=dec, z=z)
    outputs = synthetic.run("environment", given | {"truth": []}, tmp_path / "out", SETTINGS)
    table = blocks.read_csv(outputs["table"])
    for names in (ANGULAR, SPATIAL):
        row = table[table["group"] == f"{names[2]} - {names[0]}"].iloc[0]
        assert row["metric"] == "delta_r2" and row["ci_high"] < -0.3
    assert table[table["metric"] == "count"].groupby("group")["value"].sum()[list(ANGULAR)].sum() == n
    claims = [block for block in presented("environment", outputs) if block.shape == "claim"]
    assert [c.holds for c in claims] == [False, False]


def test_without_a_trend_none_is_found_and_the_truth_is_compared(tmp_path):
    given, galaxies, _ = survey(tmp_path)
    near = on_the_sky(galaxies["ra"].to_numpy(), galaxies["dec"].to_numpy(), 5.0)[1]
    true = {"targetid": galaxies["targetid"], **{f"neighbours_{r}mpc": near for r in (1, 2, 5)}}
    tables.write_parquet(tmp_path / "truth.parquet", pandas.DataFrame(true))
    outputs = synthetic.run("environment", given | {"truth": tmp_path / "truth.parquet"}, tmp_path / "out", SETTINGS)
    table = blocks.read_csv(outputs["table"])
    delta = table[table["metric"] == "delta_r2"]
    assert ((delta["ci_low"] < 0.02) & (delta["ci_high"] > -0.02)).all()
    found = table[table["metric"] == "spearman"].set_index(["method", "property"])["value"]
    assert found["neighbours", "neighbours_1mpc"] == pytest.approx(1)
    assert presented("environment", outputs)


def test_bright_minus_faint_by_redshift_and_by_magnitude(tmp_path):
    given, galaxies, frame = survey(tmp_path, noise=lambda g: np.where(g["mag_r"] < 18, 0.2, 1.0))
    outputs = synthetic.run("brightness", given, tmp_path / "out", SETTINGS)
    table = blocks.read_csv(outputs["table"]).set_index(["group", "metric"])
    assert table.loc[("bright in mag_r - faint in mag_r", "delta_r2"), "ci_low"] > 0.5
    row = table.loc[("low z (bright) - high z (faint)", "delta_r2")]
    assert row["ci_low"] < 0 < row["ci_high"]
    own = frame[galaxies["mag_r"].to_numpy() > galaxies["mag_r"].median()]
    value = table.loc[("faint in mag_r", "r2"), "value"]
    assert value == pytest.approx(statistics.r2(own["truth"], own["prediction"]), abs=1e-5)
    assert [c.holds for c in presented("brightness", outputs) if c.shape == "claim"] == [False, True]


def test_halves_leave_out_what_is_unknown():
    found = halves(pandas.Series([1, 2, 3, 4, np.nan], index=list("abcde")), "b", "f")
    assert found["b"].tolist() == ["a", "b"] and found["f"].tolist() == ["c", "d"]


@pytest.mark.parametrize("kind", ["sky", "environment", "brightness"])
def test_galaxies_without_positions_or_redshifts_make_empty_tables(kind, tmp_path):
    gone = dict.fromkeys(("ra", "dec", "z", "mag_r"), np.nan)
    given, _, _ = survey(tmp_path, 30, **gone)
    outputs = synthetic.run(kind, given | ({"truth": []} if kind == "environment" else {}), tmp_path / "out", SETTINGS)
    table = blocks.read_csv(outputs["table"])
    assert not (table["metric"] == "delta_r2").any() or table.loc[table["metric"] == "delta_r2", "value"].isna().all()
    assert all(path.stat().st_size for path in outputs.values()) and presented(kind, outputs)
