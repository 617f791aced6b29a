"""HATS catalogues of spectra and images, of the Multimodal Universe or anybody's: a folder, or an address.

Each modality has a catalogue of its own, or shares one in which both are in the same rows; those beside the first are
joined to it by position. What describes the catalogues comes first: their properties and which partitions there are.
Then only those partitions are had (fetched, or linked if they are here) that the footprint touches, and of the other
catalogues those that touch one of the first.

Layout: IVOA note "HATS" 1.0 (https://www.ivoa.net/documents/Notes/HATS), as `hats` 0.10 reads it: ``hats.properties``
(earlier ``properties``), ``partition_info.csv`` with columns Norder and Npix, and
``dataset/Norder=K/Dir=D/Npix=N.parquet``, D the pixel's number rounded down to ten thousands; a collection names its
catalogue in ``collection.properties``. The Multimodal Universe since 1.5 is published so (columns object_id, ra, dec,
`spectrum` and `image` as structs of lists: data set cards of huggingface.co/UniverseTBD, github.com/MultimodalUniverse
issue 184); an address on that hub is https://huggingface.co/datasets/OWNER/NAME/resolve/main (from memory).
Light to import: the Snakefile reads it.
"""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from skyloom.core.errors import Absent, BadInput
from skyloom.formats.file_names import sorted_paths
from skyloom.settings.kinds import SurveyKind
from skyloom.settings.listing import Listed
from skyloom.settings.section import Section, refuse, setting
from skyloom.surveys.common import archives, files, web
from skyloom.surveys.common.files import WithSpectra
from skyloom.surveys.common.places import ColumnMap
from skyloom.surveys.desi import Footprint

ORDER = ("spectrum", "image", "hsc_image")
"""Modalities that a catalogue may hold; the first of those there are is the one whose rows are the galaxies."""
ROLE, ABOUT = "partitions", "catalog.json"
_COLLECTION, _PROPERTIES = "collection.properties", ("hats.properties", "properties")


class Catalogs(Section):
    """Where the catalogues are: folders, or addresses (http, https) below which their files are."""

    spectrum: str | None = setting(None)
    "catalogue with spectra"
    image: str | None = setting(None)
    "with Legacy images, g, r, z"
    hsc_image: str | None = setting(None)
    "with HSC images, g, r, i, z, y"


class HatsSettings(WithSpectra):
    """Keys of a survey of kind `hats`."""

    catalogs: Catalogs = setting()
    "modality -> HATS catalogue, or collection; one named twice has both in the same rows"
    footprint: Footprint = setting(Footprint())
    "galaxies of this part of the sky only"
    most_partitions: int | None = setting(None, ge=1)
    "of the first catalogue, at most, by their place on the sky; null for all"
    format: Literal["auto", "table", "multimodal_universe"] = setting("auto")
    "of the spectra; auto looks into each partition"
    columns: ColumnMap | None = setting(None)
    "which column is what, of spectra whose names do not say it"
    files: list[str] = setting([])
    "none: `catalogs` names them"
    files_per_part: Literal[1] = setting(1)
    "a job reads a partition"
    modalities: Annotated[list[str], Field(min_length=1)] = setting(["spectrum"])
    "what is taken of a galaxy"
    access: archives.Access = setting(archives.Access())
    "how the catalogues' servers are asked"

    @model_validator(mode="after")
    def _catalogs(self):
        given = bases(self.catalogs.plain())
        if not given:
            raise refuse("catalogs", "names no catalogue; expected one or more of " + ", ".join(ORDER))
        for modality, base in given.items():
            if not web.is_url(base) and not os.path.isdir(base):
                raise refuse(
                    f"catalogs.{modality}", f"'{base}' is no folder; expected one, or an address (https://...)"
                )
        for name in ("files", "images", "hsc_images"):
            if getattr(self, name):
                raise refuse(name, "a survey of kind hats has its files from `catalogs`")
        return self


def bases(catalogs: Mapping) -> dict[str, str]:
    """Modality -> catalogue, the first one's first."""
    return {modality: catalogs[modality].rstrip("/") for modality in ORDER if catalogs.get(modality)}


def folders(catalogs: Mapping) -> dict[str, str]:
    """Modality -> what the folder of its catalogue is called: the first modality in it."""
    given = bases(catalogs)
    return {modality: next(name for name in given if given[name] == base) for modality, base in given.items()}


def raw_files(settings: HatsSettings) -> dict[str, list[str]]:
    """The raw files that are known at first: what describes the catalogues."""
    names = dict.fromkeys(folders(settings.catalogs.plain()).values())
    return {"metadata": [f"hats/{name}/{ABOUT}" for name in names]}


def later(settings: HatsSettings) -> tuple[str, ...]:
    """The roles of files that these tell."""
    return (ROLE, "spectra") if settings.catalogs.spectrum else (ROLE,)


def told(settings: HatsSettings, listed: Sequence[Listed]) -> dict[str, list[str]]:
    """Modality -> its partitions, the first catalogue's first; none as long as they are not known."""
    held = {modality: f"hats/{folder}/" for modality, folder in folders(settings.catalogs.plain()).items()}
    names = sorted_paths([file.file for file in listed if file.role == ROLE])
    return {
        modality: [f"{files.MADE}{name}" for name in names if name.startswith(folder)]
        for modality, folder in held.items()
    }


