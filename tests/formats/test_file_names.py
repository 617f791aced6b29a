"""What files are called in catalogues: told apart by as little of their path as will do."""

from pathlib import Path

import pytest

from skyloom.core.errors import BadInput
from skyloom.formats.file_names import by_name, file_names, named, sorted_paths

PARTS = ("images_npix152_000000000_001000000.h5", "images_npix152_001000000_002000000.h5")
STEIN = [f"/data/{side}/{name}" for side in ("north", "south") for name in PARTS]
ALONE = "/data/south/images_npix152_002000000_003000000.h5"


def test_a_name_is_as_short_as_it_may_be():
    assert file_names(["/a/x.fits", "b/y.fits"]) == ["x.fits", "y.fits"]
    names = file_names([*STEIN, ALONE])
    assert names[0] == "north/images_npix152_000000000_001000000.h5"
    assert names[3] == "south/images_npix152_001000000_002000000.h5"
    assert names[4] == Path(ALONE).name
    assert file_names(["/1/a/x", "/2/a/x", "/1/b/x"]) == ["1/a/x", "2/a/x", "1/b/x"]


def test_every_name_leads_back_to_its_file_also_among_fewer_of_them():
    paths = [*STEIN, ALONE, "/x.h5", "/deep/x.h5"]
    names = dict(zip(paths, file_names(paths), strict=True))
    for some in (paths, paths[:1], paths[1:4], paths[::-2], paths[5:6]):
        found = by_name(some)
        for path in some:
            assert named(found, names[path]) == Path(path)
        for path in set(paths) - set(some):
            with pytest.raises(BadInput, match="not among"):
                named(found, names[path])


def test_the_order_does_not_depend_on_where_the_folder_is():
    here, there = ([f"{root}/{path}" for path in STEIN] for root in ("/a", "/z/y"))
    assert [path[2:] for path in sorted_paths(here[::-1])] == [path[4:] for path in sorted_paths(there)]
    assert [Path(path).name for path in sorted_paths(["/b/1", "/a/2"])] == ["1", "2"]


def test_a_file_given_twice_is_refused():
    with pytest.raises(BadInput, match="/data/x.h5: given twice"):
        file_names(["/data/x.h5", "/data/y.h5", "/data/../data/x.h5"])
