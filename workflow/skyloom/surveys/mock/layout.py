"""The files of the mock survey, named as the archives name theirs: one tile is one HEALPix pixel (nside 64, nested)."""


def tile_files(hpix: int) -> dict[str, str]:
    """The files of one tile by role, relative to the survey's raw folder."""
    folder = f"spectra/healpix/sv3/bright/{hpix // 100}/{hpix}"
    return {
        "coadd": f"{folder}/coadd-sv3-bright-{hpix}.fits",
        "redrock": f"{folder}/redrock-sv3-bright-{hpix}.fits",
        "images": f"images/{hpix // 100}/images_npix152_{hpix}.h5",
        "truth": f"truth/{hpix // 100}/truth-{hpix}.parquet",
    }


def raw_files(survey: dict) -> dict[str, list[str]]:
    """The raw files by role of a mock survey of ``survey["tiles"]`` tiles, in the order of the tiles."""
    # Here and not above, so that the names of one tile cost no import.
    from skyloom.surveys.mock.footprint import tile_pixels

    tiles = [tile_files(hpix) for hpix in tile_pixels(survey["tiles"])]
    by_tile = {role: [tile[role] for tile in tiles] for role in ("coadd", "redrock", "images", "truth")}
    return {
        **by_tile,
        "zcatalog": ["zcatalog/zall-pix-mock.fits"],
        "properties": ["properties/BGS_ANY_full.provabgs.mock.hdf5"],
    }
