"""A survey small enough to count by hand: two coadd files, redshifts, two image files, an HSC file, properties."""

from pathlib import Path

import numpy as np
from astropy.table import Table

from skyloom.formats import desi, galaxiesml, legacy, provabgs

ARCSEC = 1 / 3600
FILES = ("coadd-sv3-bright-100.fits", "coadd-sv3-dark-100.fits")
GOOD = {"ZWARN": 0, "COADD_FIBERSTATUS": 0, "OBJTYPE": "TGT", "SPECTYPE": "GALAXY", "ZCAT_PRIMARY": True}
# What befalls each row of the redshift catalogue: TARGETID, how it differs from a good galaxy.
ROWS = (
    (16, {}),
    (1, {"ZCAT_PRIMARY": False}),  # a second spectrum of 1
    (1, {}),
    (2, {"ZWARN": 4}),
    (3, {"COADD_FIBERSTATUS": 512}),
    (4, {"OBJTYPE": "SKY"}),
    (5, {"SPECTYPE": "STAR"}),
    (7, {}),  # in no coadd file
    (8, {}),  # image 1.5" away
    (9, {}),  # closest to the image that 10 also finds
    (10, {}),
    (11, {}),  # without properties
    (12, {}),  # with a property row whose MAG_R is 0
    (13, {"PROGRAM": "dark"}),  # in both coadd files
    (14, {"TARGET_RA": 360 - 0.2 * ARCSEC}),  # image on the other side of the wrap
    (15, {"TARGET_RA": np.nan}),
    (16, {}),  # twice, both called primary
)
IMAGES = {1: 0.2, 2: 0.1, 7: 0.1, 8: 1.5, 9: 0.1, 11: 0.0, 12: 0.3, 13: 0.3, 14: 0.4, 16: 0.9}  # separation in arcsec
HSC = {13: 0.4, 11: 1.5, 1: 0.2, 9: 0.1}  # separation in arcsec
SPECTRA = ((1, 2, 3, 4, 5, 8, 9, 13), (16, 15, 14, 13, 12, 11, 10))
FLOW = [
    ("catalogue", "rows read", 17, 0),
    ("quality", "is_target", 16, 1),
    ("quality", "fibre_ok", 15, 1),
    ("quality", "redshift_ok", 14, 1),
    ("quality", "is_galaxy", 13, 1),
    ("quality", "best_spectrum", 12, 1),
    ("quality", "redshift finite, z -0.01 to 20", 12, 0),
    ("quality", "one row a TARGETID", 11, 1),
    ("spectrum", "spectrum in a coadd file", 10, 1),
    ("image", "image within 1 arcsec", 8, 2),
    ("image", "image not closer to another galaxy", 7, 1),
    ("labels", "in the property catalogue", 6, 1),
    ("labels", "mass_measured", 6, 0),
    ("labels", "mag_g_measured", 6, 0),
    ("labels", "mag_r_measured", 5, 1),
    ("labels", "mag_z_measured", 5, 0),
    ("labels", "metallicity, age and star formation derived", 5, 0),
]
LEFT = [1, 9, 11, 12, 13, 14, 16]


def position(targetid: int) -> tuple[float, float]:
    """Right ascension and declination in degrees: a degree apart, but 10 is 0.5" from 9 and 14 is at the wrap."""
    if targetid == 10:
        return 19.0, 30 + 0.5 * ARCSEC
    return (0.0 if targetid == 14 else 10.0 + targetid), (0.0 if targetid == 14 else 30.0)


def zcatalog() -> Table:
    """The redshift catalogue."""
    rows = []
    for targetid, differs in ROWS:
        ra, dec = position(targetid)
        row = {"TARGETID": targetid, "SURVEY": "sv3", "PROGRAM": "bright", "TARGET_RA": ra, "TARGET_DEC": dec}
        row |= {"Z": 0.01 * targetid, "ZERR": 1e-5, "DELTACHI2": 900.0, "EBV": 0.02}
        row |= {f"FLUX_{band}": targetid * factor for band, factor in (("G", 1.0), ("R", 2.0), ("Z", 3.0))}
        rows.append({**row, **GOOD, **differs})
    return Table(rows=rows)


