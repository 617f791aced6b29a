"""Fine-tuning: what is in one token is found, what is not known does not count, what is frozen stays."""

import math

import pytest
import torch
from torch import nn

from skyloom.core.errors import BadConfig, BadInput
from skyloom.models.finetune import Config
from skyloom.models.finetune.network import FineTuned
from skyloom.models.finetune.objective import Objective
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws


class Encoder(nn.Module):
    """Ten tokens that are what it is given, and a weight that nothing may change."""

    inputs = {"spectrum": ("flux",)}
    width = 6

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def tokens(self, batch: Batch) -> torch.Tensor:
        return batch["spectrum"]["flux"].unflatten(1, (10, 6)) * self.weight


def probe(**changes) -> FineTuned:
    torch.manual_seed(0)
    config = Config(**{"labels": ["z", "t_age"], "dim": 16, "heads": 2, "queries": 2, "dropout": 0.0, **changes})
    return FineTuned(config, {"spectrum": Encoder()})


def galaxies(count: int = 256, seed: int = 0) -> Batch:
    """The redshift stands in one token of ten, marked by another number of its; its place is drawn."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(count, 10, 6, generator=generator)
    place = torch.randint(10, (count,), generator=generator)
    tokens[:, :, 0] = 0
    tokens[torch.arange(count), place, 0] = 4.0
    z = 0.3 + 0.1 * tokens[torch.arange(count), place, 1]
    labels = {"z": z, "t_age": 6 + 2 * tokens[:, 3, 2]}
    return Batch({"spectrum": {"flux": tokens.flatten(1)}}, labels=labels)


def trained(objective: Objective, batch: Batch, steps: int = 300) -> Objective:
    objective.begin(batch.labels, {}, ())
    optimizer = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], 1e-2)
    for step in range(steps):
        optimizer.zero_grad()
        objective(batch, Draws(0, step, len(batch)), 0.0)[0].backward()
        optimizer.step()
    return objective.eval()


def test_what_stands_in_one_token_is_found_wherever_it_is_and_told_in_its_own_unit():
    model = trained(Objective(probe()), galaxies(1024)).model
    other = galaxies(400, seed=1)
    said = model.predict(other, "properties")
    assert {"z", "t_age"} < set(said) and said["z"].shape == (400,)
    assert (said["z"] - other.labels["z"]).square().mean().sqrt() < 0.04  # of a scatter of 0.1
    mean = other["spectrum"]["flux"].unflatten(1, (10, 6)).mean(1)  # what a mean over tokens leaves of it
    solved = torch.linalg.lstsq(torch.cat([mean, torch.ones(400, 1)], 1), other.labels["z"][:, None]).solution
    left = (torch.cat([mean, torch.ones(400, 1)], 1) @ solved)[:, 0] - other.labels["z"]
    assert left.square().mean().sqrt() > 0.08


def test_unknown_labels_have_no_gradient_and_the_loss_is_the_mean_square_of_the_known_ones():
    batch = galaxies(64)
    batch.labels["t_age"][1:] = torch.nan
    batch.labels["t_age"][:3] = torch.tensor([4.0, 6.0, 8.0])
    objective = Objective(probe())
    objective.begin(batch.labels, {}, ())
    assert objective.model.mean[1] == 6.0 and objective.model.deviation[1] == 2.0
    nn.init.zeros_(objective.model.head.weight)
    nn.init.zeros_(objective.model.head.bias)
    loss, parts = objective(batch, Draws(0, 0, 64), 0.0)
    assert parts["t_age"].item() == pytest.approx(2 / 3, rel=1e-5)  # of -1, 0 and 1
    assert parts["z"].item() == pytest.approx(63 / 64, rel=1e-4)
    spread = math.log(1.001)  # where it begins, of both
    unsure = (2 / 3 + 63 / 64) / 2 / 1.001**2 / 2 + spread
    assert loss.item() == pytest.approx((2 / 3 + 63 / 64) / 2 + unsure, rel=1e-4)


def test_the_encoder_is_left_as_it_is_and_its_tokens_may_be_computed_before():
    objective, batch = Objective(probe()), galaxies(32)
    objective.begin(batch.labels, {}, ())
    loss, _ = objective(batch, Draws(0, 0, 32), 0.0)
    loss.backward()
    assert objective.model.backbones["spectrum"].weight.grad is None
    before = Batch(objective.precompute(batch), labels=batch.labels)
    assert objective(before, Draws(0, 0, 32), 0.0)[0].item() == pytest.approx(loss.item(), rel=1e-6)


def test_dropout_acts_in_training_alone():
    batch = galaxies(32)
    losses = {}
    for share in (0.0, 0.5):
        objective = Objective(probe(dropout=share))
        objective.begin(batch.labels, {}, ())
        losses[share] = [objective.train(mode)(batch, Draws(0, 0, 32), 0.0)[0].item() for mode in (True, False)]
    assert losses[0.5][1] == losses[0.0][1] == losses[0.0][0] != losses[0.5][0]
    assert math.isfinite(losses[0.5][0])


def test_a_property_that_no_training_galaxy_has_is_refused_in_one_line():
    batch = galaxies(16)
    batch.labels["t_age"][1:] = torch.nan
    with pytest.raises(
        BadInput, match="a model learns t_age, which 1 training galaxies have; .* Known are z"
    ) as caught:
        Objective(probe()).begin(batch.labels, {}, ())
    assert "\n" not in str(caught.value)
    with pytest.raises(BadConfig, match="one encoder is fine-tuned"):
        FineTuned(Config(labels=["z"]), {"spectrum": Encoder(), "image": Encoder()})
