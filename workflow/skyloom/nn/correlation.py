"""Correlation of long signals with long templates at every shift, by Fourier transform."""

import torch
from scipy.fft import next_fast_len
from torch import Tensor

TOGETHER = 8  # signals at once: their transforms stay in the cache of a core


def correlate(signals: Tensor, templates: Tensor) -> Tensor:
    """Agreement of signals (B, C, N) with templates (K, C, L), L >= N, at every shift at which they overlap in full.

    (B, K, L - N + 1), number s being the sum over channels c and places n of signals[c, n] templates[c, n + s]. Cost:
    C transforms a signal and C K products of their length; products over the whole batch at once, as einsum makes
    them, take three times as long, and eight times with their gradients (tests/bench/LOG.md).
    """
    signals, templates = signals.float(), templates.float()
    if torch.compiler.is_exporting():  # which has no gradients, nor any form of complex numbers
        return _by_products(signals, templates)
    return _Correlation.apply(signals, templates)


def _by_products(signals: Tensor, templates: Tensor) -> Tensor:
    """The same (B, K, L - N + 1) without transforms, as a convolution."""
    return torch.nn.functional.conv1d(templates, signals).transpose(0, 1)


class _Correlation(torch.autograd.Function):
    """With gradients that are correlations themselves."""

    @staticmethod
    def forward(ctx, signals: Tensor, templates: Tensor) -> Tensor:
        ctx.save_for_backward(signals, templates)
        size = next_fast_len(templates.shape[2], real=True)
        shifts = templates.shape[2] - signals.shape[2] + 1
        rest = torch.fft.rfft(templates, size)
        if not len(signals):
            return signals.new_zeros(0, len(templates), shifts)
        found = (_summed(_conjugate(part, size), rest) for part in blocks(signals))
        return torch.cat([torch.fft.irfft(some, size)[..., :shifts] for some in found])

    @staticmethod
    def backward(ctx, gradient: Tensor):
        signals, templates = ctx.saved_tensors
        size = next_fast_len(templates.shape[2], real=True)
        rest = torch.fft.rfft(templates, size).transpose(0, 1)  # (C, K, F)
        of_templates = torch.zeros_like(rest)
        of_signals = []
        for part, grad in zip(blocks(signals), blocks(gradient), strict=True):
            if ctx.needs_input_grad[0]:
                found = _summed(_conjugate(grad, size), rest)
                of_signals.append(torch.fft.irfft(found, size)[..., : signals.shape[2]])
            if ctx.needs_input_grad[1]:
                seen, pulled = (torch.fft.rfft(x, size) for x in (part, grad))
                for channel in range(seen.shape[1]):
                    for kind in range(pulled.shape[1]):
                        of_templates[channel, kind] += (seen[:, channel] * pulled[:, kind]).sum(0)
        back = torch.fft.irfft(of_templates.transpose(0, 1), size)[..., : templates.shape[2]]
        return torch.cat(of_signals) if of_signals else None, back if ctx.needs_input_grad[1] else None


def blocks(values: Tensor) -> tuple[Tensor, ...]:
    """A few signals at once on a CPU; all on a GPU, and where a network is exported for any number of them."""
    if torch.compiler.is_exporting() or values.device.type != "cpu":
        return (values,)
    return values.split(TOGETHER)


def _conjugate(values: Tensor, size: int) -> Tensor:
    return torch.fft.rfft(values, size).conj().resolve_conj()


def _summed(observed: Tensor, rest: Tensor) -> Tensor:
    """(B, K, F): the sum over channels of (B, C, F) times (K, C, F)."""
    total = observed.new_zeros(len(observed), len(rest), observed.shape[2])
    for channel in range(observed.shape[1]):
        for kind in range(len(rest)):
            total[:, kind].addcmul_(observed[:, channel], rest[kind, channel])
    return total
