import pytest
import torch

from skyloom import models
from skyloom.models.specformer.network import PUBLISHED, Config, Objective, SpecFormer, segments
from skyloom.nn.draws import Draws

TINY = Config(pixels=400, size=40, stride=40, dim=32, layers=1, heads=2, pooled_weight=0.0)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    wave = torch.linspace(0, 12, 400) + 6 * torch.rand(8, 1, generator=generator)
    return {
        "flux": 3 + wave.sin() + 0.1 * torch.randn(8, 400, generator=generator),
        "ivar": torch.full((8, 400), 100.0),
    }


@pytest.fixture
def model():
    torch.manual_seed(0)
    return SpecFormer(TINY)


def test_published_shape_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = models.build({"kind": "specformer", "model": PUBLISHED})
    assert models.parameter_count(model) == pytest.approx(43.2e6, rel=0.01)
    assert model.config.token_count == 778
    assert model.config.segment_length == 30


def test_default_has_195_tokens_and_masks_the_published_share_of_them():
    config = Config()
    assert config.token_count == 195
    assert 6 * config.segment_length / 195 == pytest.approx(180 / 778, rel=0.07)


def test_tokens_and_embedding_have_the_promised_shapes(model, batch):
    tokens = model.tokens(batch)
    assert tokens.shape == (8, 11, 32)
    assert torch.allclose(model.embed(batch), model.summary(tokens[:, 1:].mean(1)))
    assert model.embed(batch).shape == (8, model.config.summary)


def test_every_token_is_masked_equally_often_in_contiguous_stretches():
    mask = segments(Draws(0, 0, 40000), 50, 1, 8)
    share = mask.float().mean(0)
    expected = 8 / 57  # 57 starts touch the spectrum, 8 of them cover a given token
    assert (share - expected).abs().max() < 5 * (expected / 40000) ** 0.5
    edges = mask.float().diff(dim=1).abs().sum(1)
    assert edges.max() == 2  # one stretch: on once, off once
    assert mask.sum(1).min() >= 1 and mask.sum(1).max() == 8


def test_the_content_of_a_masked_token_cannot_reach_the_prediction(model, batch):
    slices = model.slices(batch).requires_grad_()
    mask = segments(Draws(0, 0, 8), 11, 2, 2)
    model.head(model.encode(slices.masked_fill(mask[..., None], 0))).square().sum().backward()
    assert not slices.grad[mask].any()
    assert slices.grad[~mask].abs().sum() > 0


@pytest.mark.parametrize("weighting", ["none", "ivar"])
def test_loss_is_the_mean_over_masked_values(batch, weighting):
    torch.manual_seed(0)
    model = SpecFormer(Config(**{**TINY.__dict__, "loss_weight": weighting}))
    torch.nn.init.zeros_(model.head.weight)  # predicts 0: the loss is the mean square of what is masked
    loss, _ = Objective(model)(batch, Draws(3, 0, 8), 0.0)
    slices, mask = model.slices(batch), segments(Draws(3, 0, 8), 11, 6, model.config.segment_length)
    each = []
    for sample, masked in zip(slices, mask, strict=True):
        values = sample[masked]
        if weighting == "ivar":  # uniform ivar: every pixel counts 1, the empty channels 0
            values = torch.cat([sample[1:, 2:][masked[1:]].flatten(), sample[0, :2][masked[:1].expand(2)]])
        each.append(values.square().mean())
    assert loss.item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-5)


def test_pooled_loss_is_that_of_the_whole_spectrum(batch):
    torch.manual_seed(0)
    model = SpecFormer(Config(**{**TINY.__dict__, "pooled_weight": 0.5}))
    objective = Objective(model)
    torch.nn.init.zeros_(objective.from_pooled[-1].weight)
    torch.nn.init.zeros_(objective.from_pooled[-1].bias)
    loss, parts = objective(batch, Draws(3, 0, 8), 0.0)
    values = model.slices(batch)[:, 1:, 2:]  # ivar is the same everywhere: every pixel weighs 1
    assert parts["pooled"].item() == pytest.approx(values.square().mean().item(), rel=1e-5)
    assert loss.item() == pytest.approx((parts["masked"] + 0.5 * parts["pooled"]).item(), rel=1e-5)


def test_pixels_without_information_change_nothing(model, batch):
    masked = {"flux": batch["flux"], "ivar": batch["ivar"].clone()}
    masked["ivar"][:, 100:130] = 0
    spoiled = {"flux": masked["flux"].clone(), "ivar": masked["ivar"]}
    spoiled["flux"][:, 100:130] = 1e4
    objective = Objective(model)
    losses = [objective(b, Draws(0, 0, 8), 0.0)[0].item() for b in (masked, spoiled)]
    assert losses[0] == losses[1]


def test_it_learns_to_fill_gaps_of_a_sine(model, batch):
    objective, optimizer = Objective(model), torch.optim.AdamW(model.parameters(), 3e-3)
    first = objective(batch, Draws(0, 0, 8), 0.0)[0].item()
    for step in range(150):
        optimizer.zero_grad()
        objective(batch, Draws(0, step, 8), 0.0)[0].backward()
        optimizer.step()
    assert objective(batch, Draws(1, 0, 8), 0.0)[0].item() < 0.3 * first
