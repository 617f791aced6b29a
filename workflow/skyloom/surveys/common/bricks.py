"""Coadded images of the Legacy Surveys' bricks: which brick a galaxy is in, where its images are, cutouts of them.

A layer has the images of g, r and z of one data release. The north of the sky (BASS and MzLS) is in DR9 alone, so that
the layer of DR10 has it from there, as the viewer's has. The north are the sources of release 9011, the south those of
9010, 9012, 10000 and 10002; a target that is no source of these (release 0) is in the north if it lies beyond
declination 32.375 and north of the Galactic plane. Sources: legacysurvey.org/release, /dr9/description, /dr9/files,
/dr10/files. Light to import: the Snakefile reads it.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from skyloom.core.errors import Absent, NotAvailable
from skyloom.surveys.common import archives, checksums

if TYPE_CHECKING:
    import numpy as np
    from astropy.table import Table

FOLDER = "bricks/"
"""Below the raw folder."""
LAYERS = {"bricks-dr9": {"north": "dr9", "south": "dr9"}, "bricks-dr10": {"north": "dr9", "south": "dr10"}}
"""Layer -> the data release of each region."""
BANDS = ("g", "r", "z")
NORTH = (9011,)
SOUTH = (9010, 9012, 10000, 10002)
BORDER = 32.375  # degrees


def folders(layer: str, release, ra, dec) -> "np.ndarray":
    """The brick (n,) of each source, as dr9/south/112/1126p222; degrees."""
    import numpy as np

    from skyloom.formats.bricks import brickname

    release, ra, dec = (np.asarray(values) for values in (release, ra, dec))
    north = np.isin(release, NORTH)
    unknown = ~north & ~np.isin(release, SOUTH) & (dec > BORDER)
    if unknown.any():
        north[unknown] = _galactic_latitude(ra[unknown], dec[unknown]) > 0
    place = LAYERS[layer]
    region = np.where(north, f"{place['north']}/north/", f"{place['south']}/south/")
    name = brickname(ra, dec)
    return np.char.add(np.char.add(region, np.char.add(name.astype("U3"), "/")), name)


def _galactic_latitude(ra, dec):
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    return SkyCoord(ra * u.deg, dec * u.deg).galactic.b.deg


def files(brick: str) -> list[str]:
    """The images of a brick below the raw folder, in the order of BANDS."""
    name = brick.rpartition("/")[2]
    return [f"{FOLDER}{brick}/legacysurvey-{name}-image-{band}.fits.fz" for band in BANDS]


def url(name: str, addresses: Mapping[str, str]) -> str:
    """Where the archive has the image of a brick; "" for another file."""
    if not name.startswith(FOLDER):
        return ""
    release, region, rest = name.removeprefix(FOLDER).split("/", 2)
    return f"{addresses['bricks'].rstrip('/')}/{release}/{region}/coadd/{rest}"


def fetch(name: str, path: str | os.PathLike, addresses: Mapping[str, str], access: Mapping) -> None:
    """The image of a brick, or a file that says that the archive has none (its galaxies then have no image).

    Raises
    ------
    NotAvailable : the archive does not answer, or has not even the table of this release's bricks.
    """
    address = url(name, addresses)
    try:
        archives.fetch(address, path, access, checksums.published(address, {"addresses": addresses, "access": access}))
    except Absent:
        _has_release(name, addresses, access)
        from skyloom.formats.bricks import write_absent

        write_absent(path, address)


def _has_release(name: str, addresses: Mapping[str, str], access: Mapping) -> None:
    """NotAvailable unless the archive has the release and region of a brick: else it is the address that is wrong, not
    a brick that is missing."""
    table = table_of(name, addresses)
    try:
        archives.size(table if archives.is_url(table) else os.path.dirname(table), access)
    except Absent as error:
        raise NotAvailable(
            f"{url(name, addresses)}: no such file, and no {table} either; look whether `addresses.bricks` is right"
        ) from error


def table_of(name: str, addresses: Mapping[str, str]) -> str:
    """Where the archive has the table of the bricks of the release and region of a brick's image."""
    release, region = name.removeprefix(FOLDER).split("/")[:2]
    return f"{addresses['bricks'].rstrip('/')}/{release}/{region}/survey-bricks-{release}-{region}.fits.gz"


def cut_out(rows: "Table", raw: str, folder: str, settings: Mapping):
    """Images (n, 3, 152, 152) of galaxies of one brick.

    Parameters
    ----------
    rows : ra, dec, brick (the same)
    raw : the raw folder, in which the brick's images may be
    folder : where they are put if they are not, until they are cut out of
    """
    import numpy as np

    from skyloom.formats.bricks import read_cutouts
    from skyloom.formats.legacy import SIZE

    if not rows["brick"][0]:  # no position
        return np.full((len(rows), len(BANDS), SIZE, SIZE), np.nan, np.float32)
    images, fetched = [], []
    for name in files(str(rows["brick"][0])):
        path = os.path.join(raw, name)
        if not os.path.exists(path):
            path = os.path.join(folder, os.path.basename(name))
            fetch(name, path, settings["addresses"], settings["access"])
            fetched.append(path)
        images.append(read_cutouts(path, rows["ra"], rows["dec"]))
    for path in fetched:
        os.remove(path)
    return np.stack(images, axis=1)
