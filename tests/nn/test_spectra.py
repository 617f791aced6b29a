"""What is hidden from a network in a spectrum: pixels under masked slices, counted one by one."""

import numpy as np
import pytest
import torch

from skyloom.nn.spectra import hidden_pixels, normalise, shrinkage, slice_count, token_shrinkage


@pytest.mark.parametrize(("width", "size", "stride"), [(403, 20, 10), (400, 40, 40), (101, 30, 7), (60, 20, 20)])
def test_hidden_pixels_are_those_that_masked_slices_alone_show(width, size, stride):
    count = slice_count(width, size, stride)
    mask = torch.rand(5, count, generator=torch.Generator().manual_seed(0)) < 0.4
    mask[0], mask[1] = True, False
    hidden = hidden_pixels(mask, width, size, stride)
    for sample in range(5):
        shown, under = np.zeros(width, bool), np.zeros(width, bool)
        for token in range(count):
            (under if mask[sample, token] else shown)[token * stride : token * stride + size] = True
        np.testing.assert_array_equal(hidden[sample].numpy(), under & ~shown)


def test_hidden_pixels_fill_no_gap_but_count_in_mean_and_deviation():
    flux = torch.tensor([[1.0, 2, 3, 4, 50, 6, 7, 8, 9, 2]])
    ivar = torch.ones(1, 10)
    ivar[0, 3] = 0
    hidden = torch.zeros(1, 10, dtype=torch.bool)
    hidden[0, 4] = True
    scaled, mean, std = normalise(flux, ivar, hidden=hidden)
    plain, *same = normalise(flux, ivar)
    assert torch.equal(mean, same[0]) and torch.equal(std, same[1])
    expected = (torch.tensor([4.0, 5.0]) - mean[0]) / std[0]  # along the line from 3 to 6, past the 50
    torch.testing.assert_close(scaled[0, 3:5], expected)
    visible = [0, 1, 2, 5, 6, 7, 8, 9]
    assert torch.equal(scaled[0, visible], plain[0, visible])
    edge = torch.zeros(1, 10, dtype=torch.bool)
    edge[0, 8:] = True  # nothing to interpolate to: the mean
    assert not normalise(flux, ivar, hidden=edge)[0][0, 8:].any()
    assert not normalise(flux, hidden=edge)[0][0, 8:].any()


def test_gaps_and_medians_of_an_exported_network_are_the_same(monkeypatch):
    g = torch.Generator().manual_seed(0)
    flux, ivar = torch.randn(40, 133, generator=g), torch.rand(40, 133, generator=g)
    ivar[torch.rand(40, 133, generator=g) < torch.linspace(0, 1, 40)[:, None]] = 0
    ivar[3, :50] = ivar[4, 60:] = 0
    plain = normalise(flux, ivar)[0], shrinkage(ivar)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    for one, other in zip(plain, (normalise(flux, ivar)[0], shrinkage(ivar)), strict=True):
        torch.testing.assert_close(other, one)


def test_shrinkage_of_pixels_and_of_tokens_is_one():
    ivar = torch.rand(3, 60, generator=torch.Generator().manual_seed(0))
    assert torch.equal(token_shrinkage(ivar, 20, 20).flatten(1), shrinkage(ivar))
