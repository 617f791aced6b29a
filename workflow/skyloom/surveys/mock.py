"""The mock survey: which raw files its tiles are."""

from skyloom.mock.footprint import tile_pixels
from skyloom.mock.layout import CITATION, LICENCE, TILE_KEYS, TILE_ROLES, MockSettings, hsc_size, programs, tile_files
from skyloom.settings.kinds import SurveyKind


def raw_files(settings: MockSettings) -> dict[str, list[str]]:
    """The raw files by role: program by program, tile by tile."""
    survey = settings.plain()
    size, pixels = hsc_size(survey), tile_pixels(settings.tiles)
    tiles = [tile_files(program, hpix, size) for program in programs(survey) for hpix in pixels]
    return {
        **{role: [tile[role] for tile in tiles if role in tile] for role in TILE_ROLES},
        "zcatalog": ["zcatalog/zall-pix-mock.fits"],
        "properties": ["properties/BGS_ANY_full.provabgs.mock.hdf5"],
        "derived": ["properties/BGS_ANY_full.provabgs.mock.derived.hdf5"],
    }


KIND = SurveyKind(
    settings=MockSettings,
    raw_files=raw_files,
    keys=TILE_KEYS,
    simulated=True,
    licence=LICENCE,
    citation=CITATION,
)
