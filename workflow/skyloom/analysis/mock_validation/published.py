"""Published relations as functions, for the curves of the figures. Ranges of the checks are in the table of checks."""

import numpy as np


def mass_function_driver(log_mstar: np.ndarray) -> np.ndarray:
    """Galaxies / Mpc^3 / dex, z < 0.1: Driver et al. 2022 (MNRAS 513, 439), H0 = 70, renormalised to z = 0."""
    return _double_schechter(log_mstar, 10.745, 10**-2.437, -0.466, 10**-3.201, -1.530)


def mass_function_baldry(log_mstar: np.ndarray) -> np.ndarray:
    """Galaxies / Mpc^3 / dex, z < 0.06: Baldry et al. 2012 (MNRAS 421, 621), H0 = 70."""
    return _double_schechter(log_mstar, 10.66, 3.96e-3, -0.35, 0.79e-3, -1.47)


def _double_schechter(log_mstar, knee, phi1, alpha1, phi2, alpha2):
    x = 10 ** (np.asarray(log_mstar) - knee)
    return np.log(10) * np.exp(-x) * (phi1 * x ** (alpha1 + 1) + phi2 * x ** (alpha2 + 1))


def stellar_metallicity(log_mstar: np.ndarray) -> np.ndarray:
    """Median log10 Z/Z_sun (3, m): 16th, 50th and 84th percentile of Gallazzi et al. 2005 (MNRAS 362, 41), table 2."""
    mass = [9.10, 9.31, 9.51, 9.72, 9.91, 10.11, 10.31, 10.51, 10.72, 10.91, 11.11, 11.31, 11.51, 11.72, 11.91]
    table = np.array(
        [
            [-1.09, -1.12, -1.11, -1.05, -1.00, -0.80, -0.60, -0.33, -0.19, -0.11, -0.06, -0.03, -0.02, -0.03, -0.04],
            [-0.61, -0.65, -0.61, -0.52, -0.41, -0.23, -0.11, -0.01, 0.04, 0.07, 0.10, 0.12, 0.13, 0.14, 0.15],
            [0.00, -0.05, -0.01, 0.05, 0.09, 0.14, 0.17, 0.19, 0.20, 0.22, 0.23, 0.24, 0.25, 0.26, 0.29],
        ]
    )
    return np.array([np.interp(log_mstar, mass, row) for row in table])


def oxygen_curti(log_mstar: np.ndarray) -> np.ndarray:
    """12 + log(O/H), electron-temperature scale: Curti et al. 2020 (MNRAS 491, 944), equation 2."""
    return 8.793 - 0.28 / 1.2 * np.log10(1 + 10 ** (-1.2 * (np.asarray(log_mstar) - 10.02)))


def oxygen_tremonti(log_mstar: np.ndarray) -> np.ndarray:
    """12 + log(O/H), photoionisation models: Tremonti et al. 2004 (ApJ 613, 898), equation 3, 8.5 < log M < 11.5."""
    x = np.asarray(log_mstar)
    return -1.492 + 1.847 * x - 0.08026 * x**2


def main_sequence(log_mstar: np.ndarray) -> np.ndarray:
    """log10 SFR (Msun/yr) of the ridge at 0.02 < z < 0.085: Renzini & Peng 2015 (ApJ 801, L29)."""
    return 0.76 * np.asarray(log_mstar) - 7.64


def size_late(log_mstar: np.ndarray) -> np.ndarray:
    """log10 of the half-light semi-major axis (kpc) at z = 0.25: van der Wel et al. 2014 (ApJ 788, 28), table 1."""
    return 0.86 + 0.25 * (np.asarray(log_mstar) - np.log10(5e10))


def size_early(log_mstar: np.ndarray) -> np.ndarray:
    """As `size_late`, for early types above 2e10 Msun."""
    return 0.60 + 0.75 * (np.asarray(log_mstar) - np.log10(5e10))


def kauffmann_line(log_nii_ha: np.ndarray) -> np.ndarray:
    """log [OIII]/Hbeta below which star formation alone is seen: Kauffmann et al. 2003 (MNRAS 346, 1055), eq. 1."""
    return _hyperbola(log_nii_ha, 0.61, 0.05, 1.3)


def kewley_line(log_nii_ha: np.ndarray) -> np.ndarray:
    """log [OIII]/Hbeta that star formation cannot exceed: Kewley et al. 2001 (ApJ 556, 121), equation 5."""
    return _hyperbola(log_nii_ha, 0.61, 0.47, 1.19)


def star_forming_ridge(log_nii_ha: np.ndarray, z: float = 0.0) -> np.ndarray:
    """log [OIII]/Hbeta of the star-forming sequence: Kewley et al. 2013 (ApJ 774, L10), equation 3."""
    return _hyperbola(log_nii_ha, 0.61, 0.02 + 0.1833 * z, 1.2 + 0.03 * z)


def _hyperbola(x, scale, pole, offset):
    """`scale` / (x - `pole`) + `offset` left of its pole, -inf right of it: nothing is below the line there."""
    x = np.asarray(x, float)
    return np.where(x < pole, scale / np.where(x < pole, x - pole, -1) + offset, -np.inf)
