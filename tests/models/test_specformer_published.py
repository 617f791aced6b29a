"""SpecFormer as its public code has it: numbers of the paper, slices, masks, loss, first weights."""

import math

import pytest
import torch
import yaml

from skyloom.core.errors import BadConfig
from skyloom.models import networks
from skyloom.models.specformer import PUBLISHED, PUBLISHED_TRAINING, Config, published
from skyloom.models.specformer.network import Objective, SpecFormer
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.settings.section import parse
from skyloom.settings.survey import Grid
from skyloom.settings.training import Training
from tests.paths import ROOT

AS_PUBLISHED = {**PUBLISHED, "grid": {"pixels": 400}, "dim": 32, "layers": 2, "heads": 2, "positions": 0}
AS_PUBLISHED |= {"mask_segments": 2, "mask_length": 5}


def network(**changes) -> SpecFormer:
    torch.manual_seed(0)
    return SpecFormer(parse(Config, {**AS_PUBLISHED, **changes}, ""), ("spectrum",))


def spectra(count: int = 6, seed: int = 1) -> Batch:
    flux = 3 + torch.randn(count, 400, generator=torch.Generator().manual_seed(seed))
    return Batch({"spectrum": {"flux": flux, "ivar": torch.full((count, 400), 9.0)}})


def test_the_preset_the_published_shape_and_the_papers_numbers_are_one():
    preset = yaml.safe_load((ROOT / "resources/presets/astroclip.yaml").read_text())["models"]["specformer"]
    expected = parse(Config, PUBLISHED, "")
    assert parse(Config, preset["model"], "") == expected
    training = parse(Training, preset["training"], "")
    assert {name: getattr(training, name) for name in PUBLISHED_TRAINING} == PUBLISHED_TRAINING
    assert (expected.layers, expected.heads, expected.dim, expected.size, expected.stride) == (6, 6, 768, 20, 10)
    with torch.device("meta"):
        model = networks.build({"kind": "specformer", "modality": "spectrum", "model": PUBLISHED})
    assert networks.parameter_count(model) == pytest.approx(43.2e6, rel=0.01)
    assert model.embed_slice.in_features == 22 and model.head.out_features == 22


@pytest.mark.parametrize(("pixels", "theirs", "ours"), [(7781, 778, 778), (7514, 751, 751), (7780, 777, 778)])
def test_the_last_section_is_thrown_away_even_when_it_is_full(pixels, theirs, ours):
    flux = torch.randn(2, pixels)
    config = parse(Config, {**PUBLISHED, "grid": {"pixels": pixels}}, "")
    starts = range(0, pixels - 10, 10)  # of the public code's sections, of which the last one goes
    tokens = published.tokens(flux, config)
    assert tokens.shape == (2, theirs, 22) and config.token_count == theirs == len(starts)
    assert config.model_copy(update={"published": False}).token_count == ours


def test_tokens_are_z_scores_of_all_pixels_and_the_first_one_says_mean_and_deviation():
    batch = spectra()
    flux = batch["spectrum"]["flux"].clone()
    flux[0] = 5 + 0.01 * flux[0]  # its deviation is below the floor
    ivar = torch.where(torch.arange(400) % 7 == 0, 0.0, batch["spectrum"]["ivar"])
    tokens = network().input.truth(flux, ivar)
    mean, std = flux.mean(1), flux.std(1).clamp(min=0.2)
    assert std[0] == pytest.approx(0.2)
    assert torch.allclose(tokens[:, 0, :2], torch.stack([(mean - 2) / 2, (std - 2) / 8], 1), atol=1e-6)
    assert not tokens[:, 0, 2:].any() and not tokens[:, 1:, :2].any()
    assert torch.allclose(tokens[:, 4, 2:], ((flux - mean[:, None]) / std[:, None])[:, 30:50], atol=1e-5)


def test_each_part_has_one_stretch_and_the_last_tokens_are_hardly_masked():
    count, stretches, length, galaxies = 778, 6, 30, 20_000
    mask = published.segments(Draws(0, 0, galaxies), count, stretches, length)
    assert (mask.sum(1) == stretches * length).all()
    part = count // stretches  # 129: starts 0 to 98 after the part's own
    own = torch.arange(part)
    expected = (torch.minimum(own, torch.tensor(part - length - 1)) - (own - length + 1).clamp(min=0) + 1).clamp(min=0)
    share = mask.float().mean(0)
    for i in range(stretches):
        begin = i * count // stretches
        assert (share[begin : begin + part] - expected / (part - length)).abs().max() < 0.02
    assert not mask[:, -2:].any() and 0 < share[-3] < 0.02
    hidden = network().hide(Draws(0, 0, 500))
    assert not hidden[:, 0].any() and not hidden[:, -1].any()


def test_loss_is_one_mean_over_what_is_hidden_in_the_batch_and_not_zero():
    model, batch = network(), spectra()
    torch.nn.init.zeros_(model.head.weight)
    loss, parts = Objective(model)(batch, Draws(3, 0, 6), 0.0)
    truth = model.input.truth(*model.read(batch))
    values = truth[model.masks(Draws(3, 0, 6))]
    assert loss.item() == pytest.approx(values[values != 0].square().mean().item(), rel=1e-6) and parts == {}
    seen = model.input.seen(*model.read(batch), model.masks(Draws(3, 0, 6)))
    assert torch.equal(seen == 0, (truth == 0) | model.masks(Draws(3, 0, 6))[..., None])


def test_first_weights_have_the_published_deviations():
    model = network(dim=256)
    layer = model.blocks[1].mlp[2].weight
    shrunk = 0.9866  # deviation of a normal cut at 3
    assert layer.std().item() == pytest.approx(shrunk / math.sqrt(2 * 1024 * 2), rel=0.01)
    assert layer.abs().max().item() == pytest.approx(3 / math.sqrt(2 * 1024 * 2), rel=0.02)
    assert model.embed_slice.weight.std().item() == pytest.approx(shrunk / 16, rel=0.03)
    assert model.position.std().item() == pytest.approx(shrunk / 16, rel=0.03)
    assert model.head.weight.std().item() == pytest.approx(shrunk / 16, rel=0.03)
    assert not model.blocks[0].attention.qkv.bias.any()


def test_what_the_public_code_does_not_do_is_refused_beside_it():
    with pytest.raises(BadConfig, match="normalise: ivar with published: true; expected zscore"):
        parse(Config, {**AS_PUBLISHED, "normalise": "ivar"}, "")
    with pytest.raises(BadConfig, match="mask_length: 20 tokens with published: true"):
        parse(Config, {**AS_PUBLISHED, "mask_length": 20}, "")
    assert Config(grid=Grid()).published is False
