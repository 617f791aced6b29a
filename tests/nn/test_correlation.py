"""Correlation by Fourier transform: the sum it stands for, and its gradients."""

import pytest
import torch

from skyloom.nn import correlation
from skyloom.nn.correlation import correlate


@pytest.fixture
def signals():
    return torch.randn(11, 3, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def templates():
    return torch.randn(2, 3, 33, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def plain(signals, templates):
    """Every place one by one."""
    windows = templates.unfold(2, signals.shape[2], 1)  # (K, C, shifts, N)
    return torch.einsum("bcn,kcsn->bks", signals, windows)


def test_it_is_the_sum_of_products_at_every_shift(signals, templates):
    found = correlate(signals, templates)
    assert found.shape == (11, 2, 14)
    assert torch.allclose(found.double(), plain(signals, templates), atol=1e-5)


def test_its_gradients_are_those_of_the_sum(signals, templates):
    weight = torch.randn(11, 2, 14, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    gradients = []
    for function in (plain, correlate):
        x, t = signals.clone().requires_grad_(), templates.clone().requires_grad_()
        (function(x, t) * weight).sum().backward()
        gradients.append((x.grad, t.grad))
    for expected, found in zip(*gradients, strict=True):
        assert torch.allclose(expected, found, atol=1e-4)


def test_how_many_signals_are_taken_at_once_changes_nothing(signals, templates, monkeypatch):
    before = correlate(signals, templates)
    monkeypatch.setattr(correlation, "TOGETHER", 4)
    assert torch.allclose(correlate(signals, templates), before, atol=1e-6)


def test_no_signals_give_no_scores(templates):
    assert correlate(torch.zeros(0, 3, 20), templates).shape == (0, 2, 14)


def test_templates_alone_can_be_learned(signals, templates):
    t = templates.clone().requires_grad_()
    correlate(signals, t).sum().backward()
    assert torch.allclose(t.grad.sum(2), 14 * signals.sum((0, 2)).expand(2, 3), atol=1e-3)
