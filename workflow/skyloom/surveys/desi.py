"""DESI's early data release (EDR) and first data release (DR1), with images and properties of the same galaxies.

The redshift catalogue comes first. What is wanted of it (programs, footprint, quality cuts, number of files) says which
coadds are fetched, and for which galaxies images: nothing else is.

Layout: data.desi.lbl.gov/public/{edr|dr1}/spectro/redux/{fuji|iron}. Data of DESI are CC BY 4.0; what to cite is in
resources/archives.csv. Light to import: the Snakefile reads it.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from skyloom.settings.kinds import SurveyKind
from skyloom.settings.listing import Listed, key
from skyloom.settings.section import Section, refuse, setting
from skyloom.settings.survey import SurveySettings
from skyloom.surveys.common import archives, bricks, checksums

if TYPE_CHECKING:
    import pyarrow as pa
    from astropy.table import Table

PRODUCTIONS = {"edr": "fuji", "dr1": "iron"}
CATALOGUES = {"edr": "zall-pix-fuji.fits", "dr1": "v1/zall-pix-iron.fits"}
"""Below ``zcatalog``."""


class Footprint(Section):
    """A part of the sky, degrees."""

    ra: Annotated[list[float], Field(min_length=2, max_length=2)] = setting([0.0, 360.0])
    "from, to; [350, 10] goes through zero"
    dec: Annotated[list[float], Field(min_length=2, max_length=2)] = setting([-90.0, 90.0])
    "from, to"


class DesiSettings(SurveySettings):
    """Keys of a survey of kind `desi`."""

    release: Literal[tuple(PRODUCTIONS)] = setting()
    "which data release"
    programs: Annotated[list[str], Field(min_length=1)] = setting(["sv3/bright"])
    "survey and program of the spectra: sv3/bright, sv3/dark, main/bright, main/dark ..."
    footprint: Footprint = setting(Footprint())
    "galaxies of this part of the sky only"
    most_files: int | None = setting(None, ge=1)
    "coadds at most, those with most galaxies; null for all"
    images: Literal["ls-dr9", "ls-dr10", "bricks-dr9", "bricks-dr10", "stein"] = setting("ls-dr9")
    "with `image` among the modalities: layers of the Legacy Surveys' viewer, whole bricks, or files of Stein et al."
    stein_files: list[str] = setting([])
    "those files, below `addresses.stein`: north/images_npix152_000000000_001000000.h5 ..."
    properties: Literal["provabgs"] | None = setting(None)
    "physical properties: PROVABGS has galaxies of EDR (sv3/bright)"
    provabgs_bases: str | None = setting(None)
    "folder with the bases of PROVABGS (src/provabgs/dat of its code), to derive metallicity, age and star formation"
    hsc_size: Literal[64, 127] = setting(64)
    "pixels of the images of GalaxiesML, when `hsc_image` is among the modalities"
    keep_raw: bool = setting(True)
    "false: coadds and images go as soon as they are tokens, so that a survey larger than the disk passes through"
    shards_in_flight: int = setting(2, ge=1)
    "shards whose raw files are on the disk at a time, when they are not kept"
    addresses: archives.Addresses = setting(archives.Addresses())
    "base URLs of the archives, or of mirrors"
    access: archives.Access = setting(archives.Access())
    "how they are asked"

    @model_validator(mode="after")
    def _programs(self):
        for name in self.programs:
            if len(name.split("/")) != 2 or not all(part.isalnum() for part in name.split("/")):
                raise refuse("programs", f"'{name}' is not allowed; expected a survey and a program, as sv3/bright")
        if self.images == "stein" and not (self.stein_files and self.addresses.stein):
            raise refuse("images", "'stein' needs `stein_files`, and their folder as `addresses.stein`")
        return self


def raw_files(settings: DesiSettings) -> dict[str, list[str]]:
    """The raw files that are known without the catalogue, by role."""
    files = {"zcatalog": [f"zcatalog/{os.path.basename(CATALOGUES[settings.release])}"]}
    if settings.properties:
        files["properties"] = [archives.provabgs_file()]
        files["derived"] = [archives.derived_file()] if settings.provabgs_bases else []
    if "image" in settings.modalities and settings.images == "stein":
        files["images"] = [f"{archives.STEIN}{name}" for name in settings.stein_files]
    if "hsc_image" in settings.modalities:
        files["hsc"] = archives.galaxiesml_files(settings.hsc_size)
    return files


def later(settings: DesiSettings) -> tuple[str, ...]:
    """The roles of the files that the catalogue tells."""
    return later_roles(settings.modalities, settings.images, settings.keep_raw)


def later_roles(modalities, images: str, keep_raw: bool) -> tuple[str, ...]:
    """See `later`. Bricks that do not stay are no files of their own: they go as soon as images are cut out of them."""
    if not _cut_out(modalities, images):
        return ("coadd",)
    return ("coadd", "images", "bricks") if images in bricks.LAYERS and keep_raw else ("coadd", "images")


COLUMNS = ("SURVEY", "PROGRAM", "HEALPIX", "RELEASE", "BRICKID", "BRICK_OBJID", "FLUX_G", "FLUX_R", "FLUX_Z", "EBV")
"""Columns of the catalogue, besides those of the cuts, that say which files a galaxy is in and what it looks like."""


def wanted_rows(settings: Mapping, table: "Table"):
    """(N,) bool: rows of the redshift catalogue of the programs and the part of the sky that are asked for."""
    import numpy as np

    program = np.char.add(np.char.add(_text(table["SURVEY"]), "/"), _text(table["PROGRAM"]))
    ra, dec = np.asarray(table["TARGET_RA"], float), np.asarray(table["TARGET_DEC"], float)
    (west, east), (south, north) = settings["footprint"]["ra"], settings["footprint"]["dec"]
    inside = (ra >= west) & (ra <= east) if west <= east else (ra >= west) | (ra <= east)
    return np.isin(program, settings["programs"]) & inside & (dec >= south) & (dec <= north)


def _text(column):
    import numpy as np

    return np.char.strip(np.asarray(column, "U"))


def wanted_files(settings: Mapping, rows: "pa.Table") -> tuple[list[Listed], "pa.Table"]:
    """Which files hold wanted galaxies.

    Parameters
    ----------
    rows : TARGETID, TARGET_RA, TARGET_DEC, Z and COLUMNS of the rows of the catalogue that pass the cuts and
        `wanted_rows`; texts are dictionaries

    Returns
    -------
    files
        Coadds, a file of images for each, and the bricks that these are cut out of.
    galaxies
        Those in them (`skyloom.formats.wanted_galaxies`).
    """
    import numpy as np

    from skyloom.formats import wanted_galaxies

    survey, program = (wanted_galaxies.texts(rows, name) for name in ("SURVEY", "PROGRAM"))
    numbers = {name: rows[name].to_numpy() for name in ("TARGETID", "TARGET_RA", "TARGET_DEC", "Z", *COLUMNS[2:])}
    pixel = np.stack([survey[0], program[0], numbers["HEALPIX"]], axis=1)
    pixels, place = np.unique(pixel, axis=0, return_inverse=True)
    names = np.array([_names(survey[1][s], program[1][p], int(h)) for s, p, h in pixels], "U").reshape(-1, 2)
    kept = _fullest(names[:, 0], np.bincount(place.ravel(), minlength=len(pixels)), settings.get("most_files"))
    coadds, images = names[kept].T
    number = np.full(len(pixels), -1)
    number[kept] = np.arange(len(kept))
    coadd = number[place.ravel()]
    brick, bricks_of = _bricks(settings, numbers)
    order = np.lexsort((numbers["TARGETID"], brick, coadd))
    order = order[coadd[order] >= 0]
    coadd, brick = coadd[order], brick[order]
    ours = {"targetid": "TARGETID", "ra": "TARGET_RA", "dec": "TARGET_DEC", "z_spec": "Z", "ebv": "EBV"}
    ours |= {"release": "RELEASE", "brickid": "BRICKID", "objid": "BRICK_OBJID"}
    values = {name: numbers[column][order] for name, column in ours.items()}
    values |= {f"flux_{band.lower()}": numbers[f"FLUX_{band}"][order] for band in "GRZ"}
    texts = {"survey": (survey[0][order], survey[1]), "program": (program[0][order], program[1])}
    texts |= {"coadd": (coadd, coadds.tolist()), "images": (coadd, images.tolist()), "brick": (brick, bricks_of)}
    galaxies = wanted_galaxies.table(values, texts)
    return _listed(settings, values, coadd, coadds, images, brick, bricks_of), galaxies


def _names(survey: str, program: str, hpix: int) -> tuple[str, str]:
    """What the coadd and the images of a pixel are called below the raw folder."""
    spectra = f"spectra/healpix/{survey}/{program}/{hpix // 100}/{hpix}/coadd-{survey}-{program}-{hpix}.fits"
    return spectra, f"images/{hpix // 100}/images_npix152_{survey}_{program}_{hpix}.h5"


def _fullest(names, counts, most: int | None):
    """The numbers of the files with most galaxies, by name; of two with as many the first by name."""
    import numpy as np

    chosen = np.lexsort((names, -counts))[:most]
    return chosen[np.argsort(names[chosen])]


def _bricks(settings: Mapping, numbers: Mapping):
    """The number (n,) of each galaxy's brick, in the order of their names, and the names; one without name where images
    are not cut out of bricks."""
    import numpy as np

    if not _cut_out(settings["modalities"], settings["images"]) or settings["images"] not in bricks.LAYERS:
        return np.zeros(len(numbers["TARGETID"]), int), [""]
    position = numbers["TARGET_RA"], numbers["TARGET_DEC"]
    names, place = np.unique(bricks.folders(settings["images"], numbers["RELEASE"], *position), return_inverse=True)
    return place, names.tolist()


def _cut_out(modalities, images: str) -> bool:
    """Whether images are made galaxy by galaxy."""
    return "image" in modalities and images != "stein"


def _listed(settings: Mapping, values: Mapping, coadd, coadds, images, brick, bricks_of) -> list[Listed]:
    """The files; galaxies are sorted by their number."""
    import numpy as np

    files, with_images = [], _cut_out(settings["modalities"], settings["images"])
    edges = np.searchsorted(coadd, np.arange(len(coadds) + 1)).tolist()
    for number, (name, image) in enumerate(zip(coadds.tolist(), images.tolist(), strict=True)):
        rows = slice(edges[number], edges[number + 1])
        files.append(Listed("coadd", name, rows.stop - rows.start, name))
        if with_images:
            columns = (values[column][rows].tolist() for column in ("targetid", "ra", "dec"))
            digest = key([list(row) for row in zip(*columns, strict=True)])
            parts = tuple(bricks_of[one] for one in np.unique(brick[rows]) if bricks_of[one])
            files.append(Listed("images", image, rows.stop - rows.start, name, digest, parts))
    if with_images and "bricks" in later_roles(settings["modalities"], settings["images"], settings["keep_raw"]):
        used, counts = np.unique(brick, return_counts=True)
        for one, count in zip(used, counts, strict=True):
            files += [Listed("bricks", file, int(count)) for file in bricks.files(bricks_of[one])]
    return files


def url(name: str, settings: Mapping) -> str:
    """Where an archive has a raw file; "" for images, which are made galaxy by galaxy."""
    base, release = settings["addresses"]["desi"].rstrip("/"), settings["release"]
    redux = f"{base}/{release}/spectro/redux/{PRODUCTIONS[release]}"
    folder, _, rest = name.partition("/")
    if folder == "zcatalog":
        return f"{redux}/zcatalog/{CATALOGUES[release]}"
    if folder == "spectra":
        return f"{redux}/{rest}"
    return bricks.url(name, settings["addresses"]) or archives.url(name, settings["addresses"])


def fetch(settings: Mapping, seed: int, name: str, path: str | os.PathLike) -> None:
    """Make one raw file: as the archive has it, or of cutouts."""
    if name.startswith(bricks.FOLDER):
        return bricks.fetch(name, path, settings["addresses"], settings["access"])
    if address := url(name, settings):
        return archives.fetch(address, path, settings["access"], checksums.published(address, settings))
    from skyloom.surveys.common import cutouts

    return cutouts.batch(name, path, settings)


KIND = SurveyKind(
    settings=DesiSettings,
    raw_files=raw_files,
    fetch="skyloom.surveys.desi:fetch",
    keys=("release", "images", "hsc_size"),
    later=later,
    selects="skyloom.surveys.desi:wanted_rows",
    parts=bricks.files,
    listing="skyloom.surveys.desi:wanted_files",
    url="skyloom.surveys.desi:url",
    chosen_by=("release", "programs", "footprint", "most_files", "cuts", "modalities", "images", "keep_raw"),
    columns=COLUMNS,
    access=("addresses", "access"),
    patterns=(r"spectra/healpix/.+\.fits", r"images/\d+/.+\.h5", rf"{bricks.FOLDER}.+\.fits\.fz"),
    licence="CC-BY-4.0",
    citation=(
        "DESI Collaboration 2024, The Early Data Release of DESI, https://doi.org/10.3847/1538-3881/ad3217",
        "Dey et al. 2019, Overview of the DESI Legacy Imaging Surveys, https://doi.org/10.3847/1538-3881/ab089d",
    ),
)
