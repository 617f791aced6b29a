"""Spectra on their grid to transformer tokens and back: batched and free of state.

What is published (AstroCLIP, journal version): each spectrum is z-scored with its own mean and standard deviation
(floored at 0.2), cut into slices of 20 pixels every 10, padded by two zero channels on the left to width 22, and
preceded by one token whose first two channels are (mean - 2) / 2 and (std - 2) / 8. The published code always throws
the last section away: right when it is short, as with 7781 pixels (777 full slices and an 11-pixel rest, so 778
tokens), but it loses a full slice when the sections fit exactly (7780 pixels give 777 tokens there, 778 here). Here
every full slice is kept, so both agree on 7781. Pixels after the last full slice (1 of 7781 for 20/10, 21 for 40/40)
are in no token unless `tail=True` asks for a last slice padded with zeros. Published code has no ivar; here masked
pixels are left out of mean and standard deviation.
"""

import torch
from torch import Tensor
from torch.nn import functional

from skyloom.core.errors import BadConfig

STATISTICS_CHANNELS = 2  # zero channels on the left of every slice; the first token holds mean and std there


def moments(
    flux: Tensor, ivar: Tensor | None = None, std_floor: float = 0.2, weighted: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, both (B, 1), of the good pixels of each spectrum; see `normalise`."""
    good = torch.ones_like(flux, dtype=torch.bool) if ivar is None else ivar > 0
    weight = ivar.clamp(min=0) if weighted and ivar is not None else good.to(flux.dtype)
    weight = weight / weight.mean(1, keepdim=True).clamp(min=torch.finfo(flux.dtype).tiny)
    total = weight.sum(1, keepdim=True)
    mean = (torch.where(good, flux, 0) * weight).sum(1, keepdim=True) / total.clamp(min=1)
    residual = torch.where(good, flux - mean, 0)
    count = good.sum(1, keepdim=True)
    variance = (residual.square() * weight).sum(1, keepdim=True) / total.clamp(min=1) * count / (count - 1).clamp(min=1)
    return mean, variance.sqrt().clamp(min=std_floor)


def normalise(
    flux: Tensor,
    ivar: Tensor | None = None,
    std_floor: float = 0.2,
    weighted: bool = False,
    hidden: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Z-score each spectrum by the mean and standard deviation of its good pixels.

    Pixels with zero ivar carry no information: inside the spectrum they are filled by linear interpolation between
    the good neighbours, before the first and after the last good pixel by the mean (0). A spectrum without a good
    pixel becomes all zeros with mean 0 and std `std_floor`.

    Parameters
    ----------
    flux, ivar : (B, W); every pixel is good when ivar is None
    std_floor : smallest standard deviation divided by, in the unit of flux (0.2 as published)
    weighted : mean and deviation weighted by ivar, so that a noisy end of the spectrum does not set its scale
    hidden : (B, W) bool, pixels that a network must not see: they count in mean and deviation, as published, and are
        otherwise treated like bad ones, so that no other pixel is filled from them

    Returns
    -------
    flux (B, W) in standard deviations, mean (B, 1), std (B, 1)
    """
    mean, std = moments(flux, ivar, std_floor, weighted)
    if ivar is None and hidden is None:
        return (flux - mean) / std, mean, std
    good = torch.ones_like(flux, dtype=torch.bool) if ivar is None else ivar > 0
    good = good if hidden is None else good & ~hidden
    return _interpolate(torch.where(good, flux - mean, 0) / std, good), mean, std


def shortened(flux: Tensor, ivar: Tensor, share: Tensor | float, noise: Tensor) -> dict[str, Tensor]:
    """`flux` and `ivar`, (B, W), as of a shorter exposure: the variance is that of the spectrum over `share`, between 0
    and 1; `noise` (B, W) is standard normal. (Read noise, which would weigh more, is not told apart.)"""
    more = torch.where(ivar > 0, (1 / share - 1) / ivar.clamp(min=1e-30), 0)
    return {"flux": flux + noise * more.sqrt(), "ivar": ivar * share}


def hidden_pixels(mask: Tensor, width: int, size: int = 20, stride: int = 10) -> Tensor:
    """Pixels under masked slices that no other slice shows, (B, W) bool.

    Parameters
    ----------
    mask : (B, T) bool, the masked ones of the slices of `size` pixels every `stride`
    width : pixels W of the spectrum
    """
    pixel = torch.arange(width, device=mask.device)
    count = mask.shape[1]
    first = ((pixel - size) // stride + 1).clamp(min=0, max=count)
    last = (pixel // stride).clamp(max=count - 1)
    shown = functional.pad((~mask).cumsum(1), (1, 0))
    return (shown[:, last + 1] == shown[:, first]) & (first <= last)


def _interpolate(values: Tensor, good: Tensor) -> Tensor:
    """Linear interpolation of (B, W) values over runs of bad pixels; runs that touch an end keep their value."""
    width = values.shape[1]
    if torch.compiler.is_exporting():  # whose graph has as many numbers for every spectrum
        return _interpolate_everywhere(values, good)
    bad, known = (~good).flatten().nonzero()[:, 0], good.flatten().nonzero()[:, 0]
    if not len(bad) or not len(known):
        return values
    after = torch.searchsorted(known, bad)
    left, right = known[(after - 1).clamp(min=0)], known[after.clamp(max=len(known) - 1)]
    # neighbours in the flat order may belong to the spectrum before or after, or, past either end, be on one side only
    inside = (left < bad) & (bad < right) & (left // width == bad // width) & (right // width == bad // width)
    bad, left, right = bad[inside], left[inside], right[inside]
    fraction = (bad - left).to(values.dtype) / (right - left)
    filled = values.flatten().clone()
    filled[bad] = torch.lerp(filled[left], filled[right], fraction)
    return filled.view_as(values)


def _interpolate_everywhere(values: Tensor, good: Tensor) -> Tensor:
    """The same as `_interpolate`, computed of every pixel."""
    width, place = values.shape[1], torch.arange(values.shape[1], device=values.device)
    left, right = torch.where(good, place, -1), torch.where(good, place, width)
    step = 1
    while step < width:  # the nearest good pixel on either side, among twice as many each time
        left = torch.maximum(left, functional.pad(left, (step, 0), value=-1)[:, :width])
        right = torch.minimum(right, functional.pad(right, (0, step), value=width)[:, step:])
        step *= 2
    inside = ~good & (left >= 0) & (right < width)
    left, right = left.clamp(min=0), right.clamp(max=width - 1)
    fraction = (place - left).to(values.dtype) / (right - left).clamp(min=1)
    return torch.where(inside, torch.lerp(values.gather(1, left), values.gather(1, right), fraction), values)


def _median(values: Tensor, good: Tensor) -> Tensor:
    """Median (B, 1) of the good numbers (B, W), of two in the middle the lower one; NaN where none is good."""
    if not torch.compiler.is_exporting():
        return torch.where(good, values, torch.nan).nanmedian(1, keepdim=True).values
    count = good.sum(1, keepdim=True)
    middle = torch.where(good, values, torch.inf).sort(1).values.gather(1, ((count - 1) // 2).clamp(min=0))
    return torch.where(count > 0, middle, torch.nan)


def slice_count(width: int, size: int = 20, stride: int = 10, tail: bool = False) -> int:
    """Number of slices of `size` pixels every `stride` in `width` pixels; with `tail`, enough to reach the last one."""
    if not 0 < stride <= size or size > width:
        raise BadConfig(f"size {size}, stride {stride}: expected 0 < stride <= size <= {width} pixels")
    full, rest = divmod(width - size, stride)
    return full + 1 + (tail and rest > 0)


def slices(values: Tensor, size: int = 20, stride: int = 10, tail: bool = False) -> Tensor:
    """Cut (B, W) into (B, T, size) slices every `stride` pixels; `tail` adds a last one padded with zeros."""
    count = slice_count(values.shape[1], size, stride, tail)
    missing = (count - 1) * stride + size - values.shape[1]
    return functional.pad(values, (0, max(missing, 0))).unfold(1, size, stride)[:, :count]


def specformer_tokens(
    flux: Tensor,
    ivar: Tensor | None = None,
    size: int = 20,
    stride: int = 10,
    std_floor: float = 0.2,
    tail: bool = False,
    weighted: bool = False,
    hidden: Tensor | None = None,
) -> Tensor:
    """SpecFormer tokens (AstroCLIP, journal version; see the module docstring for what differs from the public code).

    Parameters
    ----------
    flux : (B, W) in 1e-17 erg/s/cm2/Angstrom
    ivar : (B, W) or None; see `normalise`
    size, stride : pixels in a slice, and between the starts of two slices
    std_floor, weighted, hidden : see `normalise`; published: not weighted
    tail : cover the pixels after the last full slice too

    Returns
    -------
    (B, 1 + T, 2 + size); 778 x 22 for 7781 pixels. Token 0 is ((mean-2)/2, (std-2)/8, 0, ...); token 1 + t is
    (0, 0, slice t).
    """
    scaled, mean, std = normalise(flux, ivar, std_floor, weighted, hidden)
    tokens = functional.pad(slices(scaled, size, stride, tail), (STATISTICS_CHANNELS, 0, 1, 0))
    tokens[:, 0, :STATISTICS_CHANNELS] = torch.cat([(mean - 2) / 2, (std - 2) / 8], 1)
    return tokens


def untokenize(tokens: Tensor, width: int, stride: int = 10) -> tuple[Tensor, Tensor]:
    """Flux back from tokens; where slices overlap, their average.

    Parameters
    ----------
    tokens : (B, 1 + T, 2 + size) as from `specformer_tokens`
    width : pixels of the spectrum
    stride : as in `specformer_tokens`

    Returns
    -------
    flux (B, width) in the unit it had before, and covered (width,) bool; flux is 0 where no slice covers a pixel
    """
    mean, std = tokens[:, 0, :1] * 2 + 2, tokens[:, 0, 1:2] * 8 + 2
    values, covered = unslice(tokens[:, 1:, STATISTICS_CHANNELS:], width, stride)
    return torch.where(covered, values * std + mean, 0), covered


def unslice(parts: Tensor, width: int, stride: int) -> tuple[Tensor, Tensor]:
    """Values (B, width) back from slices (B, T, size) every `stride` pixels, where they overlap their average, and
    where there are any, (width,) bool; 0 elsewhere."""
    count, size = parts.shape[1:]
    pixel = (torch.arange(count)[:, None] * stride + torch.arange(size)).flatten().to(parts.device)
    length = max(width, int(pixel[-1]) + 1)
    total = parts.new_zeros(len(parts), length).index_add_(1, pixel, parts.flatten(1))
    times = parts.new_zeros(length).index_add_(0, pixel, torch.ones_like(pixel, dtype=parts.dtype))
    return (total / times.clamp(min=1))[:, :width], times[:width] > 0


def token_weights(ivar: Tensor, size: int = 20, stride: int = 10, cap: float = 4.0, tail: bool = False) -> Tensor:
    """Weights for an inverse-variance-weighted loss, cut like the tokens.

    Per spectrum, ivar is capped at `cap` times its median over good pixels (so that a few quiet pixels do not own the
    loss) and scaled to mean 1 over good pixels: faint and bright spectra count the same. Masked pixels weigh 0.

    Parameters
    ----------
    ivar : (B, W)
    size, stride, tail : as in `specformer_tokens`
    cap : in units of the spectrum's median ivar

    Returns
    -------
    (B, T, size), for tokens[:, 1:, 2:]; all zeros for a spectrum without a good pixel
    """
    good = ivar > 0
    median = _median(ivar, good)
    weight = torch.where(good, (ivar / median).clamp(max=cap), 0)
    mean = weight.sum(1, keepdim=True) / good.sum(1, keepdim=True).clamp(min=1)
    return slices(torch.where(good, weight / mean, 0), size, stride, tail)


def shrinkage(ivar: Tensor) -> Tensor:
    """Factors ivar / (ivar + median ivar), (B, W) in 0..1, that shrink the noisy pixels of a normalised spectrum.

    The form of a Wiener filter whose signal power is one over the spectrum's median ivar: a pixel of median noise
    counts half, one without information not at all.
    """
    good = ivar > 0
    median = _median(ivar, good)
    return torch.where(good, ivar / (ivar + median), 0)


def token_shrinkage(ivar: Tensor, size: int = 20, stride: int = 10, tail: bool = False) -> Tensor:
    """`shrinkage` cut like the tokens: (B, T, size), for tokens[:, 1:, 2:]."""
    return slices(shrinkage(ivar), size, stride, tail)
