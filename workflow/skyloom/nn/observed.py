"""Images of the Legacy Surveys as another night would have shown them: behind other dust, turned, of another size, in
worse seeing, less deep. Pure functions of flux in nanomaggy (B, bands, H, W); nothing is drawn here.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

# A / E(B-V) in g, r, z (Dey et al. 2019, AJ 157, 168): those of skyloom.mock.universe.light.dust, by a test
EXTINCTION = (3.214, 2.165, 1.211)


def reddened(flux: Tensor, own: Tensor, wanted: Tensor) -> Tensor:
    """Flux in g, r, z behind E(B-V) `wanted` in place of `own`, (B,) mag on the scale of the SFD map: magnitudes grow
    by EXTINCTION times the difference."""
    magnitudes = (wanted - own)[:, None] * flux.new_tensor(EXTINCTION)
    return flux * 10 ** (-0.4 * magnitudes[..., None, None])


def placed(flux: Tensor, size: int, angle: Tensor, scale: Tensor, mirrored: Tensor, shift: Tensor) -> Tensor:
    """A window (B, bands, size, size) of images that are mirrored, turned and scaled about their middle, then moved.

    All at once, by one interpolation (`sampled`): several would blur several times. An angle of
    0, a scale of 1 and whole pixels copy pixels.

    Flux is flux of a pixel, and keeps its value: surface brightness stays, as of the same galaxy nearer or further, and
    the total flux grows by scale^2.

    Parameters
    ----------
    angle : (B,) radians
    scale : (B,) size of the new image in units of the old
    mirrored : (B,) bool
    shift : (B, 2) pixels that the galaxy moves in x and y, after all else
    """
    place = torch.arange(size, device=flux.device, dtype=flux.dtype) - (size - 1) / 2
    x, y = place[None, None, :] - shift[:, 0, None, None], place[None, :, None] - shift[:, 1, None, None]
    cos, sin = ((turn(angle) / scale)[:, None, None] for turn in (torch.cos, torch.sin))
    x, y = cos * x + sin * y, cos * y - sin * x  # where a pixel of the window lies in the image, from its middle
    x = torch.where(mirrored[:, None, None], -x, x)
    height, width = flux.shape[-2:]
    return sampled(flux, x + (width - 1) / 2, y + (height - 1) / 2)


def sampled(flux: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Images (B, bands, H, W) at places between pixels, x and y (B, S, S) from the first: (B, bands, S, S).

    5/7 of torch's cubic convolution (Keys 1981 with a = -3/4), which takes 1/15 of a pixel^2 off second moments, and
    2/7 of linear interpolation, which adds 1/6: together they change flux and second moments of no galaxy, on average
    over where its pixels come to lie. An image goes on as its mirror image.
    """
    height, width = flux.shape[-2:]
    grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], -1)
    cubic, linear = (functional.grid_sample(flux, grid, mode, "reflection", True) for mode in ("bicubic", "bilinear"))
    return (5 * cubic + 2 * linear) / 7


def blurred(flux: Tensor, sigma: Tensor) -> Tensor:
    """Images folded with a Gaussian of `sigma` (B, bands) pixels, whose second moments are sigma^2 exactly.

    It is the Gaussian of a grid (Lindeberg 1990), of transform exp(-sigma^2 (1 - cos w)). Images are taken as periodic:
    what is within 2 to 3 sigma of an edge is to be cut off.
    """
    height, width = flux.shape[-2:]
    frequencies = torch.fft.fftfreq(height, device=flux.device)[:, None], torch.fft.rfftfreq(width, device=flux.device)
    y, x = (1 - torch.cos(2 * math.pi * frequency) for frequency in frequencies)
    kernel = torch.exp(-sigma.float().square()[..., None, None] * (y + x))
    return torch.fft.irfft2(torch.fft.rfft2(flux.float()) * kernel, s=(height, width))


def added(own: Tensor, wanted: Tensor) -> Tensor:
    """What is to be added in quadrature to `own` to have `wanted`; 0 where there is more than that already."""
    return (wanted.square() - own.square()).clamp(min=0).sqrt()


def pixel_noise(flux: Tensor) -> Tensor:
    """Deviation of the noise of a pixel, (B, bands): from differences of pixels two apart, whose median a galaxy that
    fills less than half of the image does not move much; the noise of neighbours is correlated."""
    other = flux[..., ::2, :]
    difference = (other[..., 2:] - other[..., :-2]).flatten(2).abs()
    return 1.4826 / math.sqrt(2) * difference.median(-1).values
