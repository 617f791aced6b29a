"""Few-shot heads: each alone with its property, reproducible, able to learn."""

import numpy as np
import pytest
import torch

from skyloom.analysis.common import heads, statistics

CONFIG = {"hidden": 64, "dropout": 0.1, "learning_rate": 1e-3, "batch_size": 64, "epochs": [20], "seed": 0}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1200, 12)).astype("f4")
    y = np.column_stack([x[:, 0] + x[:, 1] ** 2, 100 + 5 * x[:, 2]])
    return x[:1000], y[:1000], x[1000:], y[1000:]


def test_learns_both_properties_in_their_units(data):
    train, labels, queries, truth = data
    got = heads.fit_predict(train, labels, queries, CONFIG)[20]
    assert statistics.r2(truth[:, 0], got[:, 0]) > 0.8
    assert statistics.r2(truth[:, 1], got[:, 1]) > 0.9


def test_a_head_does_not_feel_the_others(data):
    train, labels, queries, _ = data
    config = {**CONFIG, "dropout": 0.0, "epochs": [3]}
    other = np.column_stack([labels[:, 0], np.random.default_rng(1).permutation(labels[:, 1])])
    first, second = (heads.fit_predict(train, y, queries, config)[3] for y in (labels, other))
    assert first[:, 0] == pytest.approx(second[:, 0], abs=1e-5)
    assert not np.allclose(first[:, 1], second[:, 1], atol=0.1)


def test_unknown_labels_teach_nothing(data):
    train, labels, queries, truth = data
    wrong = labels.copy()
    wrong[::2, 0] = np.nan
    got = heads.fit_predict(train, wrong, queries, CONFIG)[20]
    assert np.isfinite(got).all()
    assert statistics.r2(truth[:, 0], got[:, 0]) > 0.6


def test_the_gradient_is_that_of_a_plain_network():
    torch.manual_seed(0)
    net = heads.Heads(5, 1, 8, 0.0)
    plain = torch.nn.Sequential(
        torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)
    )
    for layer, weight, bias in zip(plain[::2], net.weights, net.biases, strict=True):
        layer.weight.data, layer.bias.data = weight.data[0].T.clone(), bias.data[0, 0].clone()
    x = torch.randn(16, 5)
    assert torch.allclose(net(x), plain(x), atol=1e-6)
    net(x).square().mean().backward()
    plain(x).square().mean().backward()
    assert torch.allclose(net.weights[0].grad[0].T, plain[0].weight.grad, atol=1e-6)


def test_same_seed_same_numbers_and_the_global_generator_is_left_alone(data):
    train, labels, queries, _ = data
    state = torch.get_rng_state()
    first, second = (heads.fit_predict(train, labels, queries, {**CONFIG, "epochs": [1, 2]}) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert sorted(first) == [1, 2]
    assert np.array_equal(first[2], second[2]) and not np.array_equal(first[1], first[2])


def test_blocks_of_queries_do_not_change_predictions(data, monkeypatch):
    train, labels, queries, _ = data
    config = {**CONFIG, "epochs": [2]}
    whole = heads.fit_predict(train, labels, queries, config)[2]
    monkeypatch.setattr(heads, "_ROWS", 7)
    np.testing.assert_allclose(heads.fit_predict(train, labels, queries, config)[2], whole, rtol=1e-5, atol=1e-6)
