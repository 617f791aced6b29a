"""Batches, and the numbers that layers draw for their rows."""

import torch

from skyloom.nn.batch import Batch
from skyloom.nn.blocks import DropPath
from skyloom.nn.draws import Draws, drawing, uniform_rows


def test_every_galaxy_is_present_unless_told():
    data = {"lsst": {"values": torch.ones(3, 2)}, "sed": {"values": torch.zeros(3, 5)}}
    batch = Batch(data, {"sed": torch.tensor([True, False, True])})
    assert len(batch) == 3 and "sed" in batch and "image" not in batch
    assert batch.present["lsst"].tolist() == [True] * 3 and batch.present["sed"].tolist() == [True, False, True]


def test_a_change_of_one_dataset_leaves_the_rest_and_the_original():
    data = {"a": {"x": torch.zeros(2), "y": torch.ones(2)}, "b": {"x": torch.ones(2)}}
    batch = Batch(data, labels={"z": torch.ones(2)}, targetid=torch.arange(2))
    other = batch.changed("a", x=torch.full((2,), 7.0))
    assert other["a"]["x"].tolist() == [7, 7] and other["a"]["y"] is data["a"]["y"] and other["b"] is data["b"]
    assert batch["a"]["x"].tolist() == [0, 0] and other.labels["z"] is batch.labels["z"]
    copied = batch.to("cpu", copy=True)
    assert copied["a"]["y"] is not data["a"]["y"] and torch.equal(copied["a"]["y"], data["a"]["y"])
    assert copied.targetid.tolist() == [0, 1]


def test_layers_draw_for_a_sample_what_they_draw_on_any_number_of_ranks():
    """Two views of 8 samples laid end to end; each of two ranks has every other sample."""

    def of_rank(rows, count):
        with drawing(Draws(0, 5, 8, rows)):
            return uniform_rows(count, torch.device("cpu")), uniform_rows(count // 2, torch.device("cpu"))

    whole = of_rank(None, 16)
    for rank in range(2):
        views, single = of_rank(slice(rank, None, 2), 8)
        assert torch.equal(views, whole[0].view(2, 8)[:, rank::2].flatten())
        assert torch.equal(single, whole[1][rank::2])
    assert len(set(whole[0].tolist())) == 16


def test_drop_path_is_a_function_of_the_draws_and_not_of_torchs_state():
    drop, x = DropPath(0.5), torch.ones(64, 2, 3)
    kept = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        with drawing(Draws(0, 0, 32)):
            kept.append(drop(x))
    assert torch.equal(*kept)
    torch.manual_seed(3)
    assert not torch.equal(drop(x), kept[0])  # outside a training
    with drawing(Draws(0, 0, 32)):  # rows that are not whole views of the batch
        assert drop(x[:10]).shape == (10, 2, 3)
