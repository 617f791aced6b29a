"""Files named by their URL: where they are put, and what is refused before the first job."""

import pytest

from skyloom.core.errors import BadConfig
from skyloom.settings import kinds
from skyloom.settings.section import parse
from skyloom.surveys.common import web

URL = "https://host:8080/a/b.h5"


def files(*names: str):
    kind = kinds.find("survey", "spectra", "kind")
    return kind.raw_files(parse(kind.settings, {"kind": "spectra", "files": list(names)}, "surveys.own"))


def test_a_url_has_its_place_its_checksum_and_a_part_of_its_own():
    assert web.place(f"{URL}#md5={'0' * 32}") == "results/downloads/web/https/host+8080/a/b.h5"
    assert web.checksum(f"{URL}#md5={'0' * 32}") == f"md5:{'0' * 32}" and web.checksum(URL) == ""
    assert web.address(f"{URL}#md5={'0' * 32}") == URL
    assert len(files(URL, "http://host/c.h5", __file__)["spectra"]) == 3


@pytest.mark.parametrize(
    "name", ["https://host/", "https://host/*.h5", "https://host/a?b=c", f"{URL}#sha256=12", "https://host/../a.h5"]
)
def test_what_is_no_file_or_no_checksum_is_refused(name):
    with pytest.raises(BadConfig, match="surveys.own.files: "):
        files(name)
