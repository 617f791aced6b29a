"""Scaling relations of galaxies from the literature, as plain functions of stellar mass (log10 Msun) and redshift.

Where a paper gives no evolution over 0 < z < 0.6 a mild one is assumed; the comment says so.
"""

import numpy as np


def mass_function(log_mstar: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Galaxies / Mpc^3 / dex: the double Schechter function of Baldry et al. 2012 (MNRAS 421, 621; GAMA, z < 0.06).

    Evolution: the density falls by 0.25 dex per unit redshift, the order of what Moustakas et al. 2013 (ApJ 767, 50)
    find for the sum of star-forming and quiescent galaxies.
    """
    x = 10 ** (log_mstar - 10.66)
    density = np.log(10) * np.exp(-x) * (3.96e-3 * x ** (-0.35 + 1) + 0.79e-3 * x ** (-1.47 + 1))
    return density * 10 ** (-0.25 * np.asarray(z))


def quenched_fraction(log_mstar: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Share of galaxies that form few stars.

    Mass quenching 1 - exp(-(M / 10^10.5)^0.8) of Peng et al. 2010 (ApJ 721, 193), its mass scale growing by 0.4 dex per
    unit redshift (assumed), plus 10 % quenched by their environment at any mass.
    """
    by_mass = 1 - np.exp(-(10 ** (0.8 * (log_mstar - 10.5 - 0.4 * np.asarray(z)))))
    return 1 - (1 - by_mass) * (1 - 0.1)


def main_sequence(log_mstar: np.ndarray, age_gyr: np.ndarray) -> np.ndarray:
    """log10 SFR (Msun/yr) of star-forming galaxies: Speagle et al. 2014 (ApJS 214, 15), age of the universe in Gyr.

    Lowered by 0.2 dex, the offset their calibration has from SDSS at z < 0.1.
    """
    return (0.84 - 0.026 * age_gyr) * log_mstar - (6.51 - 0.11 * age_gyr) - 0.2


def metallicity(log_mstar: np.ndarray) -> np.ndarray:
    """Median log10 Z/Z_sun of the stars at a stellar mass: Gallazzi et al. 2005 (MNRAS 362, 41), table 2.

    Compressed by a quarter towards solar: their light-weighted relation is steeper than mass-weighted ones.
    """
    mass = [8.9, 9.1, 9.3, 9.5, 9.7, 9.9, 10.1, 10.3, 10.5, 10.7, 10.9, 11.1, 11.3, 11.5, 11.7, 11.9]
    log_z = [-0.60, -0.61, -0.65, -0.61, -0.52, -0.41, -0.23, -0.11, -0.01, 0.04, 0.07, 0.10, 0.12, 0.13, 0.14, 0.15]
    below = np.minimum(log_mstar - mass[0], 0) * 0.2
    return 0.75 * (np.interp(log_mstar, mass, np.minimum.accumulate(log_z[::-1])[::-1]) + below)


def metallicity_scatter(log_mstar: np.ndarray) -> np.ndarray:
    """Scatter of log10 Z at a stellar mass, dex: about .28, larger at low mass as in Gallazzi et al. 2005, table 2."""
    return np.clip(0.28 - 0.06 * (log_mstar - 10.3), 0.22, 0.4)


def halo_mass(log_mstar: np.ndarray, z: np.ndarray) -> np.ndarray:
    """log10 halo mass (Msun) whose central has this stellar mass: Moster et al. 2013 (MNRAS 428, 3121), inverted."""
    log_mh = np.linspace(9.5, 16.0, 400)
    out = np.empty(np.broadcast(log_mstar, z).shape)
    a = np.asarray(z) / (1 + np.asarray(z))
    # the relation drifts slowly: one inverse for each slice of z/(1+z) is exact to .01 dex
    slices = np.rint(a / 0.02).astype(int)
    for value in np.unique(slices):
        step = value * 0.02
        m1, n = 11.590 + 1.195 * step, 0.0351 - 0.0247 * step
        beta, gamma = 1.376 - 0.826 * step, 0.608 + 0.329 * step
        x = 10 ** (log_mh - m1)
        stellar = log_mh + np.log10(2 * n / (x**-beta + x**gamma))
        same = slices == value
        out[same] = np.interp(np.asarray(log_mstar)[same], stellar, log_mh)
    return out


def half_light_radius(log_mstar: np.ndarray, z: np.ndarray, quenched: np.ndarray) -> np.ndarray:
    """Median half-light radius along the major axis in kpc: van der Wel et al. 2014 (ApJ 788, 28), figure 6.

    Late types 8.9 kpc (1+z)^-0.75 M^0.22, early types 5.6 kpc (1+z)^-1.48 M^0.75 at 5e10 Msun; the latter flattens
    below 10^10 Msun, where quenched galaxies follow the late ones (their section 3).
    """
    x = np.asarray(log_mstar) - np.log10(5e10)
    late = np.log10(8.9) - 0.75 * np.log10(1 + z) + 0.22 * x
    early = np.log10(5.6) - 1.48 * np.log10(1 + z) + np.where(x > -0.7, 0.75 * x, 0.75 * -0.7 + 0.15 * (x + 0.7))
    return 10 ** np.where(quenched, early, late)


def velocity_dispersion(log_mstar: np.ndarray) -> np.ndarray:
    """log10 of the stellar velocity dispersion (km/s) of early types: Zahid et al. 2016 (ApJ 832, 203), SDSS."""
    x = np.asarray(log_mstar) - 10.26
    return 2.073 + np.where(x > 0, 0.293, 0.403) * x
