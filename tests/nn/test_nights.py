"""Another night of the survey: how much wider a star gets, how much noise comes, how often, on any number of ranks."""

import pytest
import torch

from skyloom.nn.draws import Draws
from skyloom.nn.nights import NOISE, SEEING, another

COUNT, SIDE = 4000, 41


def worse(fit: tuple, power: int) -> torch.Tensor:
    """The mean of what is added in quadrature, to this power, (3,), by many draws of two log-normal numbers."""
    shape, place, scale = (torch.tensor(part, dtype=torch.float64) for part in fit)
    normal = torch.randn(2, 400_000, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    own, wanted = place + scale * torch.exp(shape * normal)
    return (wanted**2 - own**2).clamp(min=0).pow(power / 2).mean(0)


def stars() -> torch.Tensor:
    flux = torch.zeros(COUNT, 3, SIDE, SIDE)
    flux[:, :, SIDE // 2, SIDE // 2] = 1.0
    return flux


def test_a_star_gets_wider_by_what_two_nights_differ_and_keeps_its_light(monkeypatch):
    monkeypatch.setattr("skyloom.nn.nights.NOISE", (((0.0,) * 3, (0.0,) * 3, (1e-9,) * 3), None))
    seen = another(stars(), 1.0, Draws(0, 1, COUNT)).double()
    at = torch.arange(SIDE) - SIDE // 2
    torch.testing.assert_close(seen.sum((2, 3)), torch.ones(COUNT, 3, dtype=torch.float64), atol=1e-3, rtol=0)
    moment = (seen.sum(3) * at.square()).sum(2).mean(0)
    torch.testing.assert_close(moment, worse(SEEING[0], 2), rtol=0.06, atol=0)


def test_noise_comes_by_what_two_nights_differ_in_each_band():
    flux = torch.zeros(20 * COUNT, 3, 4, 4)
    seen = another(flux, 1.0, Draws(0, 1, len(flux))).double()
    torch.testing.assert_close(seen.square().mean((0, 2, 3)), worse(NOISE[0], 2), rtol=0.03, atol=0)
    assert (seen.flatten(2).std(2) == 0).double().mean() == pytest.approx(0.5, abs=0.02)  # no worse in every second


def test_the_share_is_that_of_either_and_what_is_left_is_untouched():
    flux = stars()
    seen = another(flux, 0.4, Draws(0, 1, COUNT))
    same = (seen == flux).flatten(1).all(1).double().mean()
    # noise that is drawn, but in none of three bands greater, changes nothing; a fold by nothing changes last bits
    assert same == pytest.approx(0.6 * (0.6 + 0.4 / 8), abs=0.03)
    assert torch.equal(another(flux, 0.0, Draws(0, 1, COUNT)), flux)


def test_two_ranks_have_the_images_of_one():
    flux = torch.rand(8, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    whole = another(flux, 0.5, Draws(0, 1, 8))
    for rank in (0, 1):
        part = another(flux[rank::2], 0.5, Draws(0, 1, 8, slice(rank, None, 2)))
        torch.testing.assert_close(part, whole[rank::2])
