"""Galaxies with every field that images are drawn from, of any shape, and one of them as GalSim draws it."""

import numpy as np
import pytest

from skyloom.mock.instruments.images.camera import in_bands
from skyloom.mock.instruments.images.drawing import BULGE_NODES
from skyloom.mock.instruments.images.structure import DISC_SCALE, bar_share
from skyloom.mock.universe.population import dust_layer


def make_galaxies(count, seed=0, **fixed):
    """A dictionary for `images.draw_scene`; `fixed` replaces fields by a value for all galaxies."""
    rng = np.random.default_rng(seed)
    galaxies = {
        "ra": rng.uniform(224, 226, count),
        "dec": rng.uniform(0, 2, count),
        "r_disk": rng.uniform(0.5, 2, count),
        "r_bulge": rng.uniform(0.3, 1, count),
        "r_bar": rng.uniform(0.2, 0.6, count),
        "q_disk": rng.uniform(0.2, 1, count),
        "q_bulge": rng.uniform(0.6, 1, count),
        "q_bar": rng.uniform(0.2, 0.5, count),
        "dust_layer": rng.uniform(0.1, 0.3, (count, 1)) * np.array([1.2, 1.0, 0.7]),
        "angle": rng.uniform(0, 2 * np.pi, count),
        "angle_bulge": rng.uniform(0, np.pi, count),
        "angle_bar": rng.uniform(0, np.pi, count),
        "bar_fraction": rng.uniform(0, 0.3, count) * (np.arange(count) % 2),
        "clumpiness": rng.uniform(0, 1, count),
        "arms": rng.uniform(0, 1, count),
        "bulge_fraction": rng.uniform(0, 1, (count, 3)),
        "flux": rng.uniform(5, 40, (count, 5)),
    }
    return galaxies | {name: np.full(galaxies[name].shape, value, float) for name, value in fixed.items()}


def galsim_profile(galaxies, row, band, camera):
    """The galaxy before the PSF, flux 1; GalSim's radii are circularised, its angles run from +x to +y."""
    galsim = pytest.importorskip("galsim")
    accurate = galsim.GSParams(folding_threshold=1e-3, maximum_fft_size=16384)
    bulge = in_bands(galaxies["bulge_fraction"], BULGE_NODES, camera)[row, band]
    bar = (1 - bulge) * bar_share(galaxies["bar_fraction"], camera.wavelength)[row, band]
    total = []
    for kind, part, angle, share in (
        (galsim.Exponential, "disk", "angle", 1 - bulge - bar),
        (galsim.DeVaucouleurs, "bulge", "angle_bulge", bulge),
        (galsim.Gaussian, "bar", "angle_bar", bar),
    ):
        ratio, radius = galaxies[f"q_{part}"][row], galaxies[f"r_{part}"][row]
        turn = (galaxies[angle][row] + np.pi / 2) * galsim.radians
        profile = kind(half_light_radius=radius * np.sqrt(ratio), gsparams=accurate).shear(q=ratio, beta=turn)
        total.append(share * profile)
    hidden = in_bands(galaxies["dust_layer"], BULGE_NODES, camera)[row, band]
    total[0] /= 1 - hidden
    ratio, aside = (x[0] for x in dust_layer.tilt(galaxies["q_disk"][[row]]))
    radius = galaxies["r_disk"][row] * dust_layer.scale(galaxies["dust_layer"][row, 1])
    aside *= DISC_SCALE * galaxies["r_disk"][row]
    turn = galaxies["angle"][row] + np.pi / 2  # of the disc from +x; its near side is a quarter of a turn further
    layer = galsim.Exponential(half_light_radius=radius * np.sqrt(ratio), gsparams=accurate)
    layer = layer.shear(q=ratio, beta=turn * galsim.radians).shift(-aside * np.sin(turn), aside * np.cos(turn))
    return galsim.Add(total) - (1 - bulge - bar) * hidden / (1 - hidden) * layer
