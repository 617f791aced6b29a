"""The logarithmic grid: nothing is made or lost in rebinning, and a mean is a mean."""

import numpy as np
import pytest
import torch

from skyloom.nn.log_grid import SPEED_OF_LIGHT, LogGrid, Rebin, channels, running_mean, shares


@pytest.fixture
def grid():
    return LogGrid.over(3650.0, 9700.0, 125.0)


def test_bins_have_the_velocity_asked_for_and_stay_inside(grid):
    steps = np.diff(np.log(grid.edges)) * SPEED_OF_LIGHT
    assert steps == pytest.approx(125.0, rel=1e-9)
    assert grid.edges[0] == 3650.0 and 9700 - 5 < grid.edges[-1] <= 9700
    assert grid.centres[0] ** 2 == pytest.approx(grid.edges[0] * grid.edges[1])


def test_widths_and_places_are_those_of_the_grid(grid):
    assert grid.bins_of(3000) == 24 and LogGrid.over(11900.0, 19000.0, 250.0).bins_of(3000) == 12
    assert grid.bins_of(1) == 1 and grid.odd_bins_of(1) == 3
    for bins in (3, 63, 151):
        assert {grid.odd_bins_of(125.0 * (bins + off)) for off in (-0.9, 0, 0.9)} == {bins}
    (place,) = grid.places([3000.0, float(grid.centres[700]), 12000.0])
    assert place == pytest.approx(700)


@pytest.mark.parametrize("step", [0.8, 3.0, 20.0])
def test_shares_are_the_overlaps_of_every_pixel_with_every_bin(grid, step):
    pixels = min(int(7000 / step), 2400)
    lower = 3500 + step * np.arange(pixels)
    share, index = shares(lower, lower + step, grid.edges)
    dense = np.zeros((grid.bins, pixels))
    np.add.at(dense, (np.repeat(np.arange(grid.bins), share.shape[1]), index.ravel()), share.ravel())
    low = np.maximum(lower, grid.edges[:-1, None])
    high = np.minimum(lower + step, grid.edges[1:, None])
    np.testing.assert_allclose(dense, np.clip(high - low, 0, None) / step, rtol=0, atol=1e-9)


@pytest.mark.parametrize("step", [0.8, 12.0])
def test_rebinning_keeps_information_and_fluxes(grid, step):
    pixels = int(6400 / step)
    wavelength = 3500 + step * np.arange(pixels)
    rebin = Rebin(3500.0, step, pixels, grid)
    generator = torch.Generator().manual_seed(0)
    ivar = torch.rand(3, pixels, generator=generator) * (torch.rand(3, pixels, generator=generator) > 0.2)
    slope = torch.from_numpy((2 + wavelength / 1000).astype("f4")).expand(3, -1)
    flux, total = rebin(slope, ivar)
    upper, lower = wavelength + step / 2, wavelength - step / 2
    inside = np.clip(np.minimum(upper, grid.edges[-1]) - np.maximum(lower, grid.edges[0]), 0, None) / step
    assert total.sum(1).numpy() == pytest.approx((ivar.numpy() * inside).sum(1), rel=1e-5)
    seen = (total > 0).numpy()
    truth = 2 + np.broadcast_to(grid.centres, seen.shape) / 1000
    assert abs(flux.numpy() - truth)[seen].max() < (step + np.diff(grid.edges).max()) / 2 / 1000
    assert (flux.numpy()[~seen] == 0).all()


def test_what_lies_outside_has_no_weight():
    grid = LogGrid.over(3000.0, 9000.0, 300.0)
    flux, ivar = Rebin(4000.0, 2.0, 1000, grid)(torch.ones(1, 1000), torch.ones(1, 1000))
    outside = (grid.edges[1:] < 3999) | (grid.edges[:-1] > 5999)
    assert (ivar.numpy()[0, outside] == 0).all() and (ivar.numpy()[0, ~outside] > 0).all()
    assert (flux.numpy()[0, outside] == 0).all()


def test_the_running_mean_is_numpys_weighted_average():
    rng = np.random.default_rng(1)
    flux, ivar = rng.normal(5, 1, (2, 60)), rng.random((2, 60)) * (rng.random((2, 60)) > 0.3)
    ivar[0, 20:40] = 0
    mean, weight = running_mean(torch.tensor(flux).float(), torch.tensor(ivar).float(), 7)
    for row in range(2):
        for place in range(60):
            near = slice(max(0, place - 3), place + 4)
            total = ivar[row, near].sum()
            assert float(weight[row, place]) == pytest.approx(total, abs=1e-5)
            expected = np.average(flux[row, near], weights=ivar[row, near]) if total else 0
            assert float(mean[row, place]) == pytest.approx(expected, rel=1e-4)


def test_channels_are_in_units_of_the_noise_whatever_the_unit_of_the_flux():
    generator = torch.Generator().manual_seed(0)
    flux = 5 + torch.randn(40, 500, generator=generator)
    ivar = torch.ones(40, 500)
    ivar[:, 100:130] = 0
    found = channels(flux, ivar, 51, 151)
    assert found.shape == (40, 4, 500)
    assert torch.allclose(found, channels(20 * flux, ivar / 400, 51, 151), atol=1e-4)
    assert (found[:, :, 100:130] == 0).all() and torch.equal(found[:, 3], (ivar > 0).float())
    lines = 1.5 * torch.sinh(found[:, 0, 200:300])  # white noise, less what the mean of 51 bins took
    assert lines.std().item() == pytest.approx((1 - 1 / 51) ** 0.5, rel=0.03) and abs(lines.mean()) < 0.03


def test_a_line_stands_out_by_its_signal_to_noise_and_a_slope_does_not():
    flux = 5 + 0.004 * torch.arange(500.0).expand(2, -1)
    flux = torch.stack([flux[0], flux[1] + 12 * (-0.5 * ((torch.arange(500) - 250) / 2.0).square()).exp()])
    slope, line = channels(flux, torch.full((2, 500), 4.0), 51, 151)[:, 0]
    assert slope[100:400].abs().max() < 0.02
    assert 1.5 * torch.sinh(line[250]) == pytest.approx(2 * (12 - 12 * 2.0 * (2 * np.pi) ** 0.5 / 51), rel=0.02)
