"""Seeing, depth and dust of the Legacy Surveys as they vary, and an image as another of their nights would show it."""

import torch
from torch import Tensor
from torch.nn import functional

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
MARGIN = 8
"""Pixels beside an image that are blurred with it and cut off: four deviations of most blurs."""


def of_survey(fit: tuple, draws: Draws, *shape: int) -> Tensor:
    """(B, *shape) of a log-normal distribution, moved: `fit` is its deviation in ln, its location and its scale."""
    normal = draws.normal(*shape)
    deviation, location, scale = (normal.new_tensor(part) for part in fit)
    return location + scale * torch.exp(deviation * normal)


def another(flux: Tensor, share: float, draws: Draws) -> Tensor:
    """Images in worse seeing, with probability `share`, and with more noise, with the same, as public AstroDINO has it.

    What an image has, and what it is to have, are two draws from the survey; where the second is no worse nothing is
    done. Images go on as their mirror image.

    Parameters
    ----------
    flux : (B, 3, H, W) nanomaggy in g, r, z
    share : of the images that are blurred, and, drawn apart, of those that get noise

    Returns (B, 3, H, W) nanomaggy.
    """
    coins = (draws.uniform(2) < share).to(flux.device)
    seeing, noise = (observed.added(of_survey(of[0], draws, 3), of_survey(of[0], draws, 3)) for of in (SEEING, NOISE))
    beside = min(MARGIN, flux.shape[-1] - 1)
    padded = functional.pad(flux, [beside] * 4, mode="reflect")
    blurred = observed.blurred(padded, seeing.to(flux.device))[..., beside:-beside, beside:-beside]
    flux = torch.where(coins[:, 0, None, None, None], blurred, flux)
    added = (noise.to(flux.device) * coins[:, 1, None])[..., None, None]
    return flux + added * draws.normal(*flux.shape[1:]).to(flux.device)