def coadd(targetids, program: str, **header) -> desi.Coadd:
    """Spectra of constant flux."""
    n = len(targetids)
    ra, dec = np.array([position(targetid) for targetid in targetids]).T
    fibermap = Table({"TARGETID": targetids, "TARGET_RA": ra, "TARGET_DEC": dec})
    fibermap["COADD_FIBERSTATUS"], fibermap["OBJTYPE"] = np.zeros(n, "i4"), "TGT"
    wavelength = {arm: desi.arm_wavelength(arm) for arm in desi.ARMS}
    ones = {arm: np.ones((n, len(values)), "f4") for arm, values in wavelength.items()}
    mask = {arm: np.zeros(values.shape, "i4") for arm, values in ones.items()}
    return desi.Coadd(
        fibermap, wavelength, ones, ones, mask, header={**desi.healpix_header(100, "sv3", program), **header}
    )


def properties() -> Table:
    """The property table: all galaxies but 11."""
    targetid = np.array([number for number in range(20, 0, -1) if number != 11])
    table = Table({"TARGETID": targetid, "Z_HP": 0.01 * targetid, "PROVABGS_LOGMSTAR_BF": 9 + 0.1 * targetid})
    for band in "GRZ":
        table[f"MAG_{band}"] = 18.0
    table["MAG_R"][targetid == 12] = 0.0
    return table


def companion() -> Table:
    """What is derived of the galaxies of the property table."""
    table = properties()[["TARGETID"]]
    table["Z_MW"], table["TAGE_MW"], table["AVG_SFR"] = 0.01, 4.0, 1.0
    return table


def write(folder: Path) -> dict[str, list[str]]:
    """Write all files of the survey; their paths by role."""
    raw = {"coadd": [str(folder / name) for name in reversed(FILES)], "redrock": []}
    for name, program, targetids in zip(FILES, ("bright", "dark"), SPECTRA, strict=True):
        desi.write_coadd(folder / name, coadd(targetids, program))
    raw["zcatalog"] = [str(folder / "zall.fits")]
    desi.write_zcatalog(raw["zcatalog"][0], zcatalog())
    raw["images"] = [str(folder / "images-1.h5"), str(folder / "images-0.h5")]
    write_images(raw["images"])
    raw["hsc"] = [str(folder / "hsc.hdf5")]
    write_hsc(raw["hsc"][0])
    raw["properties"] = [str(folder / "properties.hdf5")]
    provabgs.write_properties(raw["properties"][0], properties())
    raw["derived"] = [str(folder / "derived.hdf5")]
    provabgs.write_companion(raw["derived"][0], companion())
    return raw


def write_images(paths: list[str]) -> None:
    """One black image for each entry of IMAGES, north of its galaxy, the later half in the second file by name."""
    targetids = np.array(list(IMAGES))
    ra, dec = np.array([position(targetid) for targetid in targetids]).T
    dec = dec + np.array(list(IMAGES.values())) * ARCSEC
    dec[targetids == 14], ra[targetids == 14] = 0.0, 0.2 * ARCSEC
    half = len(targetids) // 2
    for path, part in zip(sorted(paths), (slice(half), slice(half, None)), strict=True):
        n = len(targetids[part])
        numbers = {name: np.zeros(n, "i4") for name in ("release", "brickid", "objid")}
        flux = np.full((n, 3), 5.0)
        images = np.zeros((n, 3, 152, 152), "f4")
        legacy.write_cutouts(path, images, {"ra": ra[part], "dec": dec[part], "flux": flux, **numbers})


def write_hsc(path: str) -> None:
    """One HSC image for each entry of HSC, south of its galaxy."""
    ra, dec = np.array([position(targetid) for targetid in HSC]).T
    columns = {"object_id": np.array(list(HSC)), "ra": ra, "dec": dec - np.array(list(HSC.values())) * ARCSEC}
    galaxiesml.write_galaxiesml(path, np.ones((len(HSC), 5, 64, 64), "f4"), columns)
