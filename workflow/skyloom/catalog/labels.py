"""What the encoders are asked to know: physical properties of galaxies as numbers of a sensible scale."""

import numpy as np

NAMES = ("log_mstar", "z_mw", "log_z_mw", "t_age", "avg_sfr", "log_ssfr", "ssfr_legacy")


def labels(log_mstar, z_mw, tage_mw, avg_sfr) -> dict[str, np.ndarray]:
    """Labels from the columns of a property table.

    Parameters
    ----------
    log_mstar : (N,)
        LOG_MSTAR, log10 of the stellar mass in solar masses.
    z_mw : (N,)
        Z_MW, mass-weighted stellar metallicity as a mass fraction.
    tage_mw : (N,)
        TAGE_MW, mass-weighted stellar age in Gyr.
    avg_sfr : (N,)
        AVG_SFR, star formation rate in solar masses a year.

    Returns
    -------
    dict of (N,) float64
        ``log_mstar``, ``z_mw``, ``log_z_mw`` (log10), ``t_age`` (Gyr), ``avg_sfr`` (Msun/yr),
        ``log_ssfr`` = log10(AVG_SFR) - LOG_MSTAR (log10 of 1/yr, about -10 for a star-forming galaxy), and
        ``ssfr_legacy`` = ln(AVG_SFR) - ln(Z_MW): what AstroCLIP's published code and, after it, the benchmark's tables
        call sSFR. It divides by the metallicity, not the mass, and is here only for comparison with those tables.
        NaN where a logarithm does not exist, as for a galaxy that forms no stars.
    """
    log_mstar, z_mw, tage_mw, avg_sfr = (
        np.asarray(values, np.float64) for values in (log_mstar, z_mw, tage_mw, avg_sfr)
    )
    return {
        "log_mstar": log_mstar,
        "z_mw": z_mw,
        "log_z_mw": np.log10(positive(z_mw)),
        "t_age": tage_mw,
        "avg_sfr": avg_sfr,
        "log_ssfr": np.log10(positive(avg_sfr)) - log_mstar,
        "ssfr_legacy": np.log(positive(avg_sfr)) - np.log(positive(z_mw)),
    }


def positive(values: np.ndarray) -> np.ndarray:
    """`values` with NaN for what is not above zero."""
    return np.where(values > 0, values, np.nan)