def partitions(settings: Mapping, raw: str | os.PathLike) -> list[Listed]:
    """The partitions that are had, and the parts of spectra that are made of them.

    Parameters
    ----------
    raw : the survey's raw folder, with what describes the catalogues

    Raises
    ------
    BadInput : no partition touches the footprint.
    """
    from skyloom.surveys.common import partitions as sky

    names = list(dict.fromkeys(folders(settings["catalogs"]).values()))
    known = {name: sky.read(Path(raw, f"hats/{name}/{ABOUT}")) for name in names}
    first = sky.inside(known[names[0]], settings["footprint"])[: settings.get("most_partitions")]
    if not len(first):
        where = bases(settings["catalogs"])[names[0]]
        raise BadInput(f"{where}: none of {len(known[names[0]])} partitions touches {settings['footprint']}")
    found = []
    for name in names:
        chosen = first if name == names[0] else sky.touching(known[name], first)
        found += [Listed(ROLE, f"hats/{name}/{partition_file(*pixel)}", 0) for pixel in chosen.tolist()]
    parts = len(first) if settings["catalogs"].get("spectrum") else 0
    return found + [Listed("spectra", f"spectra/spectra-{part:04d}.h5", 0) for part in range(parts)]


def partition_file(order: int, pixel: int) -> str:
    """Where the file of a partition is, below its catalogue."""
    return f"dataset/Norder={order}/Dir={pixel // 10_000 * 10_000}/Npix={pixel}.parquet"


def url(name: str, settings: Mapping) -> str:
    """Where a raw file is; "" for those that are made here."""
    top, _, rest = name.partition("/")
    folder, _, file = rest.partition("/")
    return f"{bases(settings['catalogs'])[folder]}/{file}" if top == "hats" and file != ABOUT else ""


def fetch(settings: Mapping, seed: int, name: str, path: str | os.PathLike) -> None:
    """Have one raw file: a partition, or what describes a catalogue, gathered in one file."""
    base = bases(settings["catalogs"])[name.split("/")[1]]
    if name.endswith(f"/{ABOUT}"):
        return _describe(base, path, settings["access"])
    folder, file = name.split("/")[1], name.split("/", 2)[2]
    about = json.loads(Path(os.fspath(path).removesuffix(name), "hats", folder, ABOUT).read_text(encoding="utf-8"))
    return archives.fetch("/".join(part for part in (base, about["inside"], file) if part), path, settings["access"])


def _describe(base: str, path: str | os.PathLike, access: Mapping) -> None:
    """Write ``inside`` (the catalogue in a collection), ``properties``, and ``partitions``, order and pixel of each."""
    from skyloom.core.files import write_json

    collection = _properties(_text(f"{base}/{_COLLECTION}", path, access) or "")
    inside = collection.get("hats_primary_table_url", "")
    place = f"{base}/{inside}" if inside else base
    text = next((text for name in _PROPERTIES if (text := _text(f"{place}/{name}", path, access)) is not None), None)
    if text is None:
        raise BadInput(f"{place}: no HATS catalogue; expected {' or '.join((*_PROPERTIES, _COLLECTION))} there")
    properties, listed = _properties(text), _text(f"{place}/partition_info.csv", path, access)
    if listed is None:
        raise BadInput(f"{place}/partition_info.csv: no such file; expected the list of the partitions")
    if properties.get("hats_npix_suffix", ".parquet") != ".parquet":
        raise BadInput(f"{place}: partitions end in {properties['hats_npix_suffix']}; expected .parquet")
    write_json(path, {"inside": inside, "properties": properties, "partitions": _pixels(place, listed)})


def _text(address: str, path: str | os.PathLike, access: Mapping) -> str | None:
    """A small file; None if it is not there."""
    if not web.is_url(address):
        return Path(address).read_text(encoding="utf-8") if os.path.isfile(address) else None
    from skyloom.core.files import scratch

    with scratch(Path(path).parent, "metadata") as folder:
        try:
            archives.fetch(address, folder / "text", access)
        except Absent:
            return None
        return (folder / "text").read_text(encoding="utf-8")


def _properties(text: str) -> dict[str, str]:
    """Keys and values of a file of properties."""
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition("=") for line in lines if line and line[0] not in "#!"]
    return {key.strip(): value.strip() for key, _, value in pairs}


def _pixels(place: str, text: str) -> list[list[int]]:
    """Order and pixel of each partition, by place on the sky."""
    rows = list(csv.DictReader(io.StringIO(text)))
    try:
        pixels = [[int(row["Norder"]), int(row["Npix"])] for row in rows]
    except (KeyError, TypeError, ValueError):
        text = f"{place}/partition_info.csv: not a list of partitions; expected numbers in the columns Norder, Npix"
        raise BadInput(text) from None
    if not pixels:
        raise BadInput(f"{place}/partition_info.csv: lists no partition")
    return sorted(pixels, key=lambda pixel: (pixel[1] << 2 * (29 - pixel[0]), pixel[0]))


KIND = SurveyKind(
    settings=HatsSettings,
    raw_files=raw_files,
    samples=lambda settings: told(settings, ()),
    told=told,
    tables=files.tables,
    fetch="skyloom.surveys.hats:fetch",
    keys=(*files.KEYS, "catalogs"),
    later=later,
    partitions="skyloom.surveys.hats:partitions",
    url="skyloom.surveys.hats:url",
    chosen_by=("catalogs", "footprint", "most_partitions"),
    access=("access",),
    patterns=(r"hats/[a-z_]+/dataset/Norder=\d+/Dir=\d+/Npix=\d+\.parquet",),
    citation=(
        "The Multimodal Universe Collaboration 2024, https://arxiv.org/abs/2412.02527",
        "Caplar et al. 2025, Using LSDB to enable large-scale catalog distribution, https://arxiv.org/abs/2501.02103",
    ),
)
