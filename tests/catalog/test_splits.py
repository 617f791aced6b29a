"""Nothing leaks between splits, and a growing survey keeps the splits it has."""

import logging

import numpy as np
import pytest

from skyloom.catalog.crossmatch import nested_pixel, pairs
from skyloom.catalog.splits import SPLITS, apart, crop_side, groups, published, shared_sky, split, uniform
from skyloom.core.errors import BadConfig, BadInput

FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}
EVEN = {"train": 0.4, "validation": 0.3, "test": 0.3}
ARCSEC = 1 / 3600


def crowded_sky(n=4000, seed=5):
    """Identifiers and positions with many close pairs: clumps at a pole, the wrap, a corner of pixels, elsewhere."""
    rng = np.random.default_rng(seed)
    places = np.array([[0.0, 90.0], [0.0, 0.0], [45.0, 0.0], [200.0, -41.8]])
    ra, dec = places[rng.integers(4, size=n)].T
    offset = rng.uniform(-60, 60, (2, n)) * ARCSEC
    dec = np.where(dec == 90, 90 - np.abs(offset[0]), dec + offset[0])
    ra = np.where(dec > 89, rng.uniform(0, 360, n), ra + offset[1]) % 360
    return rng.integers(1, n, n), ra, dec


@pytest.mark.parametrize("kind", ["random", "healpix"])
def test_neither_close_pairs_nor_equal_targets_are_parted(kind):
    targetid, ra, dec = crowded_sky()
    choice = split(targetid, ra, dec, EVEN, seed=1, kind=kind, nside=4096)
    close = pairs(ra, dec, ra, dec, 1.0)
    close = close[close["left"] < close["right"]]
    assert len(close) > 100
    assert (choice[close["left"]] == choice[close["right"]]).all()
    order = np.argsort(targetid, kind="stable")
    equal = np.flatnonzero(np.diff(targetid[order]) == 0)
    assert len(equal) > 1000
    assert (choice[order[equal]] == choice[order[equal + 1]]).all()


