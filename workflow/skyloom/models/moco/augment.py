"""Another observation of each image: what is drawn, from what the Legacy Surveys have, and in which order it happens.

The order is that of the light: dust, the galaxy on the sky, the air, the pixels, the noise.
"""

import math

import torch
from torch import Tensor

from skyloom.models.moco import Augment
from skyloom.nn import nights, observed
from skyloom.nn.draws import Draws
from skyloom.nn.nights import EBV, NOISE, SEEING, of_survey

MARGIN = {"survey": nights.MARGIN, "uniform": 2 * nights.MARGIN}
"""Pixels around a window that are blurred with it and cut off, as many as the blur reaches."""


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
