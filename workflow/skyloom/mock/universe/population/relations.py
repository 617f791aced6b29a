"""Scaling relations of galaxies from the literature, as plain functions of stellar mass (log10 Msun) and redshift.

Where a paper gives no evolution over 0 < z < 0.6 a mild one is assumed; the comment says so.
"""

import numpy as np


def mass_function(log_mstar: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Galaxies / Mpc^3 / dex: Driver et al. 2022 (MNRAS 513, 439; GAMA) at z = .05, Leja et al. 2020 from z = .2.

    The latter (ApJ 893, 111, continuity model, .2 < z < 3) has parameters quadratic in redshift through their values at
    z = .2, 1.6 and 3. Between the two, log density is linear in redshift.
    """
    log_mstar, z = np.asarray(log_mstar, float), np.asarray(z, float)
    late = np.clip(z, 0.2, 3.2)
    nodes = (0.2, 1.6, 3.0)
    bend = _quadratic(late, nodes, (10.79, 10.88, 10.84))
    phi1, phi2 = _quadratic(late, nodes, (-2.44, -3.08, -4.14)), _quadratic(late, nodes, (-2.89, -3.29, -3.51))
    far = _double_schechter(log_mstar, bend, phi1, -0.28, phi2, -1.48)
    near = _double_schechter(log_mstar, 10.745, -2.437, -0.466, -3.201, -1.530)
    weight = np.clip((z - 0.05) / 0.15, 0, 1)
    return near ** (1 - weight) * far**weight


def _double_schechter(log_mstar, bend, log_phi1, alpha1, log_phi2, alpha2):
    x = log_mstar - bend
    low = 10 ** (log_phi1 + (alpha1 + 1) * x) + 10 ** (log_phi2 + (alpha2 + 1) * x)
    return np.log(10) * np.exp(-(10**x)) * low


def _quadratic(x, nodes, values):
    """The parabola through three points, at x."""
    return np.polyval(np.polyfit(nodes, values, 2), x)


def quenched_fraction(log_mstar: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Share of galaxies that form few stars.

    Mass quenching 1 - exp(-(M / 10^10.5)^0.8) of Peng et al. 2010 (ApJ 721, 193), its mass scale growing by 0.4 dex per
    unit redshift (assumed), plus 10 % quenched by their environment at any mass.
    """
    by_mass = 1 - np.exp(-(10 ** (0.8 * (log_mstar - 10.5 - 0.4 * np.asarray(z)))))
    return 1 - (1 - by_mass) * (1 - 0.1)


def main_sequence(log_mstar: np.ndarray, age_gyr: np.ndarray) -> np.ndarray:
    """log10 SFR (Msun/yr) of star-forming galaxies: Popesso et al. 2023 (MNRAS 519, 1526), equation 15.

    `age_gyr` is the age of the universe; 0 < z < 6, bending above a mass that grows with redshift.
    """
    bend = 10 ** (np.asarray(log_mstar) - (10.85 - 0.0729 * age_gyr))
    return 2.693 - 0.186 * age_gyr - np.log10(1 + bend**-0.99)


def metallicity(log_mstar: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Median log10 Z/Z_sun of the stars at a stellar mass: Gallazzi et al. 2005 (MNRAS 362, 41), table 2.

    Compressed by a quarter towards solar: their light-weighted relation is steeper than mass-weighted ones. Falls by
    0.15 dex per unit redshift (Sanders et al. 2021, ApJ 914, 19: .11 in oxygen to z = 2.3, to which iron lags).
    """
    mass = [8.9, 9.1, 9.3, 9.5, 9.7, 9.9, 10.1, 10.3, 10.5, 10.7, 10.9, 11.1, 11.3, 11.5, 11.7, 11.9]
    log_z = [-0.60, -0.61, -0.65, -0.61, -0.52, -0.41, -0.23, -0.11, -0.01, 0.04, 0.07, 0.10, 0.12, 0.13, 0.14, 0.15]
    below = np.minimum(log_mstar - mass[0], 0) * 0.2
    return 0.75 * (np.interp(log_mstar, mass, np.minimum.accumulate(log_z[::-1])[::-1]) + below) - 0.15 * np.asarray(z)


def metallicity_scatter(log_mstar: np.ndarray) -> np.ndarray:
    """Scatter of log10 Z at a stellar mass, dex: .29 at 10^10.3 Msun, twice as large in dwarfs as in giants.

    As the percentiles of Gallazzi et al. 2005, table 2, fall with mass.
    """
    return np.clip(0.29 - 0.15 * (np.asarray(log_mstar) - 10.3), 0.18, 0.4)


def gas_metallicity(log_mstar: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Median log10 Z/Z_sun of the gas of star-forming galaxies: Curti et al. 2020 (MNRAS 491, 944), equation 2.

    The sun of the nebular grid has 12 + log(O/H) = 8.93. Lowered by 0.1 dex per unit redshift (Zahid et al. 2014, ApJ
    791, 130, find about that for massive galaxies).
    """
    oxygen = 8.793 - 0.28 / 1.2 * np.log10(1 + 10 ** (-1.2 * (log_mstar - 10.02)))
    return oxygen - 8.93 - 0.1 * np.asarray(z)


def attenuation(log_mstar: np.ndarray) -> np.ndarray:
    """Typical A_V (mag) before the stars of star-forming galaxies: Garn & Best 2010 (MNRAS 409, 421), equation 11.

    Their A(H-alpha) in the Calzetti curve (A_V = A / .82), times .44 for stars; z = .1, and little change with redshift
    at fixed mass (Shapley et al. 2022, ApJ 926, 145).
    """
    x = np.clip(np.asarray(log_mstar) - 10, -1.5, 1.2)
    return 0.44 / 0.82 * np.maximum(0.91 + 0.77 * x + 0.11 * x**2 - 0.09 * x**3, 0.1)


def median_radius(log_mstar: np.ndarray, z: np.ndarray, quenched: np.ndarray) -> np.ndarray:
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