def test_chains_are_followed_to_their_end():
    # A chain of 50 galaxies 0.9" apart over the pole, and one galaxy elsewhere that is the same target as its last.
    dec = 90 - np.abs(np.arange(50) - 25) * 0.9 * ARCSEC
    ra = np.where(np.arange(50) < 25, 30.0, 210.0)
    group = groups(np.append(np.arange(50), 49), np.append(ra, 100.0), np.append(dec, 0.0), 1.0)
    assert len(set(group)) == 1
    assert len(set(groups(np.arange(50), ra, dec, 0.89))) == 50
    assert len(set(groups(np.arange(50) // 2, ra, dec, 0))) == 25


def test_close_pair_across_the_wrap_is_one_group():
    group = groups([1, 2, 3], [0.1 * ARCSEC, 360 - 0.1 * ARCSEC, 180.0], [0.0, 0.0, 0.0], 1.0)
    assert group[0] == group[1] != group[2]


def test_no_sky_pixel_is_in_two_splits():
    rng = np.random.default_rng(8)
    n = 20_000
    ra, dec = rng.uniform(150, 160, n), rng.uniform(0, 10, n)
    ra[1::40], dec[1::40] = ra[::40] + 0.5 * ARCSEC, dec[::40]  # pairs, some of them across pixel edges
    choice = split(np.arange(n), ra, dec, EVEN, seed=2, kind="healpix", nside=512)
    pixel = nested_pixel(ra, dec, 512)
    in_pixel = [set(choice[pixel == number]) for number in np.unique(pixel)]
    assert len(in_pixel) > 500
    assert all(len(found) == 1 for found in in_pixel)
    assert set(choice) == set(SPLITS)
    assert (pixel[::40] != pixel[1::40]).any()
    assert (choice[::40] == choice[1::40]).all()


@pytest.mark.parametrize("kind", ["random", "healpix"])
def test_fractions_are_met_within_sampling_noise(kind):
    rng = np.random.default_rng(0)
    n = 30_000
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    choice = split(rng.permutation(n), ra, dec, FRACTIONS, seed=3, kind=kind, nside=64)
    for name, fraction in FRACTIONS.items():
        noise = np.sqrt(n * fraction * (1 - fraction))  # pixels hold one galaxy on average, so 5 is ample for both
        assert abs((choice == name).sum() - n * fraction) < 5 * noise


def test_growing_survey_leaves_the_splits_of_others():
    rng = np.random.default_rng(4)
    n = 5_000
    targetid, ra, dec = rng.permutation(10 * n)[:n], rng.uniform(0, 360, n), rng.uniform(-60, 60, n)
    for kind in ("random", "healpix"):
        whole = split(targetid, ra, dec, EVEN, seed=9, kind=kind, nside=32)
        part = rng.permutation(n)[: n // 2]
        np.testing.assert_array_equal(split(targetid[part], ra[part], dec[part], EVEN, 9, kind, 32), whole[part])
        another = split(targetid, ra, dec, EVEN, seed=10, kind=kind, nside=32)
        assert 0.2 < (another == whole).mean() < 0.5  # 0.34 for independent draws


def test_hash_is_uniform_and_does_not_follow_the_identifier():
    value = uniform(7, np.arange(100_000))
    assert value.min() >= 0
    assert value.max() < 1
    counts = np.histogram(value, 100, (0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 160  # chi squared of 99 degrees of freedom; 0.01 % exceed it
    assert abs(np.corrcoef(value[1:], value[:-1])[0, 1]) < 0.015
    assert abs(np.corrcoef(value, uniform(8, np.arange(100_000)))[0, 1]) < 0.015


def test_missing_positions_are_grouped_by_target():
    nan = np.full(200, np.nan)
    for kind in ("random", "healpix"):
        choice = split(np.repeat(np.arange(100), 2), nan, nan, EVEN, seed=1, kind=kind)
        assert (choice[::2] == choice[1::2]).all()
        assert set(choice) == set(SPLITS)


def test_all_of_one_split_is_allowed_and_nothing_is_split_of_nothing():
    only_test = {"train": 0.0, "validation": 0.0, "test": 1.0}
    assert set(split(np.arange(50), np.arange(50.0), np.zeros(50), only_test, seed=1)) == {"test"}
    assert len(split([], [], [], only_test, seed=1)) == 0


def test_one_block_that_swallows_the_sky_is_reported(caplog):
    with caplog.at_level(logging.WARNING):
        split(np.arange(50), np.full(50, 10.0), np.linspace(0, 0.1, 50), EVEN, seed=1, kind="healpix", nside=4)
    assert "one block of pixels holds 100 % of the galaxies" in caplog.text


@pytest.mark.parametrize(
    "fractions", [{"train": 0.8, "test": 0.1}, {"train": 1.2, "test": -0.2}, {"train": 0.5, "hold_out": 0.5}]
)
def test_impossible_fractions_are_refused(fractions):
    with pytest.raises(BadConfig, match="split fractions"):
        split([1], [0.0], [0.0], fractions, seed=1)


def test_unknown_kind_is_refused():
    with pytest.raises(BadConfig, match="split kind 'blocks': expected one of random, healpix"):
        split([1], [0.0], [0.0], EVEN, seed=1, kind="blocks")


def test_shared_sky_counts_test_galaxies_whose_square_overlaps_a_training_ones():
    # offsets in arcsec from a training galaxy at the wrap of right ascension, 60 degrees north; squares of 20"
    east = np.array([0.0, 19.9, 20.1, 19.9, -19.9, 0.0, 200.0])
    north = np.array([0.0, 19.9, 0.0, -20.1, 0.0, -5.0, 0.0])
    ra = (east * ARCSEC / np.cos(np.radians(60))) % 360
    choice = np.array(["train", "test", "test", "test", "test", "validation", "test"])
    assert shared_sky(ra, 60 + north * ARCSEC, choice, 20.0) == pytest.approx(2 / 5)
    assert shared_sky(ra, 60 + north * ARCSEC, choice, 0.0) == 0
    assert np.isnan(shared_sky(ra[:1], [60.0], choice[:1], 20.0))
    assert np.isnan(shared_sky(np.full(5, np.nan), np.full(5, np.nan), ["test", "train"] * 2 + ["test"], 20.0))
    assert shared_sky(ra[1:], 60 + north[1:] * ARCSEC, choice[1:], 20.0) == 0


def test_what_is_further_apart_than_the_diagonal_shares_nothing():
    targetid, ra, dec = crowded_sky()
    inside = np.abs(dec) < 80  # squares along ra and dec make no sense at the pole
    targetid, ra, dec = np.arange(inside.sum()), ra[inside], dec[inside]
    assert shared_sky(ra, dec, split(targetid, ra, dec, EVEN, seed=1, separation_arcsec=1.0), 2.0) > 0.05
    assert shared_sky(ra, dec, split(targetid, ra, dec, EVEN, seed=1, separation_arcsec=apart(2.0)), 2.0) == 0


def test_the_largest_image_among_the_modalities_counts():
    survey = {"modalities": ["spectrum", "image", "hsc_image"], "crop": 96, "hsc_size": 64}
    assert crop_side(survey) == pytest.approx(25.152)
    assert crop_side(survey | {"crop": 32}) == pytest.approx(64 * 0.168)
    assert crop_side({"modalities": ["image"]}) == pytest.approx(152 * 0.262)
    assert crop_side({"modalities": ["spectrum"], "crop": 96}) == 0


def test_published_splits_stay_as_they_are_and_validation_is_drawn_from_train_where_there_is_none():
    n = 2000
    targetid, nowhere = np.arange(n) + 5, np.full(n, np.nan)
    stated = np.where(np.arange(n) % 5 == 4, "test", "train").astype("U10")
    wanted = {"fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}}
    choice = published(targetid, nowhere, nowhere, stated, 1, wanted)
    assert ((choice == "test") == (stated == "test")).all()
    share = (choice == "validation").sum() / (stated == "train").sum()
    assert abs(share - 0.25) < 4 * (0.25 * 0.75 / 1600) ** 0.5  # validation / (train + validation)
    assert (published(targetid, nowhere, nowhere, stated, 2, wanted) != choice).any()
    fewer = published(targetid[:900], nowhere[:900], nowhere[:900], stated[:900], 1, wanted)
    np.testing.assert_array_equal(fewer, choice[:900])
    stated[:10] = "validation"  # stated: nothing is drawn
    np.testing.assert_array_equal(published(targetid, nowhere, nowhere, stated, 1, wanted), stated)
    stated[7] = "somewhere"
    with pytest.raises(BadInput, match="of 1 of 2000 galaxies no file says the split"):
        published(targetid, nowhere, nowhere, stated, 1, wanted)


def test_published_splits_that_share_an_object_or_sky_are_mended_in_favour_of_test(caplog):
    targetid = np.array([1, 1, 2, 3, 4, 5, 6])
    ra, dec = np.array([0, 10, 20, 20, 30, 30, 40.0]), np.zeros(7)
    dec[[3, 5]] = 0.5 * ARCSEC
    stated = np.array(["train", "test", "validation", "train", "train", "train", "train"])
    choice = published(targetid, ra, dec, stated, 1, {"fractions": {"train": 1.0}})
    assert choice.tolist() == ["test", "test", "validation", "validation", "train", "train", "train"]
    assert "2 galaxies are moved" in caplog.text
