"""Cutouts of the Legacy Surveys from their viewer, galaxy by galaxy, gathered into files in the layout of Stein et al.

A request a galaxy, no more than one in `cutout_interval` seconds. What has come lies in a folder ``NAME.part`` beside
the file that it is for, so that a killed job asks for the others only.
"""

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
from astropy.io import fits
from astropy.table import Table

from skyloom.core.download import Manners, Remote, download
from skyloom.core.errors import BadInput, NotAvailable
from skyloom.core.job import progress
from skyloom.formats import legacy

log = logging.getLogger(__name__)

BLOCK = 64  # cutouts in memory: 18 MB


def address(base: str, layer: str, ra: float, dec: float) -> str:
    """The URL of a cutout: g, r, z, 152 pixels of 0.262 arcsec."""
    values = {"ra": f"{ra:.7f}", "dec": f"{dec:.7f}", "layer": layer, "pixscale": legacy.PIXEL_SCALE}
    values |= {"bands": "".join(legacy.BANDS), "size": legacy.SIZE}
    return f"{base.rstrip('/')}/fits-cutout?{urlencode(values)}"


def fetch(galaxies: Table, layer: str, base: str, path: str | os.PathLike, manners: Manners) -> None:
    """Make a file of cutouts.

    Parameters
    ----------
    galaxies : targetid, ra, dec, release, brickid, objid, flux (N, 3), ebv, z_spec; a row a cutout, in its order
    layer : of the viewer: ls-dr9, ls-dr10

    Raises
    ------
    NotAvailable : the viewer does not answer, or refuses.
    BadInput : what comes is no image of the size and bands that were asked for.
    """
    path = Path(path)
    folder = path.with_name(f"{path.name}.part")
    folder.mkdir(parents=True, exist_ok=True)
    for number, galaxy in enumerate(galaxies):
        place = folder / f"{galaxy['targetid']}.fits"
        download(Remote(address(base, layer, galaxy["ra"], galaxy["dec"])), place, manners)
        read(place)  # what is no image is found before the others are asked for
        progress(f"{path.name}: {number + 1} of {len(galaxies)} cutouts")
    with legacy.writer(path, len(galaxies)) as file:
        for first in range(0, len(galaxies), BLOCK):
            rows = galaxies[first : first + BLOCK]
            images = np.stack([read(folder / f"{targetid}.fits") for targetid in rows["targetid"]])
            file.append(images, {name: np.asarray(rows[name]) for name in legacy.COLUMNS if name in rows.colnames})
    shutil.rmtree(folder)
    log.info("%s: %d cutouts", path, len(galaxies))


def read(path: str | os.PathLike) -> np.ndarray:
    """(3, 152, 152) f4, nanomaggy a pixel. Raises BadInput if it is something else, which is removed."""
    expected = (len(legacy.BANDS), legacy.SIZE, legacy.SIZE)
    try:
        with fits.open(path, memmap=False) as hdus:
            image = hdus[0].data
        if image is not None and image.shape == expected:
            return np.asarray(image, np.float32)
        found = None if image is None else image.shape
    except (OSError, TypeError, ValueError) as error:
        found = f"no FITS image ({error})"
    Path(path).unlink(missing_ok=True)
    raise BadInput(f"{path}: the viewer sent {found}, expected an image of {expected}; run again")


def batch(name: str, path: str | os.PathLike, wanted: Table, settings: Mapping) -> None:
    """Make the file of cutouts `name` of a survey, of the galaxies that `wanted` says are in it."""
    from skyloom.surveys.archives import manners

    rows = wanted[np.asarray(wanted["images"]) == name]
    if not len(rows):
        raise NotAvailable(f"{name}: no galaxy is wanted in it; delete files.json in the raw folder and run again")
    access = manners(settings["access"], "cutout_interval")
    fetch(rows, settings["images"], settings["addresses"]["legacy"], path, access)
