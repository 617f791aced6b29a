import pytest
import torch

from skyloom.core.errors import BadConfig
from skyloom.models import networks
from skyloom.models.specformer import PUBLISHED, Config
from skyloom.models.specformer.network import Objective, SpecFormer, segments, whole
from skyloom.nn import spectra
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.settings.section import parse
from skyloom.settings.survey import Grid

GRID = Grid(pixels=400)
TINY = Config(
    grid=GRID, input="pixels", size=40, stride=40, dim=32, layers=1, heads=2, kept=0, summary=0, pooled_weight=0.0
)


def network(**changes) -> SpecFormer:
    torch.manual_seed(0)
    return SpecFormer(TINY.model_copy(update=changes), ("spectrum",))


def of(flux, ivar) -> Batch:
    return Batch({"spectrum": {"flux": flux, "ivar": ivar}})


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    wave = torch.linspace(0, 12, 400) + 6 * torch.rand(8, 1, generator=generator)
    return of(3 + wave.sin() + 0.1 * torch.randn(8, 400, generator=generator), torch.full((8, 400), 100.0))


@pytest.fixture
def model():
    return network()


def test_published_shape_has_the_published_number_of_parameters():
    with torch.device("meta"):
        model = networks.build({"kind": "specformer", "modality": "spectrum", "model": PUBLISHED})
    assert networks.parameter_count(model) == pytest.approx(43.2e6, rel=0.01)
    assert model.config.token_count == 778
    assert model.config.segment_length == 30


def test_default_has_151_tokens_and_masks_the_published_share_of_them():
    config = Config()
    assert config.token_count == 151  # 2408 bins of 125 km/s from 3600 to 9824 Angstrom, 16 in each, and the first
    assert 6 * config.segment_length / 151 == pytest.approx(180 / 778, rel=0.07)


@pytest.mark.parametrize("form", [{}, {"size": 20, "stride": 10}, {"input": "velocity", "size": 8, "stride": 8}])
def test_what_is_drawn_of_a_perfect_prediction_is_the_flux_that_was_hidden(batch, form):
    model = network(**form)
    flux, ivar = model.read(batch)
    mask = model.hide(Draws(0, 0, len(flux)))
    hidden = model.hidden(mask) & (ivar > 0)
    assert not mask[:, 0].any() and 0.1 < hidden.float().mean() < 0.9
    noise = ivar.clamp(min=1e-9) ** -0.5
    drawn = model.input.drawn(model.input.truth(flux, ivar), flux, ivar, mask, noise)
    exact = form.get("input") != "velocity"  # there the mean continuum is that of what is seen and drawn
    assert (drawn - flux)[hidden].abs().max() < (1e-4 if exact else 0.05 * flux.mean())
    filled = model.fill(flux, ivar, mask, noise)
    assert filled.shape == flux.shape and torch.isfinite(filled).all()


def test_places_are_the_wavelengths_of_the_slices():
    places = network().places()
    assert (places.first, places.count) == (1, 10) and places.others == {0: "brightness"}
    assert places.lower[0] == pytest.approx(3600 - 0.4) and places.upper[-1] == pytest.approx(3600 + 399.5 * 0.8)
    assert places.lower[1] == pytest.approx(places.upper[0])
    summed = network(input="velocity", size=8, stride=8, kept=2, summary=3, pooled_weight=1.0)
    places = summed.places()
    assert places.others == {0: "brightness", summed.config.token_count: "summary"}
    assert places.upper / places.lower == pytest.approx((1 + 125 / 299792.458) ** 8, rel=1e-4)


def test_tokens_and_embedding_have_the_promised_shapes(model, batch):
    tokens = model.tokens(batch)
    assert tokens.shape == (8, 11, 32) and model.width == 32
    assert torch.allclose(model.embed(batch, "spectrum"), tokens[:, 1:].mean(1))
    summed = network(summary=5, pooled_weight=1.0)
    expected = summed.tokens(batch)[:, 1:].mean(1) @ summed.summary.weight.T + summed.summary.bias
    assert torch.allclose(summed.embed(batch, "spectrum"), expected, atol=1e-6) and expected.shape == (8, 5)


