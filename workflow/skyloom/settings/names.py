"""The words every room shares: modalities, roles of raw files, splits, properties."""

ROLES = (
    *("coadd", "redrock", "zcatalog", "images", "bricks", "hsc"),
    *("metadata", "partitions", "simulated", "spectra", "properties", "derived", "truth"),
)
"""What a raw file is for, in every survey."""

NUMBERED = ("coadd", "simulated", "spectra")
"""Roles whose files decide the shard of a galaxy: the number of its file, modulo the shards."""

LISTED = ("images", "bricks", "hsc", "truth")
"""Roles whose files are so many that jobs take their manifest for them: any galaxy may be in any of them."""

MODALITIES = {"spectrum": ("coadd", "spectra"), "image": ("images",), "hsc_image": ("hsc",)} | dict.fromkeys(
    ("scalars", "lsst", "spherex", "sfh", "sed", "lsst_image"), ("simulated",)
)
MODALITIES["magnitudes"] = ("zcatalog",)
"""What a survey can hold of a galaxy, and the roles of the raw files it may be in: each modality has token shards,
`results/{survey}/tokens/{modality}`, of its own."""

CLASSES = ("GALAXY", "QSO", "STAR")
"""Classes of spectra, by redrock's names. Where a label must be a number, it is the place in this list."""

IMAGES = ("image", "hsc_image")
"""The modalities that a cross-match brings to the galaxies."""

JOINT = "joint"
"""What stands for a modality in the name of an embedding that is made of several."""

SPLITS = ("train", "validation", "test")

PROPERTIES_QUERY = "properties"
"""What a model is asked that predicts columns of galaxies.parquet, a column of its answers each."""

PROPERTIES = {
    "z": "redshift",
    "log_mstar": "log M* [Msun]",
    "z_mw": "Z_MW",
    "log_z_mw": "log Z_MW",
    "t_age": "t_age [Gyr]",
    "avg_sfr": "SFR [Msun/yr]",
    "log_ssfr": "log sSFR [1/yr]",
    "ssfr_legacy": "sSFR (legacy)",
}
"""Columns of galaxies.parquet that an analysis can ask for, and what they are called on an axis."""
