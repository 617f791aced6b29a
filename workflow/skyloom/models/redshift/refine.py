"""A chi2 scan around the peaks that the network proposes: redshifts to a fraction of a bin."""

import dataclasses

import torch
from torch import Tensor

from skyloom.models.redshift.templates import normalised

REACH = 5  # fine bins searched on each side of a peak
BLOCK = 16  # spectra at once: 3 MB each


def scan(flux: Tensor, ivar: Tensor, templates: Tensor, begin: Tensor, reach: int = REACH) -> Tensor:
    """chi2 of the best sum of templates and polynomials, (n, 2 reach + 1), at places begin - reach .. begin + reach.

    Parameters
    ----------
    flux, ivar : (n, N) on the fine logarithmic grid
    templates : (K, L)
    begin : (n,) place of the first bin on the rest-frame grid
    """
    d, w, _ = normalised(flux, ivar)
    _, matrix, right = _equations(d, w, templates, begin, reach)
    explained = (right * torch.linalg.solve(matrix, right)).sum((2, 3))
    return (w * d.square()).sum(1, keepdim=True) - explained


def curve(flux: Tensor, ivar: Tensor, templates: Tensor, begin: Tensor) -> Tensor:
    """The best sum itself at places `begin`, (n, N), in the unit of the flux."""
    d, w, scale = normalised(flux, ivar)
    design, matrix, right = _equations(d, w, templates, begin, 0)
    return (torch.linalg.solve(matrix, right)[:, 0, :, 0, None] * design[:, 0]).sum(1) * scale


def _equations(d: Tensor, w: Tensor, templates: Tensor, begin: Tensor, reach: int) -> tuple[Tensor, Tensor, Tensor]:
    """What is summed (n, S, K + polynomials, N) at S places, and the normal equations of the sum: matrix and right."""
    n, bins = d.shape
    start = (begin - reach).clamp(0, templates.shape[1] - bins - 2 * reach)
    index = start[:, None] + torch.arange(bins + 2 * reach, device=d.device)
    views = templates[:, index].transpose(0, 1).unfold(2, bins, 1).transpose(1, 2)  # (n, S, K, bins)
    x = torch.linspace(-1, 1, bins, device=d.device)
    polynomials = torch.stack([torch.ones_like(x), x, 1.5 * x * x - 0.5])  # of the observed wavelength: calibration
    design = torch.cat([views, polynomials.expand(n, 2 * reach + 1, -1, -1)], 2)
    weighted = design * w[:, None, None]
    matrix = weighted @ design.transpose(2, 3)
    matrix = matrix + torch.diag_embed(1e-5 * torch.diagonal(matrix, dim1=2, dim2=3) + 1e-8)
    return design, matrix, weighted @ d[:, None, :, None]


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
    """Place of the least chi2 (n,), in bins from the middle, by a parabola, its value, and the error: chi2 is 1 more."""
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
