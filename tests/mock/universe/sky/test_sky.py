"""Positions against the two-point function they are drawn from, and identifiers against DESI's own code."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy_healpix import lonlat_to_healpix, neighbours
from scipy.spatial import cKDTree

from skyloom.core.errors import BadConfig
from skyloom.mock.footprint import FIRST, NSIDE, TILE_AREA, tile_pixels
from skyloom.mock.layout import TARGETS
from skyloom.mock.universe.sky import bricks, coverage, sky

WHOLE = FIRST + 3  # a tile that the edge does not cross


def pixel(ra, dec):
    return lonlat_to_healpix(ra * units.deg, dec * units.deg, NSIDE, order="nested")


def vectors(ra, dec):
    return SkyCoord(ra, dec, unit="deg").cartesian.xyz.value.T


@pytest.mark.parametrize("hpix", [FIRST, FIRST + 1, WHOLE])
def test_positions_are_in_their_tile_and_footprint(hpix):
    ra, dec, group = sky.positions(hpix, 300, np.random.default_rng(1), {"seed": 2})
    assert ra.shape == dec.shape == group.shape == (300,)
    assert (pixel(ra, dec) == hpix).all() and coverage.inside(ra, dec, 2).all()
    again = sky.positions(hpix, 300, np.random.default_rng(1), {"seed": 2})
    np.testing.assert_array_equal(again, (ra, dec, group))


def test_clustering_is_the_stated_two_point_function(monkeypatch):
    monkeypatch.setattr(sky, "DENSITY_SCATTER", 0.0)
    edges = np.array([0.0, 0.01, 0.02, 0.03, 0.045])
    radii = 2 * np.sin(np.radians(edges) / 2)
    rng = np.random.default_rng(3)
    uniform = cKDTree(vectors(*sky._scattered(WHOLE, 20000, rng, 2)))
    chance = np.diff(uniform.count_neighbors(uniform, radii)) / (20000 * 19999)
    measured = []
    for _ in range(12):
        tree = cKDTree(vectors(*sky.positions(WHOLE, 2500, rng, {"seed": 2})[:2]))
        measured.append(np.diff(tree.count_neighbors(tree, radii)) / (2500 * 2499) / chance - 1)
    # mean of w over each ring, weighted by area
    fine = np.linspace(edges[:-1], edges[1:], 200)
    expected = (sky.angular_correlation(fine) * fine).sum(axis=0) / fine.sum(axis=0)
    error = np.std(measured, axis=0, ddof=1) / np.sqrt(len(measured))
    assert (np.abs(np.mean(measured, axis=0) - expected) < 4 * error + 0.03 * expected).all()
    assert expected[0] > 10 * error[0]


def test_groups_are_listed_first_and_are_close_on_the_sky():
    ra, dec, group = sky.positions(WHOLE, 2000, np.random.default_rng(1), {})
    inside = np.sum(group >= 0)
    assert inside == pytest.approx(sky.CLUSTERED * 2000, abs=100)
    assert (np.diff(group[:inside]) >= 0).all() and (group[inside:] == -1).all()
    first = np.flatnonzero(np.bincount(group[:inside]) > 5)[0]
    places = vectors(ra, dec)[group == first]
    assert np.degrees(np.std(places, axis=0)).max() < 2 * sky.GROUP_SIZE


def test_density_changes_smoothly_from_tile_to_tile_and_by_a_quarter_over_the_sky():
    rng = np.random.default_rng(0)
    ra, dec = rng.uniform(210, 250, 3000), rng.uniform(20, 60, 3000)
    density = sky._density(ra, dec, 1)
    assert density.std() == pytest.approx(0.25, abs=0.08) and density.min() > 0
    assert np.abs(sky._density(ra, dec + 0.05, 1) - density).max() < 0.1


def test_the_edge_cuts_tiles_of_the_first_row_by_its_share():
    row = sum(not coverage.inside(*coverage.grid_of_tile(hpix), 0).all() for hpix in tile_pixels(4))
    assert row >= 2
    without_holes = 1 - coverage.EDGE
    assert coverage.covered_fraction(FIRST, 0) == pytest.approx(without_holes, abs=0.1)
    assert coverage.covered_fraction(WHOLE, 0) > 0.85


def test_holes_are_empty_also_across_tile_borders():
    for hpix in tile_pixels(16):
        for ra, dec, radius in zip(*coverage.holes(hpix, 3), strict=True):
            angle = np.linspace(0, 2 * np.pi, 40)
            north, east = radius * np.cos(angle), radius * np.sin(angle) / np.cos(np.radians(dec))
            assert not coverage.inside(ra + 0.98 * east, dec + 0.98 * north, 3).any()


def test_distance_to_the_border_is_that_to_the_nearest_place_outside():
    for hpix in (FIRST, WHOLE):
        ra, dec, _ = sky.positions(hpix, 60, np.random.default_rng(4), {"seed": 2})
        distance = coverage.distance_to_border(hpix, ra, dec, 2)
        angle = np.linspace(0, 2 * np.pi, 73)
        for share, free in ((0.98, True), (1.05, False)):
            # a circle just inside is free, one just outside is not; .005 degrees are the sampling
            radius = np.maximum(share * distance - 0.005 if free else share * distance + 0.01, 0)
            north, east = radius[:, None] * np.cos(angle), radius[:, None] * np.sin(angle)
            at_ra = (ra[:, None] + east / np.cos(np.radians(dec))[:, None]).ravel()
            at_dec = (dec[:, None] + north).ravel()
            good = (pixel(at_ra, at_dec) == hpix) & coverage.inside(at_ra, at_dec, 2)
            good = good.reshape(len(ra), -1)
            assert good.all() if free else (~good).any(axis=1).mean() > 0.95


def test_expected_count_scales_with_the_area_left():
    counts = [sky.expected_count(hpix, 1e6, {"seed": 2}) for hpix in (FIRST, WHOLE)]
    areas = [coverage.covered_fraction(hpix, 2) for hpix in (FIRST, WHOLE)]
    assert counts[0] / counts[1] == pytest.approx(areas[0] / areas[1], rel=0.3)
    assert counts[0] < counts[1]


def test_a_tile_outside_the_footprint_is_refused():
    outside = int(pixel(np.array([240.0]), np.array([-30.0]))[0])
    with pytest.raises(BadConfig, match="outside the mock survey's footprint"):
        sky.positions(outside, 10, np.random.default_rng(0), {})


@pytest.mark.parametrize("n", [1, 3, 6, 21, 64])
def test_tiles_are_one_connected_patch_that_grows(n):
    tiles = tile_pixels(n)
    assert len(set(tiles)) == n and tiles == tile_pixels(n + 1)[:n]
    reached, border = {tiles[0]}, [tiles[0]]
    while border:
        found = {int(p) for p in neighbours(border.pop(), NSIDE, order="nested")} & set(tiles) - reached
        reached |= found
        border += found
    assert reached == set(tiles)


@pytest.mark.parametrize("n", [0, -1, 4097])
def test_a_survey_has_between_one_and_4096_tiles(n):
    with pytest.raises(BadConfig, match="expected 1 to 4096"):
        tile_pixels(n)


def test_choosing_tiles_imports_nothing_heavy():
    code = "import sys; from skyloom.mock.footprint import tile_pixels; print('numpy' in sys.modules)"
    path = str(next(p for p in sys.path if p.endswith("workflow")))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": path})
    assert done.stdout.strip() == "False", done.stderr


def test_tile_area_is_that_of_the_pixelisation():
    assert TILE_AREA * 12 * NSIDE**2 == pytest.approx(4 * np.pi * np.degrees(1) ** 2)


def test_catalogues_differ_as_stated():
    ra, dec, _ = sky.positions(WHOLE, 5000, np.random.default_rng(0), {})
    config = {"one_sided": 0.1, "duplicates": 0.05, "astrometric_scatter": 0.1}
    imaging, spectroscopy = sky.catalog_scatter(ra, dec, WHOLE, "bright", np.random.default_rng(1), config)
    again = sky.catalog_scatter(ra, dec, WHOLE, "bright", np.random.default_rng(1), config)
    np.testing.assert_array_equal(imaging.ra, again[0].ra)

    first = ~imaging.duplicate
    missing = [set(range(5000)) - set(catalogue.source) for catalogue in (imaging, spectroscopy)]
    assert all(180 < len(lost) < 320 for lost in missing) and not missing[0] & missing[1]
    assert len(np.unique(imaging.source[first])) == first.sum() and not spectroscopy.duplicate.any()

    east = (imaging.ra - ra[imaging.source]) * np.cos(np.radians(dec[imaging.source])) * 3600
    robust = np.median(np.abs(east[first])) * 1.4826
    assert robust == pytest.approx(0.1, rel=0.1)

    place = SkyCoord(imaging.ra, imaging.dec, unit="deg")
    row = {imaging.source[i]: i for i in np.flatnonzero(first)}
    twice = np.flatnonzero(imaging.duplicate)
    apart = place[twice].separation(place[[row[s] for s in imaging.source[twice]]]).arcsec
    assert 180 < len(twice) < 320 and 0.09 < apart.min() and apart.max() < 0.301


def test_another_imaging_survey_misses_others_and_has_errors_of_its_own():
    ra, dec, _ = sky.positions(WHOLE, 3000, np.random.default_rng(0), {})
    config = {"one_sided": 0.1, "astrometric_scatter": 0.1}
    imaging, _ = sky.catalog_scatter(ra, dec, WHOLE, "bright", np.random.default_rng(1), config)
    second = sky.second_imaging(ra, dec, WHOLE, "bright", np.random.default_rng(2), config)
    lost = set(range(3000)) - set(second.source)
    assert 100 < len(lost) < 200 and len(lost - (set(range(3000)) - set(imaging.source))) > 80
    east = (second.ra - ra[second.source]) * np.cos(np.radians(dec[second.source])) * 3600
    assert np.median(np.abs(east)) * 1.4826 == pytest.approx(0.1, rel=0.1)


def test_identifiers_are_unique_also_where_bricks_straddle_tiles():
    ids, shared = [], []
    for hpix, program in itertools.product(tile_pixels(6), TARGETS):
        ra, dec, _ = sky.positions(hpix, 1500, np.random.default_rng(hpix), {})
        imaging, _ = sky.catalog_scatter(ra, dec, hpix, program, np.random.default_rng(1), {})
        ids.append(bricks.encode_targetid(imaging.release, imaging.brickid, imaging.objid))
        shared.append(np.unique(imaging.brickid))
        assert imaging.objid.max() < 2**22
    ids, shared = np.concatenate(ids), np.concatenate(shared)
    assert len(np.unique(ids)) == len(ids)
    assert len(np.unique(shared)) < len(shared)  # there were bricks to get wrong


def test_targetid_decodes_to_its_parts():
    packed = bricks.encode_targetid(9010, np.array([1, 662173]), np.array([0, 2**22 - 1]))
    assert packed.dtype == np.int64
    np.testing.assert_array_equal(packed & (2**22 - 1), [0, 2**22 - 1])
    np.testing.assert_array_equal(packed >> 22 & (2**20 - 1), [1, 662173])
    np.testing.assert_array_equal(packed >> 42, [9010, 9010])
