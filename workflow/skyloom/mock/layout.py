"""The settings and files of the mock survey, files named as the archives name theirs.

A tile is one HEALPix pixel (nside 64, nested) in one program: bright or dark. The Snakefile reads this while it builds
the DAG, so nothing heavy is imported.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import model_validator

from skyloom.settings.section import Section, refuse, setting
from skyloom.settings.survey import SurveySettings

SURVEY = "sv3"
TARGETS = {"bright": ("bgs",), "dark": ("lrg", "elg", "qso")}
"""Program -> the kinds of target it observes."""
LICENCE = "BSD-3-Clause"
"""Of all that is simulated here: that of the code that makes it."""
CITATION = (
    "Bruzual & Charlot 2003, Stellar population synthesis at the resolution of 2003, "
    "https://doi.org/10.1046/j.1365-8711.2003.06897.x",
    "Carnall et al. 2018, Inferring the star formation histories of massive quiescent galaxies with BAGPIPES, "
    "https://doi.org/10.1093/mnras/sty2169",
)
"""What its light is made from."""
TILE_ROLES = ("coadd", "redrock", "images", "hsc", "truth")


class Targets(Section):
    """Targets in a tile without edges, by kind; lrg, elg and qso are the dark program and get tiles of their own."""

    bgs: int = setting(0, ge=0, le=50000)
    "Bright Galaxy Survey; 700 is about its density"
    lrg: int = setting(0, ge=0, le=50000)
    "luminous red galaxies; about 500"
    elg: int = setting(0, ge=0, le=50000)
    "emission-line galaxies; about 2000"
    qso: int = setting(0, ge=0, le=50000)
    "quasars; about 260. They need `cuts` that keep quasars"


class MockSettings(SurveySettings):
    """Keys of a survey of kind `mock`."""

    population: Literal["parametric", "diffsky"] = setting("parametric")
    "how galaxies are drawn"
    magnitude_limit: float = setting(19.5, ge=14, le=20.175)
    "of BGS targets in r: 19.5 is DESI's Bright, 20.175 adds its Faint sample"
    tiles: int = setting(7, ge=1, le=4096)
    "neighbouring HEALPix pixels (nside 64), one job each"
    targets_per_tile: Targets = setting(Targets(bgs=700))
    "targets in a tile without edges, by kind"
    hsc_size: Literal[64, 127] = setting(64)
    "pixels a side of the HSC images (if hsc_image is a modality)"
    image_camera: Literal["legacy", "hsc"] = setting("legacy")
    "whose `image` is, and the photometry with it; hsc: HSC's g, r2, z put on the Legacy Surveys' pixels"
    anomaly_rate: float = setting(0.0, ge=0, le=1)
    "share of galaxies in which something is wrong on purpose, labelled in the truth table; mock/survey/anomalies.py"
    exposure: float | None = setting(None, gt=0)
    "effective seconds of the spectra; without this key 200 in the bright program, 1000 in the dark"
    resolution: bool = setting(False)
    "write the resolution matrices too, which quadruple the coadds"
    neighbours: float = setting(1.0, ge=0)
    "density of stars and galaxies beside the targets; 1 is the real sky's"
    image_depth: float = setting(0.0, ge=-4, le=4)
    "mag by which images are deeper than those of the real surveys; below 0 shallower"
    image_seeing: float = setting(1.0, ge=0.5, le=4)
    "widths of the images' point spread functions, in units of the real surveys'"
    artefact_rate: float = setting(1.0, ge=0)
    "satellite trails, halos, masked pixels and edges in images; 1 is about a real survey's, 0 takes bleeds away too"
    image_calibration: float = setting(1.0, ge=0, le=50)
    "errors of the images' zero points, which catalogued fluxes share, in units of the real surveys'"
    one_sided: float = setting(0.04, ge=0, lt=1)
    "share of galaxies missing from one of two catalogues, half from each"
    duplicates: float = setting(0.01, ge=0, le=1)
    "share of imaging rows that are listed twice"
    astrometric_scatter: float = setting(0.06, ge=0)
    "arcsec, error of catalogued positions in each direction"

    @model_validator(mode="after")
    def _targets(self):
        if not programs(self.plain()):
            given = self.targets_per_tile.model_dump(exclude_unset=True)
            raise refuse("targets_per_tile", f"{given} asks for no galaxy; expected a number above 0")
        return self


TILE_KEYS = tuple(name for name in MockSettings.model_fields if name not in (*SurveySettings.model_fields, "tiles"))
"""What of a survey's configuration a tile depends on."""


def default(config: Mapping, key: str):
    """A setting of a tile, its default if `config` does not say."""
    return config.get(key, MockSettings.model_fields[key].default)


def tile_files(program: str, hpix: int, hsc_size: int | None = None) -> dict[str, str]:
    """The files of one tile by role, relative to the survey's raw folder; `hsc` if `hsc_size` (pixels) is given."""
    return tile_names(program, hpix, hpix // 100, hsc_size)


def tile_names(program: str, hpix: int | str, group: int | str, hsc_size: int | None = None) -> dict[str, str]:
    """As `tile_files`, also with wildcards in place of values."""
    folder = f"spectra/healpix/{SURVEY}/{program}/{group}/{hpix}"
    name = f"{SURVEY}-{program}-{hpix}"
    hsc = f"hsc/{group}/5x{hsc_size}x{hsc_size}_{program}_{hpix}_with_morphology.hdf5"
    return {
        "coadd": f"{folder}/coadd-{name}.fits",
        "redrock": f"{folder}/redrock-{name}.fits",
        "images": f"images/{group}/images_npix152_{program}_{hpix}.h5",
        **({"hsc": hsc} if hsc_size else {}),
        "truth": f"truth/{group}/truth-{program}-{hpix}.parquet",
    }


def programs(survey: Mapping) -> list[str]:
    """The programs that a mock survey has targets in, by its `targets_per_tile` (BGS unless it says)."""
    wanted = survey.get("targets_per_tile", {"bgs": 1})
    return [program for program, kinds in TARGETS.items() if any(wanted.get(kind, 0) for kind in kinds)]


def hsc_size(survey: Mapping) -> int | None:
    """Pixels along a side of a mock survey's HSC images, None if it has none."""
    return default(survey, "hsc_size") if "hsc_image" in survey.get("modalities", ()) else None
