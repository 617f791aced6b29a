"""What makes a disc look alive: spiral arms and star-forming clumps, Gaussians that carry part of its light."""

import math
from dataclasses import dataclass

import numpy as np

ARMS, STEPS, CLUMPS = 2, 24, 36
DISC_SCALE = 1 / 1.6783469900166605  # scale length of an exponential disc over its half-light radius
YOUNG = 1.25  # scale length of young stars over a disc's: discs grow inside out (Fossati et al. 2013, A&A 553, A91)
BAR_END = 2.0  # where a bar ends, in units of its half-light radius


@dataclass(frozen=True)
class Knots:
    """Round Gaussians of one disc, offsets from its centre.

    Attributes
    ----------
    x, y, sigma : (n, k) arcsec (y to the north, x to the west).
    weight : (n, k) share of the knots' light, each row sums to 1.
    fraction : (n,) share of the disc's light that is in knots at 4770 Angstrom and bluewards.
    """

    x: np.ndarray
    y: np.ndarray
    sigma: np.ndarray
    weight: np.ndarray
    fraction: np.ndarray

    def __getitem__(self, rows) -> "Knots":
        return Knots(self.x[rows], self.y[rows], self.sigma[rows], self.weight[rows], self.fraction[rows])

    def share(self, wavelength: tuple[float, ...]) -> np.ndarray:
        """Share (n, bands) of the disc's light in knots at `wavelength`, Angstrom: young stars are blue."""
        return self.fraction[:, None] * np.minimum((np.asarray(wavelength) / 4770.0) ** -1.3, 1.0)


def draw_knots(galaxies: dict, rng: np.random.Generator) -> Knots:
    """Two logarithmic spiral arms and CLUMPS clumps a disc; `clumpiness` says how much light they carry, at most 55 %.

    `arms` is the share of that light in the arms. Those of a barred galaxy start at the ends of its bar.
    """
    count = len(galaxies["r_disk"])
    scale = DISC_SCALE * np.asarray(galaxies["r_disk"], float)[:, None]
    arm_r, arm_phi, arm_weight = _arms(*_bar_ends(galaxies), rng)
    clump_r, clump_phi, clump_weight = _clumps(count, rng)
    clump_r = YOUNG * clump_r
    arm_share = np.clip(galaxies["arms"], 0, 1)[:, None]

    radius = scale * np.concatenate([arm_r, clump_r], axis=1)
    phi = np.concatenate([arm_phi, clump_phi], axis=1)
    weight = np.concatenate([arm_share * arm_weight, (1 - arm_share) * clump_weight], axis=1)
    # an arm's knots overlap into a ribbon, clumps stay compact
    sigma = np.concatenate([0.11 * scale * (0.7 + arm_r), scale * rng.uniform(0.04, 0.18, clump_r.shape)], axis=1)

    ratio = np.asarray(galaxies["q_disk"], float)[:, None]
    along, across = radius * np.cos(phi), radius * np.sin(phi) * ratio
    angle = np.asarray(galaxies["angle"], float)[:, None]
    x = -along * np.sin(angle) + across * np.cos(angle)
    y = along * np.cos(angle) + across * np.sin(angle)
    return Knots(x, y, sigma * np.sqrt(ratio), weight, 0.55 * np.clip(galaxies["clumpiness"], 0, 1))


def bar_share(bar_fraction: np.ndarray, wavelength: tuple[float, ...]) -> np.ndarray:
    """Share (n, bands) of the disc's light in a bar that has `bar_fraction` of it at 6420 Angstrom.

    Bars are redder than the discs around them (Consolandi 2016, A&A 595, A67).
    """
    return np.clip(bar_fraction[:, None] * (np.asarray(wavelength) / 6420.0) ** 0.5, 0, 0.9)


def _bar_ends(galaxies: dict) -> tuple[np.ndarray, np.ndarray]:
    """Radius (scale lengths; 0: no bar) and azimuth in the plane of the disc (rad) of a bar's end, each (n,)."""
    turn = galaxies["angle"] - galaxies["angle_bar"]  # azimuth runs from north towards west
    along, across = np.cos(turn), np.sin(turn) / galaxies["q_disk"]
    length = BAR_END * galaxies["r_bar"] * np.hypot(along, across) / (DISC_SCALE * galaxies["r_disk"])
    return np.where(galaxies["bar_fraction"] > 0, length, 0), np.arctan2(across, along)


def _arms(bar_end: np.ndarray, bar_azimuth: np.ndarray, rng: np.random.Generator):
    """Radius (scale lengths), azimuth (rad) and weight of the arms' knots, each (count, ARMS * STEPS)."""
    count = len(bar_end)
    barred = (bar_end > 0)[:, None, None]
    pitch = np.radians(rng.uniform(10, 32, (count, 1, 1))) * rng.choice([-1.0, 1.0], (count, 1, 1))
    start = np.where(barred, bar_azimuth[:, None, None], rng.uniform(0, 2 * math.pi, (count, 1, 1)))
    start = start + np.linspace(0, 2 * math.pi, ARMS, endpoint=False)[:, None]
    start = start + rng.normal(0, 0.25, (count, ARMS, 1)) * np.where(barred, 0.3, 1.0)
    inner, outer = rng.uniform(0.5, 1.0, (count, 1, 1)), rng.uniform(2.8, 4.5, (count, 1, 1))
    inner = np.clip(bar_end[:, None, None], inner, 0.6 * outer)
    radius = inner * (outer / inner) ** ((np.arange(STEPS) + 0.5) / STEPS)
    azimuth = start + np.log(radius / inner) / np.tan(pitch)
    # the arms follow the disc's exponential, unevenly
    weight = radius**2 * np.exp(-radius / YOUNG) * np.exp(rng.normal(0, 0.45, (count, ARMS, STEPS)))
    weight *= np.exp(rng.normal(0, 0.3, (count, ARMS, 1)))
    jitter = rng.normal(0, 0.06, (2, count, ARMS, STEPS))
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
