"""Cutouts of the Legacy Surveys, galaxy by galaxy, gathered into files in the layout of Stein et al.

From the viewer: a request a galaxy, no more than one in `cutout_interval` seconds. From bricks: brick by brick, which
are read where they are kept, or else fetched for this file and removed when its galaxies are cut out. What is done lies
in a folder ``NAME.part`` beside the file that it is for, so that a killed job asks for the others only.
"""

import hashlib
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
from skyloom.formats import legacy, positions, wanted_galaxies
from skyloom.settings.listing import WANTED
from skyloom.surveys.common import bricks

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
        if not _is_position(galaxy["ra"], galaxy["dec"]):
            continue
        place = folder / f"{galaxy['targetid']}.fits"
        download(Remote(address(base, layer, galaxy["ra"], galaxy["dec"])), place, manners)
        read(place)  # what is no image is found before the others are asked for
        progress(f"{path.name}: {number + 1} of {len(galaxies)} cutouts")
    with legacy.writer(path, len(galaxies)) as file:
        for first in range(0, len(galaxies), BLOCK):
            rows = galaxies[first : first + BLOCK]
            images = np.stack([_read_if_any(folder / f"{targetid}.fits") for targetid in rows["targetid"]])
            file.append(images, _columns(rows))
    shutil.rmtree(folder)
    log.info("%s: %d cutouts", path, len(galaxies))


def _is_position(ra: float, dec: float) -> bool:
    """Whether it is one: a row of a user's table may have none."""
    return bool(abs(ra) <= 360 and abs(dec) <= 90)


def _read_if_any(path: Path) -> np.ndarray:
    """`read`, or NaN where nothing was asked for."""
    return read(path) if path.exists() else np.full((len(legacy.BANDS), legacy.SIZE, legacy.SIZE), np.nan, "f4")


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


def from_bricks(galaxies: Table, raw: str, path: str | os.PathLike, settings: Mapping) -> None:
    """Make a file of cutouts out of bricks; NaN where the archive has no image.

    Parameters
    ----------
    galaxies : as those of `fetch`, with the `brick` of each; those of one stand together
    raw : the raw folder, in which bricks may be kept

    Raises
    ------
    NotAvailable : the archive does not answer, or refuses.
    BadInput : a brick is no image, or damaged.
    """
    path = Path(path)
    folder = path.with_name(f"{path.name}.part")
    folder.mkdir(parents=True, exist_ok=True)
    edges = np.flatnonzero(galaxies["brick"][1:] != galaxies["brick"][:-1]) + 1
    parts, stretches = [], np.split(np.arange(len(galaxies)), edges)
    for number, rows in enumerate(stretches):
        of_brick = galaxies[rows]
        known = hashlib.sha256(repr([of_brick[c].tolist() for c in ("targetid", "ra", "dec", "brick")]).encode())
        parts.append(folder / f"{known.hexdigest()[:16]}.h5")
        if not parts[-1].exists():
            legacy.write_cutouts(parts[-1], bricks.cut_out(of_brick, raw, str(folder), settings), _columns(of_brick))
        progress(f"{path.name}: {number + 1} of {len(stretches)} bricks")
    with legacy.writer(path, len(galaxies)) as file:
        for part, rows in zip(parts, stretches, strict=True):
            images = legacy.read_cutouts(part, range(len(rows)))
            file.append(images, _columns(galaxies[rows]))
    shutil.rmtree(folder)
    log.info("%s: %d cutouts of %d bricks", path, len(galaxies), len(parts))


def _columns(galaxies: Table) -> dict[str, np.ndarray]:
    """What Stein's layout has of galaxies besides their images."""
    return {name: np.asarray(galaxies[name]) for name in legacy.COLUMNS if name in galaxies.colnames}


def batch(name: str, path: str | os.PathLike, settings: Mapping) -> None:
    """Make the file of cutouts `name` of a survey, of the galaxies that ``wanted.parquet`` says are in it."""
    raw = os.fspath(path).removesuffix(name)
    rows = wanted_galaxies.of_file(raw + WANTED, "images", name)
    if not len(rows):
        raise NotAvailable(f"{name}: no galaxy is wanted in it; delete files.json in the raw folder and run again")
    return _make(rows, settings["images"], raw, path, settings)


def _make(rows: Table, layer: str, raw: str, path: str | os.PathLike, settings: Mapping) -> None:
    """Make a file of cutouts of galaxies, out of bricks or by the viewer."""
    from skyloom.surveys.common.archives import manners

    if layer in bricks.LAYERS:
        return from_bricks(rows, raw, path, settings)
    return fetch(rows, layer, settings["addresses"]["legacy"], path, manners(settings["access"], "cutout_interval"))


def at_positions(settings: Mapping, shard: int, raw: str, path: str | os.PathLike) -> None:
    """Make the file of cutouts at a user's positions that is shard number `shard` of a survey of kind `legacy`."""
    _make(rows_of_shard(settings, shard), settings["source"], raw, path, settings)


def rows_of_shard(settings: Mapping, shard: int) -> Table:
    """The user's positions of a shard as galaxies: brick by brick, or in their order if they are not cut out of bricks.

    Raises
    ------
    BadInput : the table cannot be read, or has fewer rows than there are shards.
    """
    given = {"identifier": None, "redshift": None, **settings["positions"]}
    table = positions.read(given.pop("file"), **given)
    if len(table) < settings["shards"]:
        rows = f"{len(table)} positions in {settings['positions']['file']}"
        raise BadInput(f"shards: {settings['shards']} is not allowed; there are {rows}")
    good = [_is_position(row["ra"], row["dec"]) for row in table["ra", "dec"]]
    brick = np.full(len(table), "", "U32")
    if settings["source"] in bricks.LAYERS:
        ra, dec = table["ra"][good], table["dec"][good]
        brick[good] = bricks.folders(settings["source"], np.zeros(len(ra), int), ra, dec)
    table["targetid"], table["brick"] = np.arange(len(table)), brick
    for name in ("release", "brickid", "objid"):
        table[name] = np.zeros(len(table), np.int32)
    table["flux"] = np.full((len(table), len(legacy.BANDS)), np.nan)
    return table[np.array_split(np.lexsort((table["targetid"], brick)), settings["shards"])[shard]]
