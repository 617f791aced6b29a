"""The columns of a simulated catalogue, by what they are, and their units (`skyloom.formats.part_files`)."""

SCALARS = ("redshift", "log_mhalo", "log_mstar")
LABELS = ("z_mw", "t_age_mw", "avg_sfr")
UNITS = {
    "targetid": "",
    "ra": "deg",
    "dec": "deg",
    "redshift": "",
    "log_mhalo": "dex(Msun)",
    "log_mstar": "dex(Msun)",
    "z_mw": "",
    "t_age_mw": "Gyr",
    "avg_sfr": "Msun/yr",
    "lsst": "mag(AB)",
    "spherex": "mag(AB)",
    "sfh": "dex(Msun/yr)",
    "sed": "dex(Jy)",
    "lsst_image": "",
    "lsst_error": "mag",
    "spherex_error": "mag",
}
VECTORS = ("lsst", "spherex", "sfh", "sed", "lsst_image")
