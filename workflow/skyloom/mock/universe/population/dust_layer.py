"""The layer of dust in the middle of a disc: how much of the disc's light it hides, and over which radii.

Half of the stars lie behind it. Its opacity falls outwards as an exponential 1.4 times as long as that of the stars, it
is half as thick as they are (Xilouris et al. 1999, A&A 344, 868), and an inclined one is seen through more of it.
"""

import functools

import numpy as np

from skyloom.mock.universe.light import dust

LENGTH, HEIGHT = 1.4, 0.5  # of the dust over the stars
THICKNESS = 0.2  # of a disc of stars over its scale length, typical (Unterborn & Ryden 2008, ApJ 687, 976)
SMOOTH = 0.5  # of a galaxy's attenuation is by the layer, the rest by clumps around its young stars
BANDS = (4770.0, 6420.0, 9140.0)  # Angstrom, g, r, z


def hidden(av: np.ndarray, dust_slope: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Share (n, 3) of a disc's light in g, r, z that the layer hides, of that it would have without; arguments (n,) as
    in Population. What dust quenched galaxies have lies in their discs too (Krajnovic et al. 2011, MNRAS 414, 2923)."""
    rest = np.array(BANDS) / (1 + redshift[:, None])
    curve = dust.calzetti(rest) * (rest / 5500.0) ** dust_slope[:, None]
    return SMOOTH * (1 - 10 ** (-0.4 * av[:, None] * curve))


def scale(share: np.ndarray) -> np.ndarray:
    """Half-light radius of what is hidden over the disc's, of a `share` of any shape that is hidden: opaque layers hide
    light far out too."""
    return np.interp(share, *_table())


@functools.cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    """Shares and radii of layers from thin to opaque. What is hidden is close to an exponential: of its radius the mean
    is taken, twice the scale length."""
    depth = np.concatenate([[1e-4], np.geomspace(1e-2, 1e3, 120)])  # in the middle, through the whole layer
    x, step = np.linspace(0, 25, 5001, retstep=True)  # scale lengths of the stars
    light = 0.5 * -np.expm1(-depth[:, None] * np.exp(-x / LENGTH)) * x * np.exp(-x)
    share = light.sum(1) * step
    return share, (light * x).sum(1) * step / share / 2


def tilt(q_disk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axis ratio (n,) of the layer of discs of axis ratio `q_disk` (n,), and how far what it hides lies from the
    galaxy's centre, in scale lengths of the disc along its minor axis: the stars behind it are seen beside the middle,
    towards the near side, by their height; of a disc that is seen from its edge there is no near side."""
    thick = np.minimum(THICKNESS, q_disk)
    cos2 = np.clip((q_disk**2 - thick**2) / (1 - thick**2), 0, 1)
    ratio = np.minimum(np.sqrt(cos2 + (HEIGHT * thick) ** 2), q_disk)
    return ratio, thick * np.sqrt((1 - cos2) * cos2 / np.maximum(cos2 + thick**2, 1e-12))
