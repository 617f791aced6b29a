"""Signs of collapse against closed forms."""

import pytest
import torch

from skyloom.nn.collapse import spread


def signs(features) -> tuple[float, float]:
    found = spread(features)
    return float(found["embedding_deviation"]), float(found["effective_rank"])


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_embeddings_in_all_directions_use_them_all():
    deviation, rank = signs(normal(20_000, 8))
    assert deviation == pytest.approx(1, abs=0.01) and rank == pytest.approx(8, rel=0.01)


def test_one_point_has_no_deviation_and_one_line_one_direction():
    assert signs(torch.ones(50, 8) + 1e-4 * normal(50, 8))[0] < 1e-3
    assert signs(normal(500, 1) * normal(1, 8))[1] == pytest.approx(1, rel=1e-4)
    two = torch.zeros(1000, 8)
    two[:, :2] = normal(1000, 2) * torch.tensor([2.0, 1.0])  # variances 4 and 1: 25 / 17
    assert signs(two)[1] == pytest.approx(25 / 17, rel=0.05)


def test_the_rank_is_that_of_the_eigenvalues_whichever_side_is_longer():
    for shape in ((30, 8), (8, 30)):
        x = normal(*shape) * torch.linspace(0.1, 2, shape[1])
        value = torch.linalg.svdvals(x - x.mean(0)).square()
        assert signs(x)[1] == pytest.approx(float(value.sum() ** 2 / value.square().sum()), rel=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            assert signs(x)[1] == pytest.approx(float(value.sum() ** 2 / value.square().sum()), rel=1e-4)


def test_equal_embeddings_are_no_error():
    assert signs(torch.ones(5, 4)) == (0.0, 0.0)
