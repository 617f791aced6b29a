"""The cross-match by LSDB is that by DuckDB, pair by pair, wherever partitions meet."""

import logging

import distributed
import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy_healpix import HEALPix

from skyloom.catalog import by_lsdb, crossmatch, galaxies
from skyloom.core.errors import BadConfig, BadInput
from skyloom.settings.survey import Dask
from tests.bench.bench_crossmatch import catalogues
from tests.catalog import small_survey
from tests.paths import LIBRARY

ORDERS = (0, 1, 2, 4)  # of pixels on whose borders positions are planted


def on_borders(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions within 1" of the borders of HEALPix pixels, degrees."""
    ra, dec = [], []
    for order in ORDERS:
        grid = HEALPix(2**order, order="nested")
        lon, lat = grid.boundaries_lonlat(rng.integers(0, grid.npix, n // len(ORDERS)), step=8)
        corner = rng.integers(0, lon.shape[1], len(lon))
        row = np.arange(len(lon))
        ra.append(lon[row, corner].to_value(u.deg))
        dec.append(lat[row, corner].to_value(u.deg))
    ra, dec = np.concatenate(ra), np.concatenate(dec)
    spread = rng.normal(0, 0.5 / 3600, (2, len(ra)))
    dec = np.clip(dec + spread[0], -90, 90)
    return (ra + spread[1] / np.maximum(np.cos(np.radians(dec)), 1e-9)) % 360, dec


def planted() -> tuple[np.ndarray, ...]:
    """Two catalogues: borders, poles, the wrap, clumps, duplicates, missing positions, rows in no order."""
    rng = np.random.default_rng(8)
    ra, dec = on_borders(6_000, rng)
    other = rng.normal(0, 0.3 / 3600, (2, len(ra)))
    other_dec = np.clip(dec + other[0], -90, 90)
    other_ra = ra + other[1] / np.maximum(np.cos(np.radians(dec)), 1e-9)
    poles = rng.uniform(0, 360, 400), np.repeat([90, -90], 200) - np.repeat([1, -1], 200) * rng.uniform(0, 2e-4, 400)
    wrap = rng.normal(0, 1e-4, 400) % 360, rng.uniform(-1e-3, 1e-3, 400)
    clumps = catalogues(3_000)
    left = [np.concatenate(parts) for parts in zip((ra, dec), poles, wrap, clumps[:2], ([np.nan], [0]), strict=True)]
    right = [
        np.concatenate(parts)
        for parts in zip((other_ra, other_dec), poles, wrap, clumps[2:], ([10, 370], [np.nan, 5]), strict=True)
    ]
    copies = rng.integers(0, 6_000, 500)
    right = [np.append(values, values[copies]) for values in right]
    left = [np.append(values, values[copies]) for values in left]
    one, two = rng.permutation(len(left[0])), rng.permutation(len(right[0]))
    return *(values[one] for values in left), *(values[two] for values in right)


@pytest.fixture(scope="module")
def positions():
    return planted()


@pytest.fixture(scope="module")
def expected(positions):
    return crossmatch.pairs(*positions, 1.0)


@pytest.fixture(scope="module")
def found(positions, tmp_path_factory):
    """Partitions of a thousand rows: many borders, of several orders."""
    return by_lsdb.pairs(*positions, 1.0, folder=tmp_path_factory.mktemp("lsdb"), rows=1_000)


def test_pairs_are_those_of_duckdb_wherever_partitions_meet(found, expected):
    assert len(expected) > 8_000
    pd.testing.assert_frame_equal(found[["left", "right"]], expected[["left", "right"]])
    np.testing.assert_allclose(found["separation_arcsec"], expected["separation_arcsec"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("one_to_one", [False, True])
def test_nearest_and_one_to_one_are_those_of_duckdb_ties_too(positions, found, one_to_one):
    expected = crossmatch.crossmatch(*positions, 1.0, one_to_one=one_to_one)
    chosen = by_lsdb.unique(found) if one_to_one else by_lsdb.nearest(found)
    pd.testing.assert_frame_equal(chosen, expected, rtol=0, atol=1e-6)
    ties = found.groupby(["left", "separation_arcsec"]).size()
    assert (ties > 1).sum() > 100  # copies are equally near


def test_without_margins_pairs_across_borders_would_be_lost(positions, expected, tmp_path):
    found = by_lsdb.pairs(*positions, 1.0, folder=tmp_path, rows=1_000, margin_arcsec=0.0)
    assert len(expected) - len(found) > 100
    assert len(found.merge(expected, on=["left", "right"])) == len(found)


@pytest.mark.parametrize("radius", [0.05, 60.0, 3000.0])
def test_other_radii_have_the_same_pairs(radius, tmp_path):
    positions = [values[:1_500] for values in planted()]
    found = by_lsdb.pairs(*positions, radius, folder=tmp_path, rows=200)
    expected = crossmatch.pairs(*positions, radius)
    assert len(expected) > 20
    pd.testing.assert_frame_equal(found[["left", "right"]], expected[["left", "right"]])


def test_a_right_catalogue_that_ends_at_the_border_still_has_its_margin(tmp_path):
    # left of the meridian at 45 degrees there are only left galaxies, right of it only right ones
    dec = np.linspace(-30, 30, 500)
    left, right = np.full(500, 45 - 1e-4), np.full(500, 45 + 1e-4)
    found = by_lsdb.pairs(left, dec, right, dec, 1.0, folder=tmp_path, rows=50)
    np.testing.assert_array_equal(found["left"], np.arange(500))
    np.testing.assert_array_equal(found["right"], np.arange(500))


def test_missing_positions_are_counted_and_impossible_input_is_refused(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        found = by_lsdb.crossmatch([10.0, np.nan], [0.0, 0.0], [10.0], [0.0], 1.0, folder=tmp_path)
    assert found.values.tolist() == [[0, 0, 0]]
    assert "left catalogue: 1 of 2 positions not finite" in caplog.text
    assert len(by_lsdb.crossmatch([], [], [10.0], [0.0], 1.0, folder=tmp_path)) == 0
    with pytest.raises(BadInput, match="right catalogue: 1 declinations beyond 90 degrees"):
        by_lsdb.crossmatch([10.0], [0.0], [10.0], [91.0], 1.0, folder=tmp_path)
    with pytest.raises(BadConfig, match="cross-match radius"):
        by_lsdb.crossmatch([10.0], [0.0], [10.0], [0.0], 0, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("one_to_one", [True, False])
def test_above_the_size_that_is_set_the_table_of_galaxies_is_made_by_lsdb_with_the_same_bytes(
    tmp_path, caplog, one_to_one
):
    (tmp_path / "raw").mkdir()
    raw, written = small_survey.write(tmp_path / "raw"), []
    for above in (None, 10**6, 3):
        matching = {"radius_arcsec": 1.0, "one_to_one": one_to_one, "lsdb_above": above, "dask": Dask().plain()}
        caplog.clear()
        with caplog.at_level(logging.INFO):
            galaxies.build_galaxies("small", {"crossmatch": matching}, raw, tmp_path / "g.parquet", tmp_path / "c.csv")
        assert ("matched by LSDB" in caplog.text) == (above == 3)
        written.append((tmp_path / "g.parquet").read_bytes() + (tmp_path / "c.csv").read_bytes())
    assert written[0] == written[1] == written[2]


def test_workers_in_other_processes_find_the_same_pairs(positions, expected, tmp_path, monkeypatch):
    # what Slurm's jobs run, started here: everything goes through pickles and files
    scaled = []

    class Cluster(distributed.LocalCluster):
        def scale(self, n=0, jobs=None):
            scaled.append(jobs or n)
            return super().scale(1 if jobs else n)

    monkeypatch.setenv("PYTHONPATH", str(LIBRARY.parent))
    options = {"n_workers": 0, "threads_per_worker": 1, "dashboard_address": ":0"}
    monkeypatch.setattr(by_lsdb, "slurm_cluster", lambda setting: Cluster(**options))
    dask = Dask(where="slurm", workers=3).plain()
    found = by_lsdb.pairs(*positions, 1.0, dask, folder=tmp_path, rows=4_000)
    assert scaled == [3, 0]
    pd.testing.assert_frame_equal(found[["left", "right"]], expected[["left", "right"]])


def test_slurm_jobs_ask_for_what_the_setting_says():
    dask = Dask(where="slurm", workers=4, threads=3, memory="12GB", queue="cpu", account="astro", walltime="01:30:00")
    with by_lsdb.slurm_cluster(dask.plain()) as cluster:
        script = cluster.job_script()
        assert not cluster.workers  # nothing is submitted before it is scaled
    for line in ("-p cpu", "-A astro", "-t 01:30:00", "--cpus-per-task=3", "--mem=12G"):
        assert f"#SBATCH {line}" in script, script
    assert "--nthreads 3" in script and "workflow:$PYTHONPATH" in script
