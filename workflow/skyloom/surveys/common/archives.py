"""Where the archives are, how they are asked, and what comes from them as it lies there.

Addresses are settings: a mirror, a server on the loopback, or a folder with a copy takes their place. What a file holds
does not depend on where it came from, so that another address fetches nothing again.
"""

import os
from collections.abc import Callable, Mapping

from skyloom.core.errors import Absent
from skyloom.settings.section import Section, setting


class Addresses(Section):
    """Base URLs of the archives or of mirrors, or folders with a copy, to which files are then linked."""

    desi: str = setting("https://data.desi.lbl.gov/public")
    "DESI's public data: spectra, redshift catalogues, value-added catalogues"
    legacy: str = setting("https://www.legacysurvey.org/viewer")
    "the viewer of the Legacy Surveys, which cuts images out"
    bricks: str = setting("https://portal.nersc.gov/cfs/cosmo/data/legacysurvey")
    "the data releases of the Legacy Surveys: images of bricks"
    stein: str = setting("")
    "the cutouts of Stein et al., which come by Globus: the folder they are in"
    galaxiesml: str = setting("https://zenodo.org/records/11117528/files")
    "the files of GalaxiesML"


class Access(Section):
    """How the archives are asked."""

    tries: int = setting(8, ge=1, le=1000)
    "attempts in a row that bring nothing"
    pause: float = setting(2.0, ge=0, le=3600)
    "seconds before the second attempt, doubled with each"
    timeout: float = setting(120.0, gt=0, le=3600)
    "seconds without a byte after which a connection is given up"
    rate: float | None = setting(None, gt=0)
    "MB a second of each job, at most; null for no limit"
    interval: float = setting(0.0, ge=0, le=3600)
    "seconds at least between two requests to one archive, of all jobs together"
    cutout_interval: float = setting(0.5, ge=0, le=3600)
    "the same of requests for cutouts, each of which the viewer has to make"
    checksums: bool = setting(True)
    "files are verified by the checksums that an archive publishes beside them; where it has none, a warning"


PROVABGS = "BGS_ANY_full.provabgs.sv3.v0.hdf5"
STEIN = "images/stein/"
GALAXIESML_SPLITS = ("training", "validation", "testing")


def provabgs_file() -> str:
    """The PROVABGS catalogue of the early data release, below the raw folder."""
    return f"properties/{PROVABGS}"


def derived_file() -> str:
    """What is derived of it, made by a rule."""
    return f"derived/{PROVABGS}"


def galaxiesml_file(size: int, split: str) -> str:
    """What GalaxiesML calls its images of `size` pixels a side of a split."""
    return f"5x{size}x{size}_{split}_with_morphology.hdf5"


def galaxiesml_files(size: int) -> list[str]:
    """The image files of GalaxiesML, 64 or 127 pixels a side, below the raw folder."""
    return [f"hsc/{galaxiesml_file(size, split)}" for split in GALAXIESML_SPLITS]


def below(base: str, name: str) -> str:
    """A file by its address: its name below `base`, unless it is an address itself."""
    return name if is_url(name) or os.path.isabs(name) else f"{base.rstrip('/')}/{name}"


def url(name: str, addresses: Mapping[str, str]) -> str:
    """Where the archives have a raw file that is theirs; "" for one that is none of these."""
    base = {archive: address.rstrip("/") for archive, address in addresses.items()}
    folder, _, rest = name.partition("/")
    if name == provabgs_file():
        return f"{base['desi']}/edr/vac/edr/provabgs/v1.0/{rest}"
    if name.startswith(STEIN):
        return f"{base['stein']}/{name.removeprefix(STEIN)}"
    return f"{base['galaxiesml']}/{rest}" if folder == "hsc" else ""


def manners(access: Mapping, interval: str = "interval"):
    """`skyloom.core.download.Manners` of the settings `Access`."""
    from skyloom.core.download import Manners

    rate = access.get("rate")
    given = {key: access[key] for key in ("tries", "pause", "timeout")}
    return Manners(**given, rate=rate * 1e6 if rate else None, interval=access[interval])


def fetch(address: str, path: str | os.PathLike, access: Mapping, published: Callable[[], str] = lambda: "") -> None:
    """A file as it lies at an archive, or a link to it in a folder.

    Parameters
    ----------
    published : what tells its checksum (`skyloom.surveys.common.checksums.published`)

    Raises
    ------
    Absent : there is no such file.
    NotAvailable : the archive does not answer, or refuses it.
    """
    from skyloom.core.download import Remote, download

    if is_url(address):
        checksum = "" if os.path.exists(path) else published()
        return download(Remote(address, checksum=checksum), path, manners(access))
    if not os.path.isfile(address):
        raise Absent(f"{address}: no such file in this folder, which `addresses` names as a copy of the archive")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return os.symlink(os.path.abspath(address), path)


def is_url(address: str) -> bool:
    """Whether it is to be fetched, as opposed to a file of this machine."""
    return "://" in address


def size(address: str, access: Mapping) -> int | None:
    """Bytes of a file at an archive, or to come for a link to one: none. Raises Absent if it has no such file."""
    from skyloom.core.download import remote_size

    if not is_url(address) and not os.path.exists(address):
        raise Absent(f"{address}: no such file in this folder, which `addresses` names as a copy of the archive")
    return remote_size(address, manners(access)) if is_url(address) else 0
