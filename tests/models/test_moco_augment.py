"""An observation of MoCo: each change does what it says, whoever else is in the batch, as often as surveys have it."""

import pytest
import torch

from skyloom.models.moco import Augment
from skyloom.models.moco.augment import observe, wanted
from skyloom.nn import observed
from skyloom.nn.draws import Draws
from skyloom.nn.nights import EBV, NOISE, SEEING, of_survey
from tests.models.test_moco import galaxies

PLAIN = {"extinction": False, "rotate": False, "sizes": (1.0, 1.0), "blur": False, "jitter": 0, "noise": False}


def test_an_observation_that_changes_nothing_is_the_middle_of_the_image():
    batch = galaxies()
    seen = observe(batch["image"]["flux"], None, 16, Augment(**PLAIN), Draws(0, 0, 8))
    torch.testing.assert_close(seen, batch["image"]["flux"][..., 4:20, 4:20], rtol=0, atol=1e-5)


@pytest.mark.parametrize("key", ["extinction", "rotate", "sizes", "blur", "jitter", "noise"])
def test_each_change_is_seen_and_does_not_depend_on_the_number_of_processes(key):
    batch = galaxies()
    flux, ebv = batch["image"]["flux"], batch.labels["ebv"]
    config = Augment(**PLAIN | {key: {"sizes": (0.8, 1.2), "jitter": 3}.get(key, True)})
    whole = observe(flux, ebv, 16, config, Draws(0, 3, 8))
    assert not torch.allclose(whole, flux[..., 4:20, 4:20], atol=1e-3)
    for rank in (0, 1):
        rows = slice(rank, None, 2)
        part = observe(flux[rows], ebv[rows], 16, config, Draws(0, 3, 8, rows))
        torch.testing.assert_close(part, whole[rows], rtol=1e-4, atol=1e-6)


def test_the_dust_in_front_of_a_galaxy_is_taken_off_and_that_of_another_place_put_there():
    config = Augment(**PLAIN | {"extinction": True})
    flux = torch.ones(2000, 3, 1, 1).expand(-1, -1, 4, 4)
    clear = torch.where(torch.arange(2000) < 1000, torch.tensor(0.5), torch.nan)  # half of them behind a cloud
    seen = (
        -2.5
        * observe(flux, clear, 4, config, Draws(0, 0, 2000))[:, :, 0, 0].log10()
        / torch.tensor(observed.EXTINCTION)
    )
    torch.testing.assert_close(seen[:, 0], seen[:, 2], rtol=1e-3, atol=1e-4)
    shape, location, scale = EBV[0]
    assert (seen[:1000, 0] + 0.5).median().item() == pytest.approx(location + scale, rel=0.1)
    assert seen[1000:, 0].median().item() == pytest.approx(0, abs=0.005)  # unknown: of one drawn from the same sky


@pytest.mark.parametrize("of", [SEEING, NOISE])
def test_seeing_and_depth_are_drawn_as_surveys_have_them(of):
    (shape, location, scale), (low, high) = ((torch.tensor(part) for part in parts) for parts in of)
    drawn = of_survey(of[0], Draws(0, 0, 20000), 3)
    torch.testing.assert_close(drawn.median(0).values, location + scale, rtol=0.02, atol=0)
    torch.testing.assert_close(((drawn - location) / scale).log().std(0), shape, rtol=0.03, atol=0)
    even = wanted(of, Augment(drawn="uniform"), Draws(0, 0, 20000), 3)
    torch.testing.assert_close(even.mean(0), (low + high) / 2, rtol=0.02, atol=0)
    assert (even.min(0).values >= low).all() and (even.max(0).values <= high).all()


def test_an_image_is_as_deep_as_is_drawn():
    flux = 0.002 * torch.randn(64, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    config = Augment(**PLAIN | {"noise": True, "drawn": "uniform"})
    seen = observe(flux, None, 48, config, Draws(0, 0, 64))
    draws = Draws(0, 0, 64)
    draws.uniform(2), draws.uniform(), draws.integers(0, 1, 2)  # turn, size and place come first
    expected = wanted(NOISE, config, draws, 3).clamp(min=0.002)
    torch.testing.assert_close(seen.std((2, 3)), expected, rtol=0.12, atol=0)