def test_every_token_is_masked_equally_often_in_contiguous_stretches():
    mask = segments(Draws(0, 0, 40000), 50, 1, 8)
    share = mask.float().mean(0)
    expected = 8 / 57  # 57 starts touch the spectrum, 8 of them cover a given token
    assert (share - expected).abs().max() < 5 * (expected / 40000) ** 0.5
    edges = mask.float().diff(dim=1).abs().sum(1)
    assert edges.max() == 2  # one stretch: on once, off once
    assert mask.sum(1).min() >= 1 and mask.sum(1).max() == 8


@pytest.mark.parametrize("stride", [40, 20])
@pytest.mark.parametrize("normalisation", ["zscore", "ivar"])
def test_no_visible_token_carries_a_pixel_that_only_masked_tokens_show(monkeypatch, batch, normalisation, stride):
    """From the pixels on: bad ones at the edges of masked stretches are not filled from what is masked.

    Mean and deviation of the whole spectrum reach the network, as published, so they are held fixed here.
    """
    moments = spectra.moments
    monkeypatch.setattr(spectra, "moments", lambda *a, **k: tuple(value.detach() for value in moments(*a, **k)))
    model = network(normalise=normalisation, stride=stride)
    flux, ivar = batch["spectrum"]["flux"].clone().requires_grad_(), batch["spectrum"]["ivar"].clone()
    ivar[:, ::7] = 0  # in every token, and on both sides of every border between tokens
    for border in range(0, 400, 20):
        ivar[:, max(0, border - 3) : border + 3] = 0
    given = of(flux, ivar)
    mask = segments(Draws(0, 0, 8), model.config.token_count, 2, 2)
    mask[:, 0] = False
    seen = model.input.seen(*model.read(given), mask)
    weight = torch.randn(seen.shape, generator=torch.Generator().manual_seed(0))
    (seen * weight).sum().backward()
    shown = torch.zeros(8, 400, dtype=torch.bool)
    under = torch.zeros(8, 400, dtype=torch.bool)
    for sample, token in (~mask[:, 1:]).nonzero().tolist():
        shown[sample, token * stride : token * stride + 40] = True
    for sample, token in mask[:, 1:].nonzero().tolist():
        under[sample, token * stride : token * stride + 40] = True
    assert (under & ~shown & (ivar > 0)).any(1).all()
    assert not flux.grad[under & ~shown].any()
    assert flux.grad[shown & (ivar > 0)].all()


def test_the_content_of_a_masked_token_cannot_reach_the_prediction(batch):
    """The whole way of the objective: what is under masked tokens alone changes no output, for the same statistics."""
    model = network(normalise="zscore").eval()
    mask = segments(Draws(0, 0, 8), 11, 2, 2)
    mask[:, 0] = False
    assert mask.any(1).all()
    flux = batch["spectrum"]["flux"].clone()
    pixels = mask[:, 1:].repeat_interleave(40, 1)
    other = flux.clone()
    other[pixels] = flux[pixels].roll(5)
    for sample in range(8):  # the same numbers in another order: mean and deviation stay
        other[sample, pixels[sample]] = flux[sample, pixels[sample]].flip(0)
    first, second = (of(f, batch["spectrum"]["ivar"]) for f in (flux, other))
    out = [model.encode(model.input.seen(*model.read(b), mask)) for b in (first, second)]
    assert not torch.allclose(model.tokens(first), model.tokens(second), atol=1e-3)
    assert torch.allclose(out[0], out[1], atol=1e-5)


@pytest.mark.parametrize("weighting", ["none", "ivar"])
def test_loss_is_the_mean_over_masked_values(batch, weighting):
    model = network(loss_weight=weighting)
    torch.nn.init.zeros_(model.head.weight)  # predicts 0: the loss is the mean square of what is masked
    loss, _ = Objective(model)(batch, Draws(3, 0, 8), 0.0)
    slices, mask = model.input.truth(*model.read(batch)), segments(Draws(3, 0, 8), 11, 6, model.config.segment_length)
    each = []
    for sample, masked in zip(slices, mask, strict=True):
        values = sample[masked]
        if weighting == "ivar":  # uniform ivar: every pixel counts 1, the empty channels 0
            values = torch.cat([sample[1:, 2:][masked[1:]].flatten(), sample[0, :2][masked[:1].expand(2)]])
        each.append(values.square().mean())
    assert loss.item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-5)


