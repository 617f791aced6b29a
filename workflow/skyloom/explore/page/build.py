"""The page as a folder that opens from a disk, without a server."""

import logging
import os
import shutil
from pathlib import Path

from skyloom.core.files import atomic_folder
from skyloom.core.job import progress
from skyloom.explore.page.site import PAGE, STATIC, Site, refuse_if_large
from skyloom.explore.page.sources import Sources
from skyloom.surveys.common.manifest import write_manifest

log = logging.getLogger(__name__)

MANIFEST = "files.csv"
MOST = 50_000
"""Galaxies of a folder: beyond that a server."""


def build(sources: Sources, index: str | os.PathLike, most: int = MOST) -> None:
    """Write the page of a survey into the folder of `index`, its ``index.html``, with a list of its files.

    Raises
    ------
    BadInput : more than `most` galaxies, or a table that is not what it should be.
    """
    site = Site(sources)
    refuse_if_large(len(site.catalog.targetid), most)
    with atomic_folder(Path(index).parent, Path(index).name) as folder:
        (folder / "data").mkdir()
        for name in PAGE:
            shutil.copyfile(STATIC / name, folder / name)
        size, chunks = 0, max(site.chunks, 1)
        for name in site.names():
            content = site.content(name)
            (folder / "data" / name).write_bytes(content)
            size += len(content)
            if name.startswith("details"):
                progress(f"{int(name[8:-3]) / chunks:.0%} of the galaxies")
        write_manifest((path for path in folder.rglob("*") if path.is_file()), folder / MANIFEST)
    log.info("%s: %d galaxies, %.1f MiB", index, len(site.catalog.targetid), size / 2**20)
