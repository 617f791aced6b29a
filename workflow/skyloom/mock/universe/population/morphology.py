"""Shapes of galaxies: bulge, disc, bar, arms and clumps, by mass and type."""

from collections.abc import Mapping

import numpy as np
from scipy.special import gammainc, gammaincinv

from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.population import dust_layer, relations

OLD = 0.35  # of the age of the universe: stars older than that make a bulge
RICHER = 0.1  # dex of metals that bulges have more: -.28 dex a dex of radius (Kuntschner et al. 2010, MNRAS 408, 97)


def draw(log_mstar, redshift, quenched, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The fields of Population that an image is made of, all (n,) but bulge_fraction (n, 3).

    The share of the bulge is that in r in all bands; `stars_of_bulge` says which stars are in it, `colour_of_bulge`
    what follows from their colour.
    """
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
        "bulge_fraction": np.repeat(bulge[:, None], 3, axis=1),
        "r_disk": size * np.where(quenched, 1.5, 1.1),
        "r_bulge": np.clip(size * np.where(quenched, 0.75, 0.35) * 10 ** rng.normal(0, 0.1, n), 0.05, None),
        "q_disk": np.sqrt(cos_i**2 * (1 - thickness**2) + thickness**2),
        "q_bulge": np.clip(rng.normal(0.8, 0.13, n), 0.35, 1.0),
        "angle": rng.uniform(0, 2 * np.pi, n),
        "clumpiness": np.where(
            quenched, 0.05 * rng.random(n), rng.beta(2.2, 2.2 - 0.6 * np.clip(10 - log_mstar, -1, 1))
        ),
        # arms of massive discs are regular, dwarfs' clumps lie anywhere
        "arms": rng.beta(1.2 + 1.2 * np.clip(log_mstar - 9.0, 0, 2), np.where(quenched, 3.0, 1.4)),
    }
    # isophotes twist between a bulge and its disc, most of all where the bulge is small and triaxial
    twist = rng.normal(0, 1, n) * np.where(quenched, 0.15, 0.35)
    return shape | {"angle_bulge": (shape["angle"] + twist) % np.pi} | _bars(log_mstar, redshift, quenched, shape, rng)


def stars_of_bulge(sfh, ages, age_of_universe, log_mstar, quenched, rng: np.random.Generator) -> np.ndarray:
    """The part (n, A) of the mass formed in each age bin, `sfh` (n, A), of which a bulge is a sample.

    Bulges are old, a disc's young stars are in the disc; but those of small discs have many young stars too, grown as
    they are within the disc (Kormendy & Kennicutt 2004, ARA&A 42, 603; Fisher & Drory 2011, ApJ 733, L47), and the
    redder a galaxy, the redder are both (Kennedy et al. 2016, MNRAS 460, 3458). `ages` (A,) and `age_of_universe` (n,)
    in yr.
    """
    n = len(log_mstar)
    youngest = OLD * age_of_universe * 10 ** rng.normal(0, 0.08, n)
    young = rng.random(n) * np.where(quenched, 0.3, np.clip(0.45 - 0.25 * (log_mstar - 10.0), 0.25, 0.8))
    old = 1 / (1 + (youngest[:, None] / ages) ** 12)
    return sfh * (old + (1 - old) * young[:, None])


def colour_of_bulge(share: np.ndarray, bulge: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Share (n, 3) of a bulge in the light in g, r, z, of which it has `share` (n,) in r.

    `bulge` (n, 3) is the light of all stars of its kind that the galaxy has and `total` (n, 3) all of the galaxy's,
    both fluxes in g, r, z. There cannot be more of the bulge than such stars.
    """
    part = bulge / total
    return np.clip(np.minimum(share / part[:, 1], 0.97)[:, None] * part, 0, 1)


def half_light_radius(shape: Mapping[str, np.ndarray], band: int = 1) -> np.ndarray:
    """Half-light radius (n,), arcsec, along the major axis: where the light of disc and bulge together is half.

    `shape` has bulge_fraction and dust_layer (n, 3), r_disk and r_bulge (n,), as in Population; light of bars counts as
    the disc's. `band` is 0, 1, 2 for g, r, z.
    """
    share, disc, bulge = shape["bulge_fraction"][:, band], shape["r_disk"], shape["r_bulge"]
    hidden = shape["dust_layer"][:, band]
    layer = disc * dust_layer.scale(shape["dust_layer"][:, 1])
    # what is hidden lies inwards, so that a disc may reach twice as far: bisection in logarithms, to 1e-6 of the range
    low, high = np.log(np.minimum(disc, bulge)), np.log(2 * np.maximum(disc, bulge))
    for _ in range(20):
        middle = 0.5 * (low + high)
        radius = np.exp(middle)
        inside = gammainc(2, gammaincinv(2, 0.5) * radius / disc)
        inside = inside - hidden * gammainc(2, gammaincinv(2, 0.5) * radius / layer)
        inside = (1 - share) * inside / (1 - hidden)
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
