"""What makes a disc look alive: spiral arms and star-forming clumps, Gaussians that carry part of its light."""

import math
from dataclasses import dataclass

import numpy as np

ARMS, STEPS, CLUMPS = 2, 20, 20
DISC_SCALE = 1 / 1.6783469900166605  # scale length of an exponential disc over its half-light radius


@dataclass(frozen=True)
class Knots:
    """Round Gaussians of one disc, offsets from its centre.

    Attributes
    ----------
    x, y, sigma : (n, k) arcsec (y to the north, x to the west).
    weight : (n, k) share of the knots' light, each row sums to 1.
    fraction : (n, bands) share of the disc's light that is in knots.
    """

    x: np.ndarray
    y: np.ndarray
    sigma: np.ndarray
    weight: np.ndarray
    fraction: np.ndarray

    def __getitem__(self, rows) -> "Knots":
        return Knots(self.x[rows], self.y[rows], self.sigma[rows], self.weight[rows], self.fraction[rows])


def draw_knots(galaxies: dict, wavelength: tuple[float, ...], rng: np.random.Generator) -> Knots:
    """Two logarithmic spiral arms and 20 clumps a galaxy; how much light they carry follows `clumpiness`.

    Young stars are blue: the share falls as the wavelength to the power -1.3, from at most 55 % at 4770 Angstrom.
    """
    count = len(galaxies["r_disk"])
    scale = DISC_SCALE * np.asarray(galaxies["r_disk"], float)[:, None]
    arm_r, arm_phi, arm_weight = _arms(count, rng)
    clump_r, clump_phi, clump_weight = _clumps(count, rng)
    # seldom only arms or only clumps, mostly something of both
    arm_share = rng.beta(2.0, 1.3, (count, 1))

    radius = scale * np.concatenate([arm_r, clump_r], axis=1)
    phi = np.concatenate([arm_phi, clump_phi], axis=1)
    weight = np.concatenate([arm_share * arm_weight, (1 - arm_share) * clump_weight], axis=1)
    # an arm's knots overlap into a ribbon, clumps stay compact
    sigma = np.concatenate([0.12 * scale * (0.7 + arm_r), scale * rng.uniform(0.07, 0.25, clump_r.shape)], axis=1)

    ratio = np.asarray(galaxies["q_disk"], float)[:, None]
    along, across = radius * np.cos(phi), radius * np.sin(phi) * ratio
    angle = np.asarray(galaxies["angle"], float)[:, None]
    x = -along * np.sin(angle) + across * np.cos(angle)
    y = along * np.cos(angle) + across * np.sin(angle)
    colour = (np.asarray(wavelength) / 4770.0) ** -1.3
    fraction = 0.55 * np.clip(galaxies["clumpiness"], 0, 1)[:, None] * np.minimum(colour, 1.0)
    return Knots(x, y, sigma * np.sqrt(ratio), weight, fraction)


def _arms(count: int, rng: np.random.Generator):
    """Radius (scale lengths), azimuth (rad) and weight of the arms' knots, each (count, ARMS * STEPS)."""
    pitch = np.radians(rng.uniform(10, 32, (count, 1, 1))) * rng.choice([-1.0, 1.0], (count, 1, 1))
    start = rng.uniform(0, 2 * math.pi, (count, 1, 1)) + np.linspace(0, 2 * math.pi, ARMS, endpoint=False)[:, None]
    start = start + rng.normal(0, 0.25, (count, ARMS, 1))
    inner, outer = rng.uniform(0.5, 1.0, (count, 1, 1)), rng.uniform(2.8, 4.5, (count, ARMS, 1))
    radius = inner * (outer / inner) ** ((np.arange(STEPS) + 0.5) / STEPS)
    azimuth = start + np.log(radius / inner) / np.tan(pitch)
    # the arms follow the disc's exponential, unevenly
    weight = radius**2 * np.exp(-radius) * np.exp(rng.normal(0, 0.45, radius.shape))
    weight *= np.exp(rng.normal(0, 0.3, (count, ARMS, 1)))
    jitter = rng.normal(0, 0.06, (2, *radius.shape))
    radius, azimuth = radius * (1 + jitter[0]), azimuth + jitter[1]
    flat = (count, ARMS * STEPS)
    weight = weight.reshape(flat)
    return radius.reshape(flat), azimuth.reshape(flat), weight / weight.sum(axis=1, keepdims=True)


def _clumps(count: int, rng: np.random.Generator):
    """Radius (scale lengths), azimuth (rad) and weight of clumps that follow the exponential, each (count, CLUMPS)."""
    radius = np.minimum(rng.gamma(2.0, 1.0, (count, CLUMPS)), 4.5)
    azimuth = rng.uniform(0, 2 * math.pi, (count, CLUMPS))
    weight = np.exp(rng.normal(0, 0.9, (count, CLUMPS)))
    return radius, azimuth, weight / weight.sum(axis=1, keepdims=True)
