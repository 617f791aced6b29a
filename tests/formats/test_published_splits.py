"""Splits as files state them: by their names, and AstroCLIP's by the order of the rows."""

import pytest

from skyloom.formats import published_splits


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("data/train-00000-of-00120.parquet", "train"),
        ("data/validation-00001-of-00026.parquet", "validation"),
        ("5x64x64_testing_with_morphology.hdf5", "test"),
        ("5x127x127_training_with_morphology.hdf5", "train"),
        ("mine/test/part-7.parquet", "test"),
        ("my_test_runs/part-7.parquet", ""),
        ("astroclip_desi.1.1.5.h5", ""),
        ("train_and_test.h5", ""),
        ("latest.h5", ""),
    ],
)
def test_a_name_says_the_split_in_one_of_its_words(path, split):
    assert published_splits.of_name(path) == split


def test_of_each_group_of_astroclip_the_first_four_fifths_train():
    found = published_splits.of_astroclip([10, 0, 3]).tolist()
    assert found == ["train"] * 8 + ["test"] * 2 + ["train"] * 2 + ["test"]
    assert len(published_splits.of_astroclip([])) == 0
