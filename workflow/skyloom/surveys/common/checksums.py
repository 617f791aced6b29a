"""Checksums that archives publish beside their files, found from the address of a file.

DESI and the Legacy Surveys have a file of sha256 sums in each folder, called after the folder; Zenodo tells md5 by its
interface for programs. Names of such files as public programs use them: of DR1 redux_iron_zcatalog_v1.sha256sum and
redux_iron_healpix_main_dark_100_10000.sha256sum, of the Legacy Surveys
legacysurvey_dr10_south_coadd_001_0014m852.sha256sum (legacysurvey.org lists it) and the same of dr9. That EDR has the
same names, and the form of Zenodo's answer, are from memory. Light to import: the Snakefile reads it.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from skyloom.core.errors import Absent

log = logging.getLogger(__name__)

SLOTS = "results/.locks"
"""Where it is noted that the lack of checksums was told."""


def place(address: str, addresses: Mapping[str, str]) -> str:
    """Where the checksum of a file is published; "" where we know of none."""
    base = {archive: given.rstrip("/") for archive, given in addresses.items() if given}
    folder, _, _ = address.rpartition("/")
    if found := re.fullmatch(rf"{re.escape(base['desi'])}/\w+/spectro/(redux/.+)", folder):
        return f"{folder}/{found[1].replace('/', '_')}.sha256sum"
    if found := re.fullmatch(rf"{re.escape(base['bricks'])}/(\w+/(?:north|south)/coadd/.+)", folder):
        return f"{folder}/legacysurvey_{found[1].replace('/', '_')}.sha256sum"
    if folder == base["galaxiesml"] and (found := re.fullmatch(r"(.+)(/records/\d+)/files", folder)):
        return f"{found[1]}/api{found[2]}"
    return ""


def read(text: str, name: str) -> str:
    """The checksum of the file `name` in what is published, as sha256:... or md5:...; "" if it is not there."""
    if text.lstrip().startswith("{"):
        entries = json.loads(text).get("files", [])
        return next((entry["checksum"] for entry in entries if entry.get("key") == name), "")
    for line in text.splitlines():
        digest, _, file = line.strip().partition(" ")
        if os.path.basename(file.strip().lstrip("*")) == name and re.fullmatch(r"[0-9a-f]{64}", digest):
            return f"sha256:{digest}"
    return ""


def published(address: str, settings: Mapping) -> Callable[[], str]:
    """What asks the archive for the checksum of a file: "" if it publishes none, which is said once for each archive.

    Parameters
    ----------
    settings : addresses, access
    """

    def ask() -> str:
        from skyloom.core.download import read_text
        from skyloom.surveys.common.archives import manners

        where, name = place(address, settings["addresses"]), address.rpartition("/")[2]
        if not where or not settings["access"].get("checksums", True):
            return ""
        try:
            found = read(read_text(where, manners(settings["access"])), name)
        except Absent:
            found = ""
        if not found:
            log.warning("%s: no checksum of %s there, only its size is verified", where, name)
            _say_once(urlsplit(where).netloc, f"no checksum of {name} at {where}: only sizes are verified there")
        return found

    return ask


def _say_once(host: str, text: str) -> None:
    """Tell the terminal, unless a job did before."""
    from skyloom.core.job import progress

    os.makedirs(SLOTS, exist_ok=True)
    try:
        os.close(os.open(os.path.join(SLOTS, f"no-checksums-{host.replace(':', '-')}"), os.O_CREAT | os.O_EXCL))
    except OSError:
        return
    progress(text, every=0)
