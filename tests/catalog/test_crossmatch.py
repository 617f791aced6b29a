"""The cross-match against astropy, and where spheres are awkward: poles, wrap, corners, ties, missing positions."""

import logging

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, search_around_sky
from astropy_healpix import lonlat_to_healpix

from skyloom.catalog import crossmatch as module
from skyloom.catalog.crossmatch import crossmatch, nested_pixel, pairs
from skyloom.core.errors import BadConfig, BadInput
from tests.bench.bench_crossmatch import catalogues


@pytest.mark.parametrize("radius", [0.1, 1.0, 40.0])
def test_nearest_match_is_astropys(radius):
    ra, dec, other_ra, other_dec = catalogues(20_000)
    found = crossmatch(ra, dec, other_ra, other_dec, radius)
    index, separation, _ = SkyCoord(ra, dec, unit="deg").match_to_catalog_sky(SkyCoord(other_ra, other_dec, unit="deg"))
    within = np.flatnonzero(separation.arcsec <= radius)
    assert 1000 < len(within)
    np.testing.assert_array_equal(found["left"], within)
    np.testing.assert_array_equal(found["right"], index[within])
    np.testing.assert_allclose(found["separation_arcsec"], separation.arcsec[within], rtol=0, atol=1e-8)


@pytest.mark.parametrize("larger", ["left", "right"])
def test_all_pairs_are_astropys(larger):
    ra, dec, other_ra, other_dec = catalogues(4_000)
    keep = slice(2_500)
    left, right = ((ra, dec), (other_ra[keep], other_dec[keep]))
    if larger == "right":
        left, right = right, left
    found = pairs(*left, *right, 120.0)
    one, two, _, _ = search_around_sky(SkyCoord(*left, unit="deg"), SkyCoord(*right, unit="deg"), 120 * u.arcsec)
    order = np.lexsort((two, one))
    assert len(found) > 5_000
    np.testing.assert_array_equal(found[["left", "right"]], np.stack([one[order], two[order]], axis=1))


# Where a coordinate of the unit vector is 0 or 1 and cubes meet, the poles, and anywhere.
PLACES = {
    "corner": lambda rng, n: (90 * rng.integers(0, 4, n) + 45.0, np.full(n, 0.0)),
    "three": lambda rng, n: (90.0 * rng.integers(0, 4, n), np.full(n, np.degrees(np.arcsin(2 / 3)))),
    "seam": lambda rng, n: (90.0 * rng.integers(0, 4, n), -rng.uniform(42, 90, n)),
    "belt": lambda rng, n: (rng.uniform(0, 360, n), np.full(n, np.degrees(np.arcsin(2 / 3)))),
    "pole": lambda rng, n: (np.zeros(n), np.full(n, -90.0)),
    "sky": lambda rng, n: (rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))),
}


@pytest.mark.parametrize("radius", [0.5, 20.0, 3000.0])
@pytest.mark.parametrize("place", PLACES)
def test_partner_at_almost_the_radius_is_never_missed(place, radius):
    # 20,000 centres around the place, each with one partner at 0.999 radii in a random direction.
    rng = np.random.default_rng(3)
    n = 20_000
    ra, dec = PLACES[place](rng, n)
    spread = 12 * radius / 3600 * rng.normal(size=(2, n))
    near = SkyCoord(ra * u.deg, dec * u.deg).spherical_offsets_by(*(spread * u.deg))
    other = near.directional_offset_by(rng.uniform(0, 360, n) * u.deg, 0.999 * radius * u.arcsec)
    chord = 2 * np.sin(radius * module.ARCSEC / 2)
    width = module._width(chord)
    start = module._positions("left", near.ra.deg, near.dec.deg, width)
    target = module._positions("right", other.ra.deg, other.dec.deg, width).cell
    row, cell = module._touched(start.vector, width, chord + module.ROUNDING)
    covered = np.zeros(n, bool)
    covered[row[cell == target[row]]] = True
    assert covered.all()
    assert not pd.DataFrame({"cell": cell, "row": row}).duplicated().any()


def test_threads_of_duckdb_are_those_asked_for_and_change_nothing(monkeypatch):
    positions = catalogues(20_000)
    seen = []
    connect = module.duckdb.connect

    def watched(**options):
        connection = connect(**options)
        seen.extend(connection.execute("SELECT current_setting('threads')").fetchall()[0])
        return connection

    monkeypatch.setattr(module.duckdb, "connect", watched)
    one, two = (crossmatch(*positions, 1.0, threads=n) for n in (1, 2))
    crossmatch(*positions, 1.0)
    assert seen == [1, 2, 1]
    assert one.equals(two) and len(one) > 1000


def test_right_ascensions_wrap_however_often():
    ra, dec, other_ra, other_dec = catalogues(5_000)
    turns = 360.0 * np.random.default_rng(1).integers(-2, 3, len(ra))
    found, again = (crossmatch(x, dec, other_ra, other_dec, 1.0) for x in (ra, ra + turns))
    assert len(found) > 1000
    np.testing.assert_array_equal(found[["left", "right"]], again[["left", "right"]])


