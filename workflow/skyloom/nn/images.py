"""Images as networks take them: stretched, cropped, turned."""

from collections.abc import Sequence

import torch
from torch import Tensor

# Noise of a pixel of HSC-Wide in g, r, i, z, y, nanomaggy, from depth and seeing (Aihara et al. 2019, PASJ 71, 114)
HSC_SOFTENING = (7e-4, 10e-4, 13e-4, 25e-4, 50e-4)


def arcsinh_flux(flux: Tensor, softening: Sequence[float] = HSC_SOFTENING) -> Tensor:
    """arcsinh(flux / softening) of each band, (..., bands, H, W): linear in the noise, logarithmic in the light."""
    return torch.asinh(flux / flux.new_tensor(softening).view(-1, 1, 1))
