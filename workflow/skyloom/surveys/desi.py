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
from skyloom.settings.listing import WANTED, Listed, key
from skyloom.settings.section import Section, refuse, setting
from skyloom.settings.survey import SurveySettings
from skyloom.surveys import archives

if TYPE_CHECKING:
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
    images: Literal["ls-dr9", "ls-dr10", "stein"] = setting("ls-dr9")
    "with `image` among the modalities: the layer of the Legacy Surveys they are cut out of, or files of Stein et al."
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
    cut_out = "image" in settings.modalities and settings.images != "stein"
    return ("coadd", "images") if cut_out else ("coadd",)


COLUMNS = ("SURVEY", "PROGRAM", "HEALPIX", "RELEASE", "BRICKID", "BRICK_OBJID", "FLUX_G", "FLUX_R", "FLUX_Z", "EBV")
"""Columns of the catalogue, besides those of the cuts, that say which files a galaxy is in and what it looks like."""


def wanted_files(settings: Mapping, table: "Table") -> tuple[list[Listed], "Table"]:
    """Which files hold wanted galaxies.

    Parameters
    ----------
    table : rows of the redshift catalogue that pass the quality cuts

    Returns
    -------
    files
        Coadds, and a file of images for each.
    galaxies
        Those in them: targetid, ra, dec, z_spec, release, brickid, objid, flux (N, 3), ebv, survey, program, coadd and
        images (the names of their files, in which images are in this order).
    """
    import numpy as np
    from astropy.table import Table

    program = np.char.add(np.char.add(_text(table["SURVEY"]), "/"), _text(table["PROGRAM"]))
    table = table[np.isin(program, settings["programs"]) & _inside(table, settings["footprint"])]
    names = [_names(s, p, int(h)) for s, p, h in zip(*(table[name] for name in COLUMNS[:3]), strict=True)]
    coadd = np.array([name for name, _ in names], "U")
    kept = np.isin(coadd, _fullest(coadd, settings.get("most_files")))
    table, names = table[kept], [name for name, keep in zip(names, kept, strict=True) if keep]
    integer = {"release": "RELEASE", "brickid": "BRICKID", "objid": "BRICK_OBJID"}
    galaxies = Table(
        {
            "targetid": np.asarray(table["TARGETID"], "i8"),
            "ra": np.asarray(table["TARGET_RA"], "f8"),
            "dec": np.asarray(table["TARGET_DEC"], "f8"),
            "z_spec": np.asarray(table["Z"], "f4"),
            **{name: np.asarray(table[column], "i4") for name, column in integer.items()},
            "flux": np.stack([np.asarray(table[f"FLUX_{band}"], "f4") for band in "GRZ"], axis=1),
            "ebv": np.asarray(table["EBV"], "f4"),
            "survey": _text(table["SURVEY"]),
            "program": _text(table["PROGRAM"]),
            "coadd": np.array([coadd for coadd, _ in names], "U"),
            "images": np.array([images for _, images in names], "U"),
        }
    )
    galaxies.sort(["coadd", "targetid"])
    return _listed(galaxies, "image" in settings["modalities"] and settings["images"] != "stein"), galaxies


def _text(column):
    import numpy as np

    return np.char.strip(np.asarray(column, "U"))


def _inside(table: "Table", footprint: Mapping):
    """Rows in the part of the sky."""
    import numpy as np

    ra, dec = np.asarray(table["TARGET_RA"], float), np.asarray(table["TARGET_DEC"], float)
    (west, east), (south, north) = footprint["ra"], footprint["dec"]
    inside = (ra >= west) & (ra <= east) if west <= east else (ra >= west) | (ra <= east)
    return inside & (dec >= south) & (dec <= north)


def _names(survey: str, program: str, hpix: int) -> tuple[str, str]:
    """What the coadd and the images of a pixel are called below the raw folder."""
    survey, program = str(survey).strip(), str(program).strip()
    spectra = f"spectra/healpix/{survey}/{program}/{hpix // 100}/{hpix}/coadd-{survey}-{program}-{hpix}.fits"
    return spectra, f"images/{hpix // 100}/images_npix152_{survey}_{program}_{hpix}.h5"


def _fullest(coadd, most: int | None):
    """The names of the files with most galaxies; of two with as many the first by name."""
    import numpy as np

    names, counts = np.unique(coadd, return_counts=True)
    return names[np.lexsort((names, -counts))][:most]


def _listed(galaxies: "Table", with_images: bool) -> list[Listed]:
    import numpy as np

    files = []
    for name, rows in ((n, galaxies[galaxies["coadd"] == n]) for n in np.unique(galaxies["coadd"])):
        files.append(Listed("coadd", str(name), len(rows), str(name)))
        if with_images:
            of_image = [[int(row["targetid"]), float(row["ra"]), float(row["dec"])] for row in rows]
            files.append(Listed("images", str(rows["images"][0]), len(rows), str(name), key(of_image)))
    return files


def url(name: str, settings: Mapping) -> str:
    """Where DESI has a raw file; "" for images, which are made galaxy by galaxy."""
    base, release = settings["addresses"]["desi"].rstrip("/"), settings["release"]
    redux = f"{base}/{release}/spectro/redux/{PRODUCTIONS[release]}"
    folder, _, rest = name.partition("/")
    if folder == "zcatalog":
        return f"{redux}/zcatalog/{CATALOGUES[release]}"
    return f"{redux}/{rest}" if folder == "spectra" else archives.url(name, settings["addresses"])


def fetch(settings: Mapping, seed: int, name: str, path: str | os.PathLike) -> None:
    """Make one raw file: as the archive has it, or of cutouts."""
    if address := url(name, settings):
        return archives.fetch(address, path, settings["access"])
    from astropy.table import Table

    from skyloom.surveys import cutouts

    wanted = Table.read(os.fspath(path).removesuffix(name) + WANTED)
    return cutouts.batch(name, path, wanted, settings)


KIND = SurveyKind(
    settings=DesiSettings,
    raw_files=raw_files,
    fetch="skyloom.surveys.desi:fetch",
    keys=("release", "images", "hsc_size"),
    later=later,
    listing="skyloom.surveys.desi:wanted_files",
    url="skyloom.surveys.desi:url",
    chosen_by=("release", "programs", "footprint", "most_files", "cuts", "modalities", "images"),
    columns=COLUMNS,
    access=("addresses", "access"),
    patterns=(r"spectra/healpix/.+\.fits", r"images/\d+/.+\.h5"),
    licence="CC-BY-4.0",
    citation=(
        "DESI Collaboration 2024, The Early Data Release of DESI, https://doi.org/10.3847/1538-3881/ad3217",
        "Dey et al. 2019, Overview of the DESI Legacy Imaging Surveys, https://doi.org/10.3847/1538-3881/ab089d",
    ),
)