def test_poles_and_wrap_are_ordinary_places():
    arcsec = 1 / 3600
    left_ra, left_dec = [359.9999999, 12.0, 200.0, -0.0001], [0.0, 90.0, -90 + 0.3 * arcsec, 10.0]
    right_ra, right_dec = [0.00000005, 281.0, 20.0, 359.9999], [0.0, 90 - 0.4 * arcsec, -90 + 0.3 * arcsec, 10.0]
    found = crossmatch(left_ra, left_dec, right_ra, right_dec, 1.0)
    np.testing.assert_array_equal(found[["left", "right"]], [[0, 0], [1, 1], [2, 2], [3, 3]])
    np.testing.assert_allclose(found["separation_arcsec"], [1.5e-7 * 3600, 0.4, 0.6, 0.0], atol=1e-6)


def test_separations_are_exact_far_below_an_arcsecond():
    offset = np.array([1e-6, 1e-4, 1e-2])  # arcsec
    dec = np.array([0.0, 60.0, 89.99])
    found = crossmatch([150.0] * 3, dec, [150.0] * 3, dec + offset / 3600, 0.05)
    np.testing.assert_allclose(found["separation_arcsec"], offset, rtol=0, atol=1e-9)


def test_missing_positions_never_match_and_are_counted(caplog):
    left = np.ma.array([10.0, np.nan, np.inf, 10.0], mask=[False, False, False, True])
    with caplog.at_level(logging.INFO):
        found = crossmatch(left, [0.0, 0.0, 0.0, 0.0], [10.0, np.nan, 10.0], [0.0, 0.0, np.nan], 1.0)
    np.testing.assert_array_equal(found[["left", "right"]], [[0, 0]])
    assert "left catalogue: 3 of 4 positions not finite" in caplog.text
    assert "right catalogue: 2 of 3 positions not finite" in caplog.text


@pytest.mark.parametrize("one_to_one", [False, True])
@pytest.mark.parametrize(("n", "m"), [(0, 3), (3, 0), (0, 0)])
def test_empty_catalogues_match_nothing(n, m, one_to_one):
    found = crossmatch(np.zeros(n), np.zeros(n), np.zeros(m), np.zeros(m), 1.0, one_to_one)
    assert len(found) == 0
    assert list(found.dtypes.astype(str)) == ["int64", "int64", "float64"]


def test_ties_go_to_the_first_row():
    same = np.full(3, 5.0)
    found = crossmatch(same, same, same, same, 1.0)
    np.testing.assert_array_equal(found["right"], [0, 0, 0])
    found = crossmatch(same, same, same[:2], same[:2], 1.0, one_to_one=True)
    np.testing.assert_array_equal(found[["left", "right"]], [[0, 0], [1, 1]])


def test_one_to_one_gives_the_loser_its_next_nearest():
    # Along a meridian, in arcsec: left 0.0 and 0.4; right 0.3 and -0.8. The second is closer to the first right one.
    found = crossmatch([0, 0], [0, 0.4 / 3600], [0, 0], [0.3 / 3600, -0.8 / 3600], 1.0, one_to_one=True)
    np.testing.assert_array_equal(found[["left", "right"]], [[0, 1], [1, 0]])
    found = crossmatch([0, 0], [0, 0.4 / 3600], [0, 0], [0.3 / 3600, -1.1 / 3600], 1.0, one_to_one=True)
    np.testing.assert_array_equal(found[["left", "right"]], [[1, 0]])


def test_one_to_one_is_the_greedy_choice_pair_by_pair():
    rng = np.random.default_rng(11)
    left, right = rng.uniform(0, 20 / 3600, (2, 300)), rng.uniform(0, 20 / 3600, (2, 250))
    found = crossmatch(*left, *right, 2.0, one_to_one=True)
    expected, taken_left, taken_right = {}, set(), set()
    for pair in pairs(*left, *right, 2.0).sort_values("separation_arcsec").itertuples():
        if pair.left not in taken_left and pair.right not in taken_right:
            expected[pair.left] = pair.right
            taken_left.add(pair.left)
            taken_right.add(pair.right)
    assert 150 < len(expected) <= 250
    assert dict(zip(found["left"], found["right"], strict=True)) == expected


def test_order_of_rows_does_not_matter():
    ra, dec, other_ra, other_dec = catalogues(2_000)
    shuffled = np.random.default_rng(2).permutation(len(ra))
    found = crossmatch(ra, dec, other_ra, other_dec, 1.0, one_to_one=True)
    again = crossmatch(ra[shuffled], dec[shuffled], other_ra, other_dec, 1.0, one_to_one=True)
    again["left"] = shuffled[again["left"]]
    np.testing.assert_array_equal(found, again.sort_values("left"))


def test_impossible_input_is_refused():
    with pytest.raises(BadInput, match="right catalogue: 1 declinations beyond 90 degrees, first 90.5 in row 1"):
        crossmatch([0.0], [0.0], [0.0, 0.0], [0.0, 90.5], 1.0)
    with pytest.raises(BadInput, match="left catalogue: RA has shape"):
        crossmatch([0.0, 1.0], [0.0], [0.0], [0.0], 1.0)
    for radius in (0, -1, 1e5, np.nan):
        with pytest.raises(BadConfig, match="cross-match radius"):
            crossmatch([0.0], [0.0], [0.0], [0.0], radius)


def test_pixel_of_a_position_that_is_missing_is_none():
    pixel = nested_pixel([10.0, np.nan, -350.0], [20.0, 0.0, 20.0], 64)
    assert pixel[1] == -1
    assert pixel[0] == pixel[2] == lonlat_to_healpix(10 * u.deg, 20 * u.deg, 64, order="nested")
