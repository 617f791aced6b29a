"""Another observation of each image: what is drawn, from what the Legacy Surveys have, and in which order it happens.

The order is that of the light: dust, the galaxy on the sky, the air, the pixels, the noise.
"""

import math

import torch
from torch import Tensor

from skyloom.models.moco import Augment
from skyloom.nn import observed
from skyloom.nn.draws import Draws

# Fits to the catalogues of DR9 (github.com/georgestein/ssl-legacysurvey, decals_augmentations.py): shape, location and
# scale of a log-normal distribution, and the range
EBV = (0.67306, 0.001146, 0.03338), (0.0, 1.0)
"""E(B-V), mag."""
SEEING = (
    ((0.2109966, 0.3008485, 0.3471172), (1.0807153, 1.2394326, 1.1928363), (1.3153171, 0.9164757, 0.8233702)),
    ((1.3233109, 1.2667341, 1.2126263), (5.0, 4.5, 4.25)),
)
"""Deviation of the point spread function in g, r, z, pixels of 0.262 arcsec."""
NOISE = (
    ((0.2264926, 0.2431146, 0.1334844), (-0.0006735, -0.0023663, -0.0143416), (0.0037602, 0.0067417, 0.0260779)),
    ((0.001094, 0.001094, 0.001094), (0.013, 0.018, 0.061)),
)
"""Noise of a pixel in g, r, z, nanomaggy."""
MARGIN = {"survey": 8, "uniform": 16}
"""Pixels around a window that are blurred with it and cut off, as many as the blur reaches."""


def of_survey(fit: tuple, draws: Draws, *shape: int) -> Tensor:
    """(B, *shape) of a log-normal distribution, moved."""
    normal = draws.normal(*shape)
    deviation, location, scale = (normal.new_tensor(part) for part in fit)
    return location + scale * torch.exp(deviation * normal)


def wanted(of: tuple, config: Augment, draws: Draws, *shape: int) -> Tensor:
    """(B, *shape) as the new observation is to have it."""
    fit, between = of
    if config.drawn == "survey":
        return of_survey(fit, draws, *shape)
    uniform = draws.uniform(*shape)
    low, high = (uniform.new_tensor(part) for part in between)
    return low + (high - low) * uniform


def observe(flux: Tensor, ebv: Tensor | None, size: int, config: Augment, draws: Draws) -> Tensor:
    """Each image observed once more, (B, 3, size, size) nanomaggy.

    The seeing of an image is not known and drawn; its noise is measured. Where seeing or depth are drawn better than
    its own, nothing is done. Pixels of noise are turned and blurred with the galaxy, as published.

    Parameters
    ----------
    flux : (B, 3, H, W) nanomaggy
    ebv : (B,) mag, E(B-V) of the Milky Way in front of each, NaN where it is not known; None: of none
    """
    count, bands = flux.shape[:2]
    noise = observed.pixel_noise(flux)
    if config.extinction:
        own = of_survey(EBV[0], draws)
        if ebv is not None:
            own = torch.where(ebv.isfinite(), ebv, own)
        new = wanted(EBV, config, draws)
        flux, noise = (observed.reddened(x, own, new) for x in (flux, noise[..., None, None]))
        noise = noise[..., 0, 0]
    margin = MARGIN[config.drawn] if config.blur else 0
    turned = draws.uniform(2) * (1.0 if config.rotate else 0.0)
    low, high = config.sizes
    scale = low + (high - low) * draws.uniform()
    shift = draws.integers(-config.jitter, config.jitter + 1, 2).float()
    flux = observed.placed(flux, size + 2 * margin, 2 * math.pi * turned[:, 0], scale, turned[:, 1] > 0.5, shift)
    if config.blur:
        seeing = observed.added(of_survey(SEEING[0], draws, bands), wanted(SEEING, config, draws, bands))
        flux = observed.blurred(flux, seeing)[..., margin : margin + size, margin : margin + size]
    if config.noise:
        new = wanted(NOISE, config, draws, bands)
        if config.drawn == "survey":  # relative to another place of the survey: surveys are not all as deep as DR9
            new = noise * new / of_survey(NOISE[0], draws, bands)
        flux = flux + observed.added(noise, new)[..., None, None] * draws.normal(bands, size, size)
    return flux
