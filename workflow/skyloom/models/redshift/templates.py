"""Rest-frame templates of a class of spectra: a weighted principal component analysis by expectation maximisation.

Bailey 2012 (PASP 124, 1015), without a mean: coefficients given the templates and templates given the coefficients are
linear fits in turn, weighted by inverse variance, so that a spectrum counts where it was observed and not elsewhere.
"""

import torch
from torch import Tensor

from skyloom.nn import equations
from skyloom.nn.log_grid import LogGrid

FLOOR = 0.02  # error of calibration and templates, in units of the spectrum: bright ones are not all that counts
RIDGE = 1e-3
START, CALM = 15_900.0, 3_940.0  # km/s: windows that smooth the first guess, and bins with little behind them
ENOUGH = 100.0  # weight (squared signal-to-noise) of a bin above which its fine structure is believed


def normalised(flux: Tensor, ivar: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Spectra (n, N) in units of their root mean square, with their weights, and that unit (n, 1)."""
    seen = ivar > 0
    power = (flux.square() * ivar).sum(1) - seen.sum(1)  # without the noise's own
    scale = (power.clamp(min=0) / ivar.sum(1).clamp(min=1e-30)).sqrt()[:, None]
    least = (seen.sum(1, keepdim=True) / ivar.sum(1, keepdim=True).clamp(min=1e-30)).sqrt() * 0.1
    scale = torch.maximum(scale, least).clamp(min=1e-30)
    weight = ivar * scale.square()
    return flux / scale, weight / (1 + FLOOR**2 * weight), scale


def windows(templates: Tensor, begin: Tensor, bins: int) -> Tensor:
    """What `bins` observed bins see of the templates (K, L) from place `begin` (n,) on: (n, K, bins)."""
    index = begin[:, None] + torch.arange(bins, device=begin.device)
    return templates[:, index].transpose(0, 1)


def at_rest(flux: Tensor, ivar: Tensor, begin: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised spectra and their weights on the rest-frame grid, (n, length), zero where nothing was observed, and
    their scale (n, 1)."""
    d, w, scale = normalised(flux, ivar)
    index = begin[:, None] + torch.arange(d.shape[1], device=d.device)
    return *(torch.zeros(len(d), length, device=d.device).scatter_(1, index, part) for part in (d, w)), scale


def learn(d: Tensor, w: Tensor, count: int, grid: LogGrid, rounds: int = 8) -> Tensor:
    """Templates (count, L), the first the most important, of rest-frame spectra and weights (n, L) as from `at_rest`,
    in bins of `grid`.

    Cost: 2 n L count^2 operations a round, as products of matrices.
    """
    n, length = d.shape
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(count, length, generator=generator).to(d)
    kernel = torch.hann_window(grid.odd_bins_of(START), device=d.device)[None, None]
    templates = torch.nn.functional.conv1d(random[:, None], kernel / kernel.sum(), padding="same")[:, 0]
    templates[0] = templates.std()
    weighted = d * w
    upper = torch.triu_indices(count, count)
    for _ in range(rounds):
        c = solve(w, weighted, templates)
        square = torch.empty(length, count, count, device=d.device)
        products = w.T @ (c[:, upper[0]] * c[:, upper[1]])
        square[:, upper[0], upper[1]] = products
        square[:, upper[1], upper[0]] = products
        ridge = RIDGE * torch.diagonal(square, dim1=1, dim2=2).mean(0) + 1e-6
        templates = torch.linalg.solve(square + torch.diag(ridge), weighted.T @ c).T
        _, _, directions = torch.linalg.svd(templates, full_matrices=False)
        templates = directions * length**0.5
    c = solve(w, weighted, templates)
    _, _, turn = torch.linalg.svd(c, full_matrices=False)  # by what the spectra have of them
    return calm(turn @ templates, w.sum(0), grid.odd_bins_of(CALM))


def calm(templates: Tensor, weight: Tensor, width: int) -> Tensor:
    """Templates (K, L), smoothed (over `width` bins) where the weight behind a bin (L,) is small: mostly noise."""
    kernel = torch.hann_window(width + 2, device=weight.device)[1:-1][None, None]

    def smooth(rows: Tensor) -> Tensor:
        return torch.nn.functional.conv1d(rows[:, None], kernel, padding="same")[:, 0]

    wide = smooth(templates * weight) / smooth(weight[None]).clamp(min=1e-12)
    own = weight / (weight + ENOUGH)
    return (own * templates + (1 - own) * wide).contiguous()


def solve(w: Tensor, weighted: Tensor, templates: Tensor) -> Tensor:
    """Best coefficients (n, K) of templates (K, L) for weights (n, L) and weighted spectra (n, L)."""
    count = len(templates)
    upper = torch.triu_indices(count, count)
    matrix = torch.empty(len(w), count, count, device=w.device)
    products = w @ (templates[upper[0]] * templates[upper[1]]).T
    matrix[:, upper[0], upper[1]] = products
    matrix[:, upper[1], upper[0]] = products
    ridge = RIDGE * torch.diagonal(matrix, dim1=1, dim2=2).mean(1) + 1e-6
    matrix = matrix + ridge[:, None, None] * torch.eye(count, device=w.device)
    return torch.linalg.solve(matrix, weighted @ templates.T)


def embedding(flux: Tensor, ivar: Tensor, begin: Tensor, templates: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """What spectra (n, N) say of the rest-frame templates (K, L) whose coefficients have this variance (K,): their
    posterior mean (n, K), and the arcsinh of their scale (n, 1)."""
    d, w, scale = normalised(flux, ivar)
    if torch.compiler.is_exporting():  # for any number of spectra
        numbers = _posterior_mean(d, w, begin, templates, variance)
    else:
        parts = zip(d.split(64), w.split(64), begin.split(64), strict=True)
        numbers = torch.cat([_posterior_mean(*part, templates, variance) for part in parts])
    return numbers / variance.sqrt(), torch.asinh(scale)


def _posterior_mean(d: Tensor, w: Tensor, begin: Tensor, templates: Tensor, variance: Tensor) -> Tensor:
    seen = windows(templates, begin, d.shape[1])
    weighted = seen * w[:, None]
    matrix = weighted @ seen.transpose(1, 2) + torch.diag(1 / variance)
    return equations.solve(matrix, weighted @ d[..., None])[..., 0]
