"""Manifests stand for files that are too many to be named one by one."""

import pytest

from skyloom.core.errors import BadInput
from skyloom.surveys.common.manifest import files_by_role, files_of, write_manifest


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Two image files and their manifest, by paths as the workflow names them."""
    monkeypatch.chdir(tmp_path)
    paths = [f"raw/images/{name}.h5" for name in "ab"]
    (tmp_path / "raw/images").mkdir(parents=True)
    for path in paths:
        (tmp_path / path).write_text(path)
    write_manifest(paths[::-1], "raw/manifest-images.csv")
    return paths


def test_the_manifest_of_a_role_stands_for_its_files(images):
    given = {"coadd": ["raw/coadd.fits"], "images": ["raw/manifest-images.csv"], "hsc": []}
    assert files_by_role(given) == {"coadd": ["raw/coadd.fits"], "images": images, "hsc": []}


def test_a_file_that_was_deleted_is_named_with_the_way_to_have_it_again(images, tmp_path):
    (tmp_path / images[1]).unlink()
    with pytest.raises(BadInput, match=r"raw/images/b.h5: no longer there \(1 of the 2 files .*delete the manifest"):
        files_of("raw/manifest-images.csv")
