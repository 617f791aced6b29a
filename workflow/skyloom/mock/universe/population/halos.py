"""Dark-matter haloes: how many there are of each mass, and in which a galaxy of a given stellar mass lives."""

import functools

import numpy as np
from astropy.cosmology import Planck18

SIGMA_8, TILT = 0.8102, 0.9665  # Planck 2018, TT,TE,EE+lowE+lensing+BAO
SCATTER = 0.16  # dex of stellar mass at a halo mass (Behroozi, Wechsler & Conroy 2013, ApJ 770, 57: .15 to .2)
LOG_HALO = np.arange(9.5, 15.8, 0.02)
LOG_STELLAR = np.arange(6.0, 12.61, 0.05)
SCALE_STEP = 0.02  # of z/(1+z) between tables


def halo_mass(log_mstar: np.ndarray, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """log10 halo mass (Msun) drawn for galaxies of given stellar mass, P(halo | stars) ~ P(stars | halo) n(halo).

    Stars scatter by SCATTER about the relation of Moster et al. 2013; since small haloes abound, a massive galaxy
    mostly lives in a smaller halo than the relation's inverse says.
    """
    log_mstar, z = np.asarray(log_mstar, float), np.asarray(z, float)
    cumulative = _tables()
    slices = np.clip(np.rint(z / (1 + z) / SCALE_STEP).astype(int), 0, len(cumulative) - 1)
    row = np.clip(np.rint((log_mstar - LOG_STELLAR[0]) / 0.05).astype(int), 0, len(LOG_STELLAR) - 1)
    wanted = rng.random(len(z))
    column = (cumulative[slices, row] < wanted[:, None]).sum(axis=1)
    # the tables' stellar masses are .05 dex apart: follow the relation for the rest
    step = LOG_HALO[np.minimum(column, len(LOG_HALO) - 1)] + 0.02 * (rng.random(len(z)) - 0.5)
    return step + (log_mstar - LOG_STELLAR[row]) / _slope(step, z)


def stellar_mass(log_mhalo: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Mean log10 stellar mass (Msun) of a halo's central galaxy: Moster et al. 2013 (MNRAS 428, 3121), table 1."""
    a = np.asarray(z) / (1 + np.asarray(z))
    x = np.asarray(log_mhalo) - (11.590 + 1.195 * a)
    beta, gamma = 1.376 - 0.826 * a, 0.608 + 0.329 * a
    return log_mhalo + np.log10(2 * (0.0351 - 0.0247 * a) / (10 ** (-beta * x) + 10 ** (gamma * x)))


def mass_function(log_mhalo: np.ndarray, z: float) -> np.ndarray:
    """Haloes / Mpc^3 / dex at log10 M200m (Msun): Tinker et al. 2008 (ApJ 688, 709) in the Planck 2018 cosmology."""
    log_sigma = np.interp(log_mhalo, *_log_sigma()) + np.log10(_growth(z))
    slope = np.gradient(_log_sigma()[1], _log_sigma()[0])
    sigma = 10**log_sigma
    height = 0.186 * (1 + z) ** -0.14
    a, b, c = 1.47 * (1 + z) ** -0.06, 2.57 * (1 + z) ** -(10 ** -((0.75 / np.log10(200 / 75)) ** 1.2)), 1.19
    multiplicity = height * ((sigma / b) ** -a + 1) * np.exp(-c / sigma**2)
    density = Planck18.Om0 * Planck18.critical_density0.to_value("Msun / Mpc3")
    return multiplicity * density / 10**log_mhalo * -np.interp(log_mhalo, _log_sigma()[0], slope) * np.log(10)


def _slope(log_mhalo, z):
    """d log stellar mass / d log halo mass of the relation."""
    return (stellar_mass(log_mhalo + 0.01, z) - stellar_mass(log_mhalo - 0.01, z)) / 0.02


@functools.cache
def _tables() -> np.ndarray:
    """Cumulative P(halo | stars), (redshift slices, LOG_STELLAR, LOG_HALO) f4."""
    tables = []
    for a in np.arange(0, 0.83, SCALE_STEP):
        z = a / (1 - a)
        offset = (LOG_STELLAR[:, None] - stellar_mass(LOG_HALO, z)) / SCATTER
        # the logarithm keeps what underflows: the largest term of each row is made 1
        log_p = np.log(mass_function(LOG_HALO, z)) - 0.5 * offset**2
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        tables.append(np.cumsum(p, axis=1) / p.sum(axis=1, keepdims=True))
    return np.array(tables, "f4")


@functools.cache
def _log_sigma() -> tuple[np.ndarray, np.ndarray]:
    """log10 M (Msun) and log10 of the rms of the linear density field at z = 0 in spheres that hold M."""
    k = np.geomspace(1e-4, 3e2, 3000)  # 1/Mpc
    h = Planck18.h
    density = Planck18.Om0 * Planck18.critical_density0.to_value("Msun / Mpc3")
    log_m = np.arange(9.0, 16.2, 0.05)
    radius = np.append((3 * 10**log_m / (4 * np.pi * density)) ** (1 / 3), 8 / h)
    x = k * radius[:, None]
    window = np.where(x < 1e-2, 1 - x**2 / 10, 3 * (np.sin(x) - x * np.cos(x)) / x**3)
    variance = np.trapezoid(k ** (TILT + 3) * _transfer(k) ** 2 * window**2, np.log(k), axis=1)
    return log_m, np.log10(SIGMA_8 * np.sqrt(variance[:-1] / variance[-1]))


def _transfer(k: np.ndarray) -> np.ndarray:
    """Transfer function without baryon wiggles: Eisenstein & Hu 1998 (ApJ 496, 605), equations 26 to 31; k in 1/Mpc."""
    h, omega = Planck18.h, Planck18.Om0 * Planck18.h**2
    baryons = Planck18.Ob0 / Planck18.Om0
    sound = 44.5 * np.log(9.83 / omega) / np.sqrt(1 + 10 * (baryons * omega) ** 0.75)
    alpha = 1 - 0.328 * np.log(431 * omega) * baryons + 0.38 * np.log(22.3 * omega) * baryons**2
    shape = Planck18.Om0 * h * (alpha + (1 - alpha) / (1 + (0.43 * k * sound) ** 4))
    q = k / h * (2.7255 / 2.7) ** 2 / shape
    l0 = np.log(2 * np.e + 1.8 * q)
    return l0 / (l0 + (14.2 + 731 / (1 + 62.5 * q)) * q**2)


def _growth(z: float) -> float:
    """Linear growth factor, 1 at z = 0 (Carroll, Press & Turner 1992, ARA&A 30, 499)."""

    def raw(z):
        matter, dark = Planck18.Om(z), Planck18.Ode(z)
        return 2.5 * matter / (matter ** (4 / 7) - dark + (1 + matter / 2) * (1 + dark / 70)) / (1 + z)

    return float(raw(z) / raw(0.0))
