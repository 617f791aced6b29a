import pytest
import torch

from skyloom.nn.draws import Draws, number
from skyloom.nn.schedules import cosine, warmup_cosine


def test_rate_climbs_to_its_peak_and_falls_along_a_cosine():
    rates = [warmup_cosine(step, 110, 10, 2.0, 0.2) for step in range(111)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx(1.1)  # half way
    assert rates[110] == pytest.approx(0.2)
    assert cosine(0.5, 0.0, 1.0) == pytest.approx(0.5)


def test_draws_depend_on_seed_and_step_only():
    numbers = {(seed, step): Draws(seed, step, 4).uniform(3) for seed in (0, 1) for step in (0, 1)}
    assert torch.equal(numbers[0, 1], Draws(0, 1, 4).uniform(3))
    assert len({tuple(value.flatten().tolist()) for value in numbers.values()}) == 4


def test_ranks_share_the_draws_of_one_process():
    for kind, shape in (("uniform", (3,)), ("normal", (2, 2)), ("integers", (0, 9, 5))):
        whole = getattr(Draws(0, 7, 8), kind)(*shape)
        for rank in range(2):
            part = getattr(Draws(0, 7, 8, slice(rank, None, 2)), kind)(*shape)
            assert torch.equal(part, whole[rank::2])


def test_seeds_are_different_and_fit_torch():
    seeds = {number(*parts) for parts in ((0, 1), (1, 0), (0, "1", 0), ("order", 0))}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
