"""Galaxies of a tile on each other's cutouts."""

import numpy as np
import pytest

from skyloom.formats.legacy import PIXEL_SCALE, read_cutout_catalog, read_cutouts
from skyloom.mock.instruments.images.camera import LEGACY
from skyloom.mock.instruments.images.images import IMAGE_FIELDS
from skyloom.mock.instruments.images.structure import draw_knots
from skyloom.mock.survey import blocks
from skyloom.mock.survey.beside import CUTOUT, Beside
from skyloom.mock.survey.tile import BLOCKS, plan
from skyloom.mock.survey.truth import read_truth
from tests.conftest import CONFIG, WHOLE

DENSE = {**CONFIG, "targets_per_tile": {"bgs": 900}, "seed": 2}


@pytest.fixture(scope="module")
def dense(grid):
    tile = plan(WHOLE, "bright", DENSE, grid)
    return tile, find(tile, DENSE)


def find(tile, config):
    return Beside.of(tile, config, LEGACY, lambda number: tile.stream(BLOCKS + number, blocks.SCENE), blocks.SIZE)


def offsets(tile):
    """Offsets (n, n) of galaxies (second) from galaxies (first), arcsec to the west and to the north."""
    x = -(tile.ra[None] - tile.ra[:, None]) * np.cos(np.radians(tile.dec[:, None])) * 3600
    return x, (tile.dec[None] - tile.dec[:, None]) * 3600


def test_all_pairs_within_a_cutout_are_found_once_at_their_place(dense):
    tile, beside = dense
    x, y = offsets(tile)
    near = (np.maximum(np.abs(x), np.abs(y)) < CUTOUT / 2) & ~np.eye(len(x), dtype=bool)
    found = np.zeros_like(near)
    found[beside.target, beside.other] = True
    assert found.sum() == len(beside.target) and not np.diag(found).any()
    assert (found | ~near).all() and 50 < near.sum() < found.sum() < 4 * near.sum()
    np.testing.assert_allclose(beside.x, x[beside.target, beside.other], atol=1e-6)
    np.testing.assert_allclose(beside.y, y[beside.target, beside.other], atol=1e-6)
    far = np.hypot(beside.x, beside.y) > 2 * CUTOUT  # nobody but the largest is seen from there
    assert far.mean() < 0.05


def test_pairs_of_rows_in_any_order(dense):
    _, beside = dense
    for rows in (np.arange(64, 128), np.array([300, 5, 5, 7])):
        cutout, pair = beside.around(rows)
        expected = [(i, p) for i, row in enumerate(rows) for p in np.flatnonzero(beside.target == row)]
        assert list(zip(cutout.tolist(), pair.tolist(), strict=True)) == expected
    assert len(pair) == sum(np.count_nonzero(beside.target == row) for row in rows)


def test_knots_are_those_of_the_galaxies_own_cutouts(dense):
    tile, beside = dense
    rows = slice(blocks.SIZE, 2 * blocks.SIZE)
    shape = {name: getattr(tile.population, name)[rows] for name in IMAGE_FIELDS}
    own = draw_knots(shape, tile.stream(BLOCKS + 1, blocks.SCENE))
    np.testing.assert_array_equal(beside.knots[rows].x, own.x)
    np.testing.assert_array_equal(beside.knots[rows].weight, own.weight)


def test_the_catalogue_provides_most_bright_galaxies_and_no_faint_ones(dense):
    _, beside = dense  # the Bright Galaxy Survey with its Faint sample, to r = 20.175, not as dense as the sky
    assert beside.provided(np.array([18.6, 19.1])).mean() > 0.5
    assert not beside.provided(np.array([21.0, 22.0, 24.0])).any()


def test_without_neighbours_there_are_none(dense):
    tile, _ = dense
    assert len(find(tile, {**DENSE, "neighbours": 0.0}).target) == 0


def test_neighbours_are_on_the_images_with_their_flux(make):
    """Light in an aperture around the place of a galaxy, on another one's cutout and on its own."""
    files = make("bright", {**DENSE, "artefact_rate": 0.0, "image_calibration": 0.0, "neighbours": 1e-6}, seed=2)
    truth, _ = read_truth(files["truth"])
    table = read_cutout_catalog(files["images"])
    row = {}  # of the galaxy in the file: the nearest to its true place
    place = np.stack([(truth["ra"] - 225) * np.cos(np.radians(truth["dec"])), truth["dec"]], axis=1) * 3600
    listed = np.stack([(np.asarray(table["ra"]) - 225) * np.cos(np.radians(table["dec"])), table["dec"]], axis=1) * 3600
    for galaxy, here in enumerate(place):
        distance = np.hypot(*(listed - here).T)
        if distance.min() < 0.5:
            row[galaxy] = int(np.argmin(distance))
    apart = np.hypot(*(place[None] - place[:, None]).transpose(2, 0, 1))
    alone = (apart < 15).sum(axis=0) == 2
    pairs = np.argwhere((apart > 8) & (apart < 14) & alone & (np.asarray(truth["flux_r"]) > 15))
    ratios = []
    for target, other in pairs:
        if target in row and other in row:
            x, y = place[other] - place[target]
            images = read_cutouts(files["images"], [row[target], row[other]])[:, 1]
            ratios.append(aperture(images[0], -x, y) / aperture(images[1], 0.0, 0.0))
    assert len(ratios) > 6
    assert np.median(ratios) == pytest.approx(1, abs=0.04) and np.std(ratios) < 0.15


def aperture(image, x, y, radius=3.0):
    """Light within `radius` arcsec of a place `x` to the west and `y` to the north of the middle."""
    rows, columns = (np.mgrid[: LEGACY.size, : LEGACY.size] - (LEGACY.size - 1) / 2) * PIXEL_SCALE
    return image[np.hypot(columns - x, rows - y) < radius].sum()