def test_pooled_loss_is_that_of_the_whole_spectrum(batch):
    model = network(summary=24, pooled_weight=0.5)
    objective = Objective(model)
    torch.nn.init.zeros_(objective.from_pooled[-1].weight)
    torch.nn.init.zeros_(objective.from_pooled[-1].bias)
    loss, parts = objective(batch, Draws(3, 0, 8), 0.0)
    values = whole(model.input.truth(*model.read(batch)))  # ivar is the same everywhere: every pixel weighs 1
    assert parts["pooled"].item() == pytest.approx(values.square().mean().item(), rel=1e-5)
    assert loss.item() == pytest.approx((parts["masked"] + 0.5 * parts["pooled"]).item(), rel=1e-5)


def test_pixels_without_information_change_nothing(model, batch):
    flux, ivar = batch["spectrum"]["flux"], batch["spectrum"]["ivar"].clone()
    ivar[:, 100:130] = 0
    spoiled = flux.clone()
    spoiled[:, 100:130] = 1e4
    objective = Objective(model)
    losses = [objective(b, Draws(0, 0, 8), 0.0)[0].item() for b in (of(flux, ivar), of(spoiled, ivar))]
    assert losses[0] == losses[1]


def test_it_learns_to_fill_gaps_of_a_sine(model, batch):
    objective, optimizer = Objective(model), torch.optim.AdamW(model.parameters(), 3e-3)
    first = objective(batch, Draws(0, 0, 8), 0.0)[0].item()
    for step in range(150):
        optimizer.zero_grad()
        objective(batch, Draws(0, step, 8), 0.0)[0].backward()
        optimizer.step()
    assert objective(batch, Draws(1, 0, 8), 0.0)[0].item() < 0.3 * first


def test_a_summary_that_no_loss_reaches_is_refused_and_the_published_model_is_not():
    with pytest.raises(BadConfig, match="summary: 64 with pooled_weight 0 would never be trained"):
        parse(Config, {"pooled_weight": 0.0}, "specformer.model")
    published = parse(Config, PUBLISHED, "specformer.model")
    assert (published.summary, published.pooled_weight) == (0, 0)
    torch.manual_seed(0)
    for config in (TINY, TINY.model_copy(update={"summary": 6, "pooled_weight": 1.0})):
        objective = Objective(SpecFormer(config, ("spectrum",)))
        wave = torch.linspace(0, 12, 400).expand(8, -1) + torch.arange(8.0)[:, None]
        objective(of(wave.sin(), torch.ones(8, 400)), Draws(0, 0, 8), 0.0)[0].backward()
        assert all(p.grad is not None for p in objective.parameters())  # what an embedding is made of is trained


BINS = {"grid": Grid(start=4000.0, step=2.0, pixels=1200), "velocity": 300.0, "continuum": 9300.0, "broad": 30_300.0}
BINS |= {"size": 8, "stride": 8, "dim": 32, "layers": 1, "kept": 4, "summary": 6, "pooled_hidden": 16}


def in_bins(**changes) -> SpecFormer:
    torch.manual_seed(0)
    return SpecFormer(Config(**{**BINS, **changes}), ("spectrum",))


def lines(shift: float = 0.0, seed: int = 2, count: int = 6) -> Batch:
    """Lines and breaks on a slope; `shift` in ln(wavelength)."""
    generator = torch.Generator().manual_seed(seed)
    wavelength = (4000 + 2.0 * torch.arange(1200)).log() - shift
    centre = 8.35 + 0.2 * torch.rand(count, 1, generator=generator)
    flux = 5 + 8 * (-0.5 * ((wavelength - centre) / 1.5e-3).square()).exp() + (wavelength - centre - 0.02).tanh()
    return of(flux, torch.full((count, 1200), 25.0))


