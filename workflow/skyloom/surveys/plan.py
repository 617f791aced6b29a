"""What a survey of an archive would fetch: files, bytes, hours, and whether it fits on the disk."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from skyloom.core.errors import SkyloomError
from skyloom.core.files import atomic
from skyloom.formats.legacy import BANDS, SIZE
from skyloom.settings.listing import Listed
from skyloom.surveys.archives import size

ASKED = 100
"""Files of a role whose size the archive is asked for; of more, the others count as their mean."""
ASSUMED = 10e6
"""Bytes a second, where no rate is set."""
CUTOUT = len(BANDS) * SIZE**2 * 4
"""Bytes of a cutout."""
PIXELS, IVAR_AND_FLUX, IMAGE_AND_RGB = 7781, 8, 8


@dataclass(frozen=True)
class Role:
    """What is to come of one role: files and bytes here and to come, requests, and whether sizes are estimates."""

    role: str
    here: int
    bytes_here: int
    missing: int
    bytes_missing: int
    requests: int
    about: bool


def count(role: str, names: Iterable[str], folder: str, url: Callable[[str], str], galaxies: Mapping, access) -> Role:
    """What is here of the files `names` of a role and what is to come, which the archive is asked for.

    Parameters
    ----------
    url : name -> URL, "" for a file made of cutouts
    galaxies : name -> how many are in it
    access : settings `skyloom.surveys.archives.Access`
    """
    paths = {name: Path(folder, name) for name in names}
    here = {name: path.stat().st_size for name, path in paths.items() if path.exists()}
    missing = [name for name in paths if name not in here]
    made = [name for name in missing if not url(name)]
    cutouts = sum(galaxies[name] for name in made)
    whole = [name for name in missing if url(name)]
    asked = whole[:: max(1, -(-len(whole) // ASKED))]
    known = [found for name in asked if (found := size(url(name), access)) is not None]
    to_come = round(sum(known) / len(known) * len(whole)) if known else 0
    about = len(known) < len(whole) or bool(made)
    return Role(
        role, len(here), sum(here.values()), len(missing), to_come + cutouts * CUTOUT, len(whole) + cutouts, about
    )


def hours(roles: Iterable[Role], access: Mapping) -> float:
    """How long it takes with one connection, at the rate that is set or ASSUMED."""
    rate = access.get("rate")
    seconds = 0.0
    for role in roles:
        pause = access["cutout_interval"] if role.role == "images" else access["interval"]
        seconds += max(role.bytes_missing / (rate * 1e6 if rate else ASSUMED), role.requests * pause)
    return seconds / 3600


def tokens(settings: Mapping, galaxies: int) -> int:
    """Bytes of the tokens, without compression."""
    each = {"spectrum": PIXELS * IVAR_AND_FLUX, "image": settings["crop"] ** 2 * len(BANDS) * IMAGE_AND_RGB}
    return galaxies * sum(each.get(modality, 0) for modality in settings["modalities"])


def plan(
    survey: str,
    settings: Mapping,
    files: Mapping[str, Iterable[str]],
    listed: Iterable[Listed],
    folder: str,
    url: Callable[[str, Mapping], str],
    path: str | os.PathLike,
    say: Callable[[str], None],
) -> None:
    """Say what would be fetched, and write it as a table.

    Parameters
    ----------
    files : role -> names below `folder`
    listed : what the catalogue told of them
    url : what the kind of survey names so
    path : CSV: role, files_here, bytes_here, files_missing, bytes_missing, requests

    Raises
    ------
    SkyloomError : it does not fit on the disk of `folder`.
    NotAvailable : the archive does not tell.
    """
    access, galaxies = settings["access"], {file.file: file.galaxies for file in listed}
    roles = [
        count(role, names, folder, lambda name: url(name, settings), galaxies, access)
        for role, names in files.items()
        if names
    ]
    for role in roles:
        about = "about " if role.about else ""
        say(
            f"{role.role}: {role.missing} files to fetch, {about}{role.bytes_missing / 1e9:.3f} GB in {role.requests}"
            f" requests; {role.here} are here, {role.bytes_here / 1e9:.3f} GB"
        )
    total = sum(file.galaxies for file in listed if file.role == "coadd")
    need, made = sum(role.bytes_missing for role in roles), tokens(settings, total)
    free = shutil.disk_usage(folder).free
    rate = access.get("rate") or ASSUMED / 1e6
    say(
        f"{total} galaxies: {need / 1e9:.3f} GB to fetch, {made / 1e9:.3f} GB of tokens, {free / 1e9:.1f} GB free;"
        f" {hours(roles, access):.2f} h at {rate:g} MB/s a connection"
    )
    with atomic(path) as temporary:
        rows = ["role,files_here,bytes_here,files_missing,bytes_missing,requests"]
        rows += [f"{r.role},{r.here},{r.bytes_here},{r.missing},{r.bytes_missing},{r.requests}" for r in roles]
        temporary.write_text("\n".join(rows) + "\n")
    if need + made > free:
        raise SkyloomError(
            f"{survey}: {(need + made) / 1e9:.3f} GB are needed, {free / 1e9:.3f} GB are free on the disk of {folder};"
            f" lower surveys.{survey}.most_files, or work in a folder on another disk"
        )
