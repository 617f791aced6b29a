"""Satellites of galaxies: how many a halo has, of which mass and kind, and where in it they are.

Every satellite came with a halo of its own. How many haloes of each mass a halo has swallowed is known from simulations
(Giocoli et al. 2008); the relation between stars and haloes, the same as for centrals, says what galaxy came with them;
SURVIVING is the share that has not merged with the central galaxy since, chosen so that there are as many as counted
around massive galaxies (Ruiz et al. 2015, MNRAS 454, 1605). They follow the dark matter (Guo et al. 2012, MNRAS 427,
428).
"""

import functools
from dataclasses import dataclass

import numpy as np
from astropy.cosmology import Planck18

from skyloom.mock.universe.population import halos, relations

SURVIVING = 0.4
SCATTER = 0.2  # dex of the stellar mass of a swallowed halo
QUENCHED_BY_HALO = (12.0, 0.2, 0.15)  # log10 mass, efficiency there, and its growth a dex
LEAST, MOST = 0.1, 0.9  # of that efficiency
LOG_RATIO = np.linspace(-5.0, 0.0, 501)  # of the masses of a swallowed halo and its host


@dataclass(frozen=True)
class Satellites:
    """`host` (k,): row of the halo, ascending; `log_mhalo` (k,) of the halo it came with, log10 Msun; `log_mstar` (k,)
    log10 Msun; `quenched` (k,) bool; `x`, `y` (k,) kpc on the sky from the centre."""

    host: np.ndarray
    log_mhalo: np.ndarray
    log_mstar: np.ndarray
    quenched: np.ndarray
    x: np.ndarray
    y: np.ndarray

    def __getitem__(self, rows) -> "Satellites":
        return Satellites(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.host)


def draw(
    log_mhalo: np.ndarray,
    log_mstar: np.ndarray,
    z: np.ndarray,
    lightest: np.ndarray,
    rng: np.random.Generator,
    density: float = 1.0,
) -> Satellites:
    """Satellites of n haloes of M200m `log_mhalo` around galaxies of `log_mstar`, both log10 Msun, at redshift `z`.

    Only those of more than `lightest` (n,), log10 Msun, and less than the central galaxy; `density` scales the numbers.
    """
    # swallowed haloes light enough that none of theirs would be missed for the scatter
    least = _halo_of(lightest - 2 * SCATTER, z) - log_mhalo
    cumulative = _swallowed()
    expected = np.interp(least, LOG_RATIO, cumulative)
    host = np.repeat(np.arange(len(z)), rng.poisson(SURVIVING * density * expected))
    n = len(host)
    ratio = np.interp(-rng.random(n) * expected[host], -cumulative, LOG_RATIO)
    stars = halos.stellar_mass(log_mhalo[host] + ratio, z[host]) + rng.normal(0, SCATTER, n)
    quenched = rng.random(n) < quenched_fraction(stars, z[host], log_mhalo[host])
    radius = virial_radius(log_mhalo, z)[host] * _within(concentration(log_mhalo, z)[host], rng.random(n))
    turn, height = rng.uniform(0, 2 * np.pi, n), rng.uniform(-1, 1, n)
    across = radius * np.sqrt(1 - height**2)
    found = Satellites(host, log_mhalo[host] + ratio, stars, quenched, across * np.cos(turn), across * np.sin(turn))
    return found[(stars > lightest[host]) & (stars < log_mstar[host])]


def quenched_fraction(log_mstar: np.ndarray, z: np.ndarray, log_mhalo: np.ndarray) -> np.ndarray:
    """Share of satellites of a stellar mass, in hosts of `log_mhalo`, that form few stars.

    As of other galaxies, and of the rest, whatever their mass (Wetzel et al. 2012, MNRAS 424, 232), 20 % in haloes of
    10^12 Msun (Phillips et al. 2015, MNRAS 447, 698) and 60 % in clusters (Weinmann et al. 2006, MNRAS 366, 2).
    """
    field = relations.quenched_fraction(log_mstar, z)
    mass, level, slope = QUENCHED_BY_HALO
    return field + (1 - field) * np.clip(level + slope * (np.asarray(log_mhalo) - mass), LEAST, MOST)


def virial_radius(log_mhalo: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Radius, proper kpc, within which a halo of M200m has 200 times the mean density of matter."""
    density = Planck18.Om0 * Planck18.critical_density0.to_value("Msun / kpc3") * (1 + np.asarray(z)) ** 3
    return (3 * 10 ** np.asarray(log_mhalo) / (4 * np.pi * 200 * density)) ** (1 / 3)


def concentration(log_mhalo: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Virial radius over scale radius of M200m haloes: Duffy et al. 2008 (MNRAS 390, L64), table 1, all haloes."""
    pivot = np.log10(2e12 / Planck18.h)
    return 10.14 * 10 ** (-0.081 * (np.asarray(log_mhalo) - pivot)) * (1 + np.asarray(z)) ** -1.01


def _halo_of(log_mstar, z):
    """log10 mass of the haloes that have galaxies of `log_mstar` (n,) at `z` (n,) on average."""
    low, high = np.full(len(z), 8.0), np.full(len(z), 16.0)
    for _ in range(30):
        middle = 0.5 * (low + high)
        above = halos.stellar_mass(middle, z) > log_mstar
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return high


@functools.cache
def _swallowed() -> np.ndarray:
    """Haloes of more than each of LOG_RATIO of its mass that a halo has swallowed: Giocoli et al. 2008 (MNRAS 386,
    2135), dN / dln x = .21 x^-.8 exp(-6.283 x^3)."""
    x = 10**LOG_RATIO
    rate = 0.21 * x**-0.8 * np.exp(-6.283 * x**3) * np.log(10)
    steps = 0.5 * (rate[1:] + rate[:-1]) * np.diff(LOG_RATIO)
    return np.append(np.cumsum(steps[::-1])[::-1], 0.0)


def _within(c: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Radius, in virial radii, that holds `share` of the mass of profiles of Navarro, Frenk & White with `c`."""

    def mass(x):
        return np.log1p(x) - x / (1 + x)

    wanted, low, high = share * mass(c), np.zeros_like(c), c.astype(float)
    for _ in range(24):
        middle = 0.5 * (low + high)
        more = mass(middle) < wanted
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return high / c
