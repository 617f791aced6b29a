"""The mock survey as a survey: which raw files its tiles are. Light to import: the Snakefile builds the DAG from it."""

from skyloom.mock.footprint import tile_pixels
from skyloom.mock.layout import TILE_ROLES, hsc_size, programs, tile_files


def raw_files(survey: dict) -> dict[str, list[str]]:
    """The raw files by role of a mock survey of ``survey["tiles"]`` tiles: program by program, tile by tile."""
    size, pixels = hsc_size(survey), tile_pixels(survey["tiles"])
    tiles = [tile_files(program, hpix, size) for program in programs(survey) for hpix in pixels]
    return {
        **{role: [tile[role] for tile in tiles if role in tile] for role in TILE_ROLES},
        "zcatalog": ["zcatalog/zall-pix-mock.fits"],
        "properties": ["properties/BGS_ANY_full.provabgs.mock.hdf5"],
        "derived": ["properties/BGS_ANY_full.provabgs.mock.derived.hdf5"],
    }