def test_a_redshift_moves_the_tokens_of_bins_and_changes_nothing_else():
    model = in_bins()
    step = model.config.velocity / 299792.458
    near, far = (model.input.truth(*model.read(lines(shift))) for shift in (0.0, 3 * 8 * step))
    inner = slice(20, -20)
    close = (far[:, 1:][:, inner] - near[:, 1:].roll(3, 1)[:, inner]).abs()
    assert close.max() < 0.25 and close.mean() < 0.01 < near[:, 1:][:, inner].std()
    assert not torch.allclose(far[:, 1:][:, inner], near[:, 1:][:, inner], atol=0.5)


@pytest.mark.parametrize("stride", [8, 4])
def test_no_visible_token_of_bins_knows_what_is_hidden(stride):
    """Continuum, noise and scale are those of what is shown; only brightness, in the first token, is of all."""
    model = in_bins(stride=stride)
    batch = lines()
    flux, ivar = model.read(batch)
    mask = segments(Draws(0, 0, 6), model.config.token_count, 3, 4)
    mask[:, 0] = False
    hidden = spectra.hidden_pixels(mask[:, 1:], flux.shape[1], 8, stride)
    assert hidden.any(1).all()
    other = torch.where(hidden, flux + 50 * torch.randn(flux.shape, generator=torch.Generator().manual_seed(0)), flux)
    first, second = (model.input.seen(values, ivar, mask) for values in (flux, other))
    assert torch.equal(first[:, 1:], second[:, 1:]) and not torch.equal(first[:, 0], second[:, 0])
    assert not torch.allclose(model.input.truth(flux, ivar)[:, 1:], model.input.truth(other, ivar)[:, 1:])
    assert (first[mask] == 0).all()


def test_bins_without_data_have_no_weight_and_the_first_token_weighs_as_much_as_another():
    model, batch = in_bins(), lines()
    batch["spectrum"]["ivar"][:, 300:420] = 0
    flux, ivar = model.read(batch)
    weight, truth = model.input.weights(flux, ivar), model.input.truth(flux, ivar)
    assert weight.shape == truth.shape
    whole_token = weight[:, 1:].sum(2).amax(1)
    assert torch.allclose(weight[:, 0].sum(1), whole_token) and (weight[:, 1:].sum(2) == 0).any()
    spoiled = batch["spectrum"]["flux"].clone()
    spoiled[:, 300:420] = 1e4
    losses = [Objective(model)(b, Draws(0, 0, 6), 0.0) for b in (batch, of(spoiled, batch["spectrum"]["ivar"]))]
    assert losses[0][1]["masked"].item() == losses[1][1]["masked"].item()


def test_bright_and_faint_spectra_of_one_signal_to_noise_differ_in_brightness_alone():
    model, batch = in_bins(), lines()
    scaled = of(batch["spectrum"]["flux"] * 30, batch["spectrum"]["ivar"] / 900)
    first, second = (model.input.seen(*model.read(b)) for b in (batch, scaled))
    assert torch.allclose(first[:, 1:], second[:, 1:], atol=1e-4)
    assert (second[:, 0, 0] > first[:, 0, 0] + 1).all() and torch.allclose(first[:, 0, 1], second[:, 0, 1], atol=1e-4)


def test_an_embedding_of_kept_numbers_knows_where_a_token_was_and_a_mean_does_not():
    tokens = torch.randn(3, in_bins().config.token_count, 32, generator=torch.Generator().manual_seed(0))
    turned = torch.cat([tokens[:, :1], tokens[:, 1:].roll(5, 1)], 1)
    mean = in_bins(kept=0)
    assert torch.allclose(mean.pool(tokens), mean.pool(turned), atol=1e-5)
    kept = in_bins()
    summary = kept.tokens(lines())[:, -1]
    assert torch.allclose(summary[:, :6], kept.embed(lines(), "spectrum")) and (summary[:, 6:] == 1).all()
    wide = in_bins(summary=40)
    assert wide.tokens(lines()).shape == (6, wide.config.token_count + 1, wide.width) and wide.width == 41
    assert kept.pool(tokens).shape == (3, 6) and not torch.allclose(kept.pool(tokens), kept.pool(turned), atol=1e-2)


def test_an_embedding_that_would_be_made_of_nothing_is_refused():
    with pytest.raises(BadConfig, match="kept: 8 with summary 0 makes no embedding"):
        parse(Config, {"summary": 0, "pooled_weight": 0.0}, "specformer.model")
