"""A chi2 scan around the peaks that the network proposes: redshifts to a fraction of a bin, and which peak fits best."""

import dataclasses

import torch
from torch import Tensor

from skyloom.models.redshift.templates import normalised

REACH = 5  # fine bins searched on each side of a peak
BLOCK = 16  # spectra at once: 3 MB each
POLYNOMIALS = 3  # of the observed wavelength, for what calibration does


def scan(flux: Tensor, ivar: Tensor, templates: Tensor, begin: Tensor, reach: int = REACH) -> Tensor:
    """chi2 of the best sum of templates and polynomials, (n, 2 reach + 1), at places begin - reach .. begin + reach.

    Parameters
    ----------
    flux, ivar : (n, N) on the fine logarithmic grid
    templates : (K, L)
    begin : (n,) place of the first bin on the rest-frame grid
    """
    d, w, _ = normalised(flux, ivar)
    n, bins = d.shape
    offsets = torch.arange(-reach, reach + 1, device=d.device)
    start = (begin - reach).clamp(0, templates.shape[-1] - bins - 2 * reach)
    index = start[:, None] + torch.arange(bins + 2 * reach, device=d.device)
    piece = templates[:, index].transpose(0, 1)
    views = piece.unfold(2, bins, 1).transpose(1, 2)  # (n, S, K, bins)
    x = torch.linspace(-1, 1, bins, device=d.device)
    poly = torch.stack([torch.ones_like(x), x, 1.5 * x * x - 0.5][:POLYNOMIALS])
    poly = poly.expand(n, len(offsets), -1, -1)
    design = torch.cat([views, poly], 2)
    weighted = design * w[:, None, None]
    matrix = weighted @ design.transpose(2, 3)
    right = weighted @ d[:, None, :, None]
    matrix = matrix + torch.diag_embed(1e-5 * torch.diagonal(matrix, dim1=2, dim2=3) + 1e-8)
    explained = (right * torch.linalg.solve(matrix, right)).sum((2, 3))
    return (w * d.square()).sum(1, keepdim=True) - explained


@dataclasses.dataclass(frozen=True)
class Fits:
    """chi2, shift (fine bins towards larger places, smaller redshifts) and error (fine bins), (n, candidates) each."""

    chi2: Tensor
    shift: Tensor
    error: Tensor


def best_fit(flux: Tensor, ivar: Tensor, basis: Tensor, kind: Tensor, begin: Tensor, worth: Tensor) -> Fits:
    """Fit the candidates (n, candidates) that are `worth` it, of class `kind` at place `begin`, with the templates
    `basis` (classes, K, L); the others have an infinite chi2."""
    shape, device = begin.shape, flux.device
    found = [torch.zeros(shape, device=device), torch.full(shape, torch.inf, device=device)]
    found.append(torch.full(shape, torch.nan, device=device))
    for candidate in range(shape[1]):
        for number, templates in enumerate(basis):
            for rows in ((kind[:, candidate] == number) & worth[:, candidate]).nonzero()[:, 0].split(BLOCK):
                chi2 = scan(flux[rows], ivar[rows], templates, begin[rows, candidate])
                for whole, part in zip(found, minimum(chi2), strict=True):
                    whole[rows, candidate] = part
    shift, chi2, error = found
    return Fits(chi2, shift, error)


def minimum(chi2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Place of the least chi2 (n,), in bins from the middle, by a parabola; its value; the error where chi2 is 1 more."""
    reach = chi2.shape[1] // 2
    best = chi2.argmin(1)
    inner = best.clamp(1, chi2.shape[1] - 2)
    left, middle, right = (chi2.gather(1, (inner + k)[:, None])[:, 0] for k in (-1, 0, 1))
    curvature = (left - 2 * middle + right).clamp(min=1e-6)
    shift = (0.5 * (left - right) / curvature).clamp(-1, 1)
    value = middle - 0.125 * (left - right).square() / curvature
    edge = best != inner
    place = torch.where(edge, best.float(), inner + shift) - reach
    return place, torch.where(edge, chi2.amin(1), value), (2 / curvature).sqrt()
