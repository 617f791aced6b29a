"""Images as networks take them: stretched, cropped, turned."""

from collections.abc import Sequence

import torch
from torch import Tensor

# Noise of a pixel of HSC-Wide in g, r, i, z, y, nanomaggy, from depth and seeing (Aihara et al. 2019, PASJ 71, 114)
HSC_SOFTENING = (7e-4, 10e-4, 13e-4, 25e-4, 50e-4)
# The same of the DECam Legacy Survey in g, r, z (Dey et al. 2019, AJ 157, 168)
LEGACY_SOFTENING = (42e-4, 76e-4, 176e-4)


def arcsinh_flux(flux: Tensor, softening: Sequence[float] = HSC_SOFTENING) -> Tensor:
    """arcsinh(flux / softening) of each band, (..., bands, H, W): linear in the noise, logarithmic in the light."""
    return torch.asinh(flux / flux.new_tensor(softening).view(-1, 1, 1))


def dihedral(images: Tensor, view: int) -> Tensor:
    """One of the 8 flips and rotations of (B, C, S, S); 0 leaves them alone."""
    images = images.flip(3) if view & 1 else images
    images = images.flip(2) if view & 2 else images
    return images.transpose(2, 3) if view & 4 else images


def turned(images: Tensor, views: Tensor) -> Tensor:
    """Each of (B, C, S, S) flipped and rotated in a way of its own, `views` (B,) from 0 to 7 as in `dihedral`."""
    for bit, turn in ((1, lambda x: x.flip(3)), (2, lambda x: x.flip(2)), (4, lambda x: x.transpose(2, 3))):
        images = torch.where((views & bit).bool()[:, None, None, None], turn(images), images)
    return images
