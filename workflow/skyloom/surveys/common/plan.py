"""What a survey of an archive would fetch: files, bytes, hours, and whether it fits on the disk."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skyloom.core.errors import Absent, SkyloomError
from skyloom.core.files import atomic
from skyloom.formats.file_names import sorted_paths
from skyloom.formats.legacy import BANDS, SIZE
from skyloom.settings.kinds import SurveyKind, load
from skyloom.settings.listing import Listed
from skyloom.surveys.common import bricks, web
from skyloom.surveys.common.archives import Access, size

if TYPE_CHECKING:
    from skyloom.settings.config import Survey

ASKED = 100
"""Files of a role whose size the archive is asked for; of more, the others count as their mean."""
ASSUMED = 10e6
"""Bytes a second, where no rate is set."""
CUTOUT = len(BANDS) * SIZE**2 * 4
"""Bytes of a cutout."""
PIXELS, IVAR_AND_FLUX, IMAGE_AND_RGB = 7781, 8, 8
HSC_PIXEL = 5 * 4
"""Bytes of five bands."""


@dataclass(frozen=True)
class Role:
    """What is to come of one role: files here and to come, their bytes on the disk, what of these is fetched, in how
    many requests (and of those to the viewer), and whether sizes are estimates."""

    role: str
    here: int
    bytes_here: int
    missing: int
    bytes_missing: int
    bytes_fetched: int
    requests: int
    cutouts: int
    about: bool


@dataclass(frozen=True)
class Source:
    """How a raw file is had: galaxies that are cut out of something; files of the archive that are fetched for it;
    whether a viewer cuts them out, a request each."""

    galaxies: int = 0
    files: tuple[str, ...] = ()
    viewer: bool = False


def sources(listed: Iterable[Listed], settings: Mapping, kind: SurveyKind) -> dict[str, Source]:
    """Raw file -> how it is had, of the files that the catalogue told."""
    listed = list(listed)
    known = {file.file for file in listed}
    address = load(kind.url) if kind.url else lambda name, given: ""
    found = {}
    for file in listed:
        parts = [name for part in file.parts for name in kind.parts(part)]
        if address(file.file, settings):
            found[file.file] = Source(files=(file.file,))
        else:  # parts that are files of their own are counted as such
            fetched = tuple(name for name in parts if name not in known)
            found[file.file] = Source(file.galaxies, fetched, viewer=not parts)
    return found


def count(role: str, names: Iterable[str], folder: str, url: Callable[[str], str], had: Mapping, access) -> Role:
    """What is here of the files `names` of a role and what is to come, which the archive is asked for.

    Parameters
    ----------
    url : name -> URL
    had : name -> Source; a file that is not there is fetched as it is
    access : settings `skyloom.surveys.common.archives.Access`
    """
    paths = {name: Path(folder, name) for name in names}
    here = {name: path.stat().st_size for name, path in paths.items() if path.exists()}
    missing = [had.get(name, Source(files=(name,))) for name in paths if name not in here]
    files = [name for source in missing for name in source.files]
    fetched, sure = _bytes(files, url, access)
    cutouts = sum(source.galaxies for source in missing if source.viewer)
    made = sum(source.galaxies for source in missing) * CUTOUT
    whole = 0 if any(source.galaxies for source in missing) else fetched
    return Role(
        role,
        len(here),
        sum(here.values()),
        len(missing),
        bytes_missing=made + whole,
        bytes_fetched=fetched + cutouts * CUTOUT,
        requests=len(files) + cutouts,
        cutouts=cutouts,
        about=bool(made) or not sure,
    )


def _bytes(names: Sequence[str], url: Callable[[str], str], access) -> tuple[int, bool]:
    """Bytes of files at an archive, and whether it told those of each."""
    asked = names[:: max(1, -(-len(names) // ASKED))]
    known = [found for name in asked if (found := _size(name, url(name), access)) is not None]
    return (round(sum(known) / len(known) * len(names)) if known else 0), len(known) == len(names)


def _size(name: str, address: str, access) -> int | None:
    try:
        return size(address, access)
    except Absent:
        if not name.startswith(bricks.FOLDER):
            raise
        return 0  # its galaxies have no image


def hours(roles: Iterable[Role], access: Mapping) -> float:
    """How long it takes with one connection, at the rate that is set or ASSUMED."""
    rate = access.get("rate")
    seconds = 0.0
    for role in roles:
        pause = role.cutouts * access["cutout_interval"] + (role.requests - role.cutouts) * access["interval"]
        seconds += max(role.bytes_fetched / (rate * 1e6 if rate else ASSUMED), pause)
    return seconds / 3600


def tokens(settings: Mapping, galaxies: int) -> int:
    """Bytes of the tokens, without compression."""
    each = {"spectrum": PIXELS * IVAR_AND_FLUX, "image": settings["crop"] ** 2 * len(BANDS) * IMAGE_AND_RGB}
    each["hsc_image"] = settings.get("hsc_size", 0) ** 2 * HSC_PIXEL
    return galaxies * sum(each.get(modality, 0) for modality in settings["modalities"])


def in_flight(settings: Mapping, roles: Iterable[Role], listed: Sequence[Listed], folder: str) -> int:
    """Bytes of raw files that are on the disk at a time: all, or of a survey whose files pass through those of as many
    shards as may be in flight, and the files that stay."""
    roles = {role.role: role for role in roles}
    told = {file.role for file in listed}
    stay = sum(role.bytes_missing for name, role in roles.items() if settings.get("keep_raw", True) or name not in told)
    if settings.get("keep_raw", True):
        return stay
    files = sorted_paths([file.file for file in listed if file.role == "coadd"])
    shard = {file: place % settings["shards"] for place, file in enumerate(files)}
    held = [0.0] * settings["shards"]
    each = {name: role.bytes_missing / max(role.missing, 1) for name, role in roles.items()}
    for file in listed:
        if file.coadd in shard and file.role in roles and not Path(folder, file.file).exists():
            held[shard[file.coadd]] += file.galaxies * CUTOUT if file.role == "images" else each[file.role]
    return stay + round(sum(sorted(held)[-settings["shards_in_flight"] :]))


def plan(survey: "Survey", folder: str, path: str | os.PathLike, say: Callable[[str], None]) -> None:
    """Say what would be fetched of a survey of the configuration, and write it as a table.

    Parameters
    ----------
    folder : of its raw files
    path : CSV: role, files_here, bytes_here, files_missing, bytes_missing, bytes_fetched, requests

    Raises
    ------
    SkyloomError : it does not fit on the disk of `folder`.
    NotAvailable : the archive does not tell.
    """
    settings = {"access": Access().plain(), **survey.settings.plain()}
    listed = list(load(survey.kind.planned)(settings) if survey.kind.planned else survey.listed)
    roles = roles_of(survey, settings, listed, folder)
    for role in roles:
        about = "about " if role.about else ""
        say(
            f"{role.role}: {role.missing} files to come, {about}{role.bytes_fetched / 1e9:.3f} GB to fetch in"
            f" {role.requests} requests; {role.here} are here, {role.bytes_here / 1e9:.3f} GB"
        )
    total = max((sum(f.galaxies for f in listed if f.role == role) for role in ("coadd", "images")), default=0)
    fetched, made = sum(role.bytes_fetched for role in roles), tokens(settings, total)
    held, free = in_flight(settings, roles, listed, folder), shutil.disk_usage(folder).free
    rate = settings["access"].get("rate") or ASSUMED / 1e6
    say(
        f"{total} galaxies: {fetched / 1e9:.3f} GB to fetch; on the disk {held / 1e9:.3f} GB of raw files"
        f"{'' if settings.get('keep_raw', True) else ' at a time'} and {made / 1e9:.3f} GB of tokens,"
        f" {free / 1e9:.1f} GB free; {hours(roles, settings['access']):.2f} h at {rate:g} MB/s a connection"
    )
    with atomic(path) as temporary:
        rows = ["role,files_here,bytes_here,files_missing,bytes_missing,bytes_fetched,requests"]
        rows += [
            f"{r.role},{r.here},{r.bytes_here},{r.missing},{r.bytes_missing},{r.bytes_fetched},{r.requests}"
            for r in roles
        ]
        temporary.write_text("\n".join(rows) + "\n")
    if held + made > free:
        way = ""
        if "most_files" in type(survey.settings).model_fields:
            passing = f"set surveys.{survey.name}.keep_raw: false with more `shards`, "
            way = f" {passing if settings['keep_raw'] else ''}lower surveys.{survey.name}.most_files, or"
        raise SkyloomError(
            f"{survey.name}: {(held + made) / 1e9:.3f} GB are needed, {free / 1e9:.3f} GB are free on the disk of"
            f" {folder};{way} work in a folder on another disk"
        )


def roles_of(survey: "Survey", settings: Mapping, listed: Sequence[Listed], folder: str) -> list[Role]:
    """What is to come, role by role; files that a survey names by their URL are `downloads`."""
    kind, access = survey.kind, settings["access"]
    url = load(kind.url) if kind.url else lambda name, given: ""
    had = sources(listed, settings, kind)
    found = []
    for role, names in survey.raw.items():
        names = [name for name in names if role != "derived" and (name in had or url(name, settings))]
        if names:
            found.append(count(role, names, folder, lambda name: url(name, settings), had, access))
    named = [path for paths in (*survey.samples.values(), kind.tables(survey.settings)) for path in paths]
    places = {os.path.relpath(web.place(path), folder): web.address(path) for path in named if web.is_url(path)}
    if places:
        found.append(count("downloads", places, folder, places.__getitem__, {}, access))
    return found
