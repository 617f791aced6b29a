"""Shapes of galaxies: bulge, disc, bar, arms and clumps, by mass and type."""

from collections.abc import Mapping

import numpy as np
from scipy.special import gammainc, gammaincinv

from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.population import relations

COLOUR_OF_BULGE = np.array([0.80, 1.00, 1.10])  # bulges are redder: their share grows from g to z


def draw(log_mstar, redshift, quenched, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The fields of Population that an image is made of, all (n,) but bulge_fraction (n, 3)."""
    n = len(redshift)
    size = relations.median_radius(log_mstar, redshift, quenched)
    size = size * 10 ** rng.normal(0, np.where(quenched, 0.13, 0.18))
    size = np.maximum(size / cosmology.kpc_per_arcsec(redshift), 0.05)
    late = rng.beta(1.1, np.clip(6.5 - 2.2 * (log_mstar - 9.5), 1.8, 9.0))
    early = rng.beta(4.0, np.clip(2.2 - 0.8 * (log_mstar - 10.5), 0.9, 4.0))
    bulge = np.where(quenched, early, late)
    thickness = rng.uniform(0.12, 0.3, n)
    cos_i = rng.random(n)
    shape = {
        "bulge_fraction": np.clip(bulge[:, None] * COLOUR_OF_BULGE, 0, 1),
        "r_disk": size * np.where(quenched, 1.3, 1.1),
        "r_bulge": np.clip(size * np.where(quenched, 0.85, 0.35) * 10 ** rng.normal(0, 0.1, n), 0.05, None),
        "q_disk": np.sqrt(cos_i**2 * (1 - thickness**2) + thickness**2),
        "q_bulge": np.clip(rng.normal(0.8, 0.13, n), 0.35, 1.0),
        "angle": rng.uniform(0, np.pi, n),
        "clumpiness": np.where(
            quenched, 0.05 * rng.random(n), rng.beta(2.2, 2.2 - 0.6 * np.clip(10 - log_mstar, -1, 1))
        ),
        # arms of massive discs are regular, dwarfs' clumps lie anywhere
        "arms": rng.beta(1.2 + 1.2 * np.clip(log_mstar - 9.0, 0, 2), np.where(quenched, 3.0, 1.4)),
    }
    # isophotes twist between a bulge and its disc, most of all where the bulge is small and triaxial
    twist = rng.normal(0, 1, n) * np.where(quenched, 0.15, 0.35)
    return shape | {"angle_bulge": (shape["angle"] + twist) % np.pi} | _bars(log_mstar, redshift, quenched, shape, rng)


def half_light_radius(shape: Mapping[str, np.ndarray]) -> np.ndarray:
    """Half-light radius (n,), arcsec, along the major axis in r: where the light of disc and bulge together is half.

    `shape` has bulge_fraction (n, 3), r_disk and r_bulge (n,), as in Population; light of bars counts as the disc's.
    """
    share, disc, bulge = shape["bulge_fraction"][:, 1], shape["r_disk"], shape["r_bulge"]
    # the radius lies between those of the two: bisection in its logarithm, to 1e-6 of their difference
    low, high = np.log(np.minimum(disc, bulge)), np.log(np.maximum(disc, bulge))
    for _ in range(20):
        middle = 0.5 * (low + high)
        radius = np.exp(middle)
        inside = (1 - share) * gammainc(2, gammaincinv(2, 0.5) * radius / disc)
        inside += share * gammainc(8, gammaincinv(8, 0.5) * (radius / bulge) ** 0.25)
        low, high = np.where(inside < 0.5, middle, low), np.where(inside < 0.5, high, middle)
    return np.exp(0.5 * (low + high))


def _bars(log_mstar, redshift, quenched, shape, rng):
    """Strong bars, in about 30 % of nearby discs, more in massive ones (Masters et al. 2011, MNRAS 411, 2026).

    Half as many at z = 1 (Melvin et al. 2014, MNRAS 438, 2882). A bar lies in the plane of its disc: inclination
    shortens and turns what is seen of it.
    """
    n = len(redshift)
    bulge, q = shape["bulge_fraction"][:, 1], shape["q_disk"]
    share = np.clip(0.30 + 0.12 * (log_mstar - 10.3), 0.1, 0.5) / (1 + np.asarray(redshift)) ** 1.2
    barred = (rng.random(n) < share) & (bulge < 0.65)
    light = rng.beta(3.0, 9.0, n).clip(0.06, 0.5)
    # half-light radius: bars end near one and a half scale lengths, .9 of the disc's half-light radius (Erwin 2005)
    length = 0.42 * shape["r_disk"] * 10 ** rng.normal(0, 0.1, n)
    ratio = rng.uniform(0.2, 0.45, n)
    turn = rng.uniform(0, np.pi, n)
    along = np.hypot(np.cos(turn), q * np.sin(turn))
    return {
        "bar_fraction": np.where(barred, light, 0.0),
        "r_bar": np.maximum(length * along, 0.03),
        "q_bar": np.clip(ratio * q / along**2, 0.1, 1.0),
        "angle_bar": (shape["angle"] + np.arctan2(q * np.sin(turn), np.cos(turn))) % np.pi,
    }
