"""The files of the mock survey, named as the archives name theirs.

A tile is one HEALPix pixel (nside 64, nested) in one program: bright or dark. The Snakefile reads this while it builds
the DAG, so nothing heavy is imported.
"""

from collections.abc import Mapping

from skyloom.core.errors import BadConfig

SURVEY = "sv3"
TARGETS = {"bright": ("bgs",), "dark": ("lrg", "elg", "qso")}
"""Program -> the kinds of target it observes."""
TILE_ROLES = ("coadd", "redrock", "images", "hsc", "truth")
DEFAULTS = {
    "hsc_size": 64,
    "anomaly_rate": 0,
    "exposure": None,  # that of the program, spectrograph.instrument.EXPOSURES
    "resolution": False,
    "neighbours": 1.0,
    "artefact_rate": 1.0,
    "zero_point_scatter": 0.02,
    "one_sided": 0.04,
    "duplicates": 0.01,
    "astrometric_scatter": 0.06,
}
"""The optional settings of a tile, in the units of ``schemas/surveys/mock.yaml``."""
TILE_KEYS = ("population", "magnitude_limit", "targets_per_tile", *DEFAULTS)
"""What of a survey's configuration a tile depends on."""


def setting(config: Mapping, key: str):
    """An optional setting of a survey, its default if the survey does not say."""
    return config.get(key, DEFAULTS[key])


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


def programs(survey: dict) -> list[str]:
    """The programs that a mock survey has targets in, by its `targets_per_tile` (BGS unless it says).

    Raises BadConfig if that asks for none.
    """
    wanted = survey.get("targets_per_tile", {"bgs": 1})
    found = [program for program, kinds in TARGETS.items() if any(wanted.get(kind, 0) for kind in kinds)]
    if not found:
        raise BadConfig(f"targets_per_tile: {wanted} asks for no galaxy; expected a number above 0")
    return found


def hsc_size(survey: dict) -> int | None:
    """Pixels along a side of a mock survey's HSC images, None if it has none."""
    return setting(survey, "hsc_size") if "hsc_image" in survey.get("modalities", ()) else None
