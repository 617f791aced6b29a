"""Probabilities of bins of ln(1+z): what is said of them agrees with the density that they are of."""

import numpy as np
import pytest
import torch
from scipy import stats

from skyloom.nn import redshift_density
from skyloom.nn.redshift_grid import Grid

GRID = Grid.up_to(5.0, 0.001)


def normal(mean: float, sigma: float) -> torch.Tensor:
    """ln p (1, bins) of a Gaussian in ln(1+z)."""
    middles = GRID.step * torch.arange(GRID.count)
    return (-0.5 * ((middles - mean) / sigma).square())[None].log_softmax(1)


def test_the_grid_reaches_the_redshift_and_says_where_its_bins_are():
    first, step, count = GRID.log_scale
    assert (first, step) == (0.0, 0.001)
    assert np.expm1(step * (count - 1)) >= 5.0 > np.expm1(step * (count - 3))


@pytest.mark.parametrize(("mean", "sigma"), [(0.4, 0.03), (1.2, 0.0023)])
def test_quantiles_are_those_of_the_distribution(mean, sigma):
    said = GRID.said(normal(mean, sigma), 0.9)
    wanted = np.expm1(stats.norm(mean, sigma).ppf([0.5, 0.05, 0.95]))
    found = [said[name].item() for name in ("z", "z_lower", "z_upper")]
    np.testing.assert_allclose(found, wanted, atol=5e-5 * (1 + wanted[0]))
    assert said["posterior"].sum().item() == pytest.approx(1, abs=1e-4)


def test_a_redshift_of_nearly_none_is_not_negative():
    said = GRID.said(normal(0.0, 0.0005), 0.9)
    assert said["z_lower"].item() == 0 and 0 <= said["z"].item() < said["z_upper"].item() < 0.002


def test_a_mixture_on_the_grid_is_the_mixture():
    out = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    found = GRID.log_mixture(out)
    z = torch.expm1(GRID.step * torch.tensor([0, 100, 700, 1500, 1700.0]))
    want = redshift_density.log_density(out, z)
    torch.testing.assert_close(found.gather(1, torch.tensor([[0], [100], [700], [1500], [1700]]))[:, 0], want)


def test_the_loss_is_least_for_the_truth_and_counts_what_is_known():
    z = torch.expm1(torch.tensor([0.4, 0.4, 0.4]))
    right, aside = normal(0.4, 0.001), normal(0.41, 0.001)
    known = torch.tensor([True, True, False])
    both = torch.cat([right, aside, aside])
    alone = GRID.loss(right, z[:1], known[:1])
    assert alone < GRID.loss(aside, z[:1], known[:1])
    assert alone.item() == pytest.approx(stats.norm.entropy(), abs=1e-3)  # of itself, in bins
    mean = (alone + GRID.loss(aside, z[:1], known[:1])) / 2
    assert GRID.loss(both, z, known).item() == pytest.approx(mean.item(), rel=1e-5)
    unknown = torch.tensor([torch.nan])
    assert GRID.loss(right, unknown, torch.tensor([False])).item() == 0
