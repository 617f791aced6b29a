"""What a quantity can be: values beyond are sentinels (99, -999), another unit or a logarithm of a logarithm.

The limits are wide: nothing that a survey could have measured lies outside. What does counts as missing.
"""

import numpy as np

RANGES = {
    "z": (-0.01, 20, ""),
    "redshift": (-0.01, 20, ""),
    "log_mstar": (3, 14, "dex(Msun)"),
    "log_mhalo": (6, 17, "dex(Msun)"),
    "z_mw": (0, 0.1, "mass fraction"),
    "t_age": (0, 14, "Gyr"),
    "t_age_mw": (0, 14, "Gyr"),
    "avg_sfr": (0, 1e5, "Msun/yr"),
    "ebv": (-0.1, 20, "mag"),
    **dict.fromkeys(("flux_g", "flux_r", "flux_z"), (-1e4, 1e7, "nanomaggy")),  # noise may be negative; 1e7 is 5 mag
    **dict.fromkeys(("mag_g", "mag_r", "mag_z"), (0, 45, "mag")),
    **dict.fromkeys(("lsst", "spherex"), (0, 45, "mag(AB)")),
}
"""Quantity -> lowest and highest value that can be, both included, and their unit."""


def within(name: str, values: np.ndarray) -> tuple[np.ndarray, int]:
    """`values` of quantity `name` as floats with NaN for what is outside RANGES or infinite, and how many these are.

    A quantity without range comes back as it is.
    """
    if name not in RANGES:
        return values, 0
    low, high, _ = RANGES[name]
    values = np.asarray(values)
    values = values if values.dtype.kind == "f" else values.astype(np.float64)
    outside = (values < low) | (values > high)
    return np.where(outside, np.nan, values), int(outside.sum())


def words(name: str) -> str:
    """The range of a quantity in words, such as "log_mstar 3 to 14 dex(Msun)"."""
    low, high, unit = RANGES[name]
    return f"{name} {low:g} to {high:g} {unit}".rstrip()
