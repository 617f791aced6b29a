"""Files that a survey names by their URL: where the workflow puts them.

    https://a.archive/some/file.hdf5#sha256=...  ->  results/downloads/web/https/a.archive/some/file.hdf5

The checksum after # is verified, if there is one (sha256 or md5).
"""

import re
from urllib.parse import urlsplit

FOLDER = "results/downloads/web"
_CHECKSUM = re.compile(r"(sha256=[0-9a-f]{64}|md5=[0-9a-f]{32})?")


def is_url(path: str) -> bool:
    """Whether a path is the URL of a file."""
    return path.startswith(("http://", "https://"))


def fault(url: str) -> str:
    """What is wrong with a URL; empty if nothing is."""
    parts = urlsplit(url)
    if parts.query or not parts.netloc or parts.path.endswith("/") or "*" in url:
        return f"'{url}' is not the URL of a file; expected https://host/path/file, without ? and *"
    if ".." in parts.path or not _CHECKSUM.fullmatch(parts.fragment):
        return f"'{url}' ends in #{parts.fragment}; expected nothing, #sha256=... or #md5=..."
    return ""


def place(url: str) -> str:
    """Where the file is put."""
    parts = urlsplit(url)
    return f"{FOLDER}/{parts.scheme}/{parts.netloc.replace(':', '+')}{parts.path}"


def checksum(url: str) -> str:
    """The checksum that a URL states, as `skyloom.core.download.Remote` takes it."""
    return urlsplit(url).fragment.replace("=", ":")


def address(url: str) -> str:
    """The URL without its checksum."""
    return urlsplit(url)._replace(fragment="").geturl()
