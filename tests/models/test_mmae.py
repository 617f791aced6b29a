"""MMAE: the published shape, exact masks, losses on what is hidden alone, no leak, and answers whatever is missing."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from skyloom.analysis.common.statistics import outlier_rate, sigma_nmad
from skyloom.core.errors import BadConfig, BadInput
from skyloom.models.mmae import BANDS, IMAGE, PUBLISHED, SPECTRUM, Config, check, patches
from skyloom.models.mmae.generator import Generator, starts
from skyloom.models.mmae.layers import Dropout, at, places_of
from skyloom.models.mmae.light import Light
from skyloom.models.mmae.network import Mmae
from skyloom.models.mmae.objective import Objective
from skyloom.nn import redshift_density as density
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws, drawing
from skyloom.nn.spectra import shortened
from skyloom.settings.models import read_model
from skyloom.settings.section import parse
from tests.paths import SHARED

SMALL = {
    **{"image_size": 16, "patch": 4, "grid": {"start": 3600.0, "step": 0.8, "pixels": 200}, "spectra": "averages"},
    **{"pooled": 10, "slice": 3, "dim": 16, "layers": 1, "heads": 2, "fusion": 1, "dropout": 0.0},
    **{"redshift": "density", "components": 2, "stem": 0},
}
PRODUCT = {"spectra": "velocity", "velocity": 500.0, "redshift": "product", "templates": 2}
ALL, HALF = ({m: torch.ones(n, dtype=torch.bool) for m in (IMAGE, SPECTRUM)} for n in (4000, 2000))
WAYS = [
    {},
    {
        "hidden": "zero",
        "decoder": "pooled",
        "redshift": "point",
        "norm": "after",
        "flags": False,
        "masks": {"band": 0.0},
    },
    {"hidden": "zero", "decoder": "tokens"},
    {"spectra": "velocity", "velocity": 500.0, "apertures": []},
    PRODUCT,
]
IDS = ["tokens dropped", "as published", "tokens zeroed", "equal velocity", "templates"]


def network(**changes) -> Mmae:
    torch.manual_seed(0)
    return Mmae(parse(Config, SMALL | changes, "model"), (IMAGE, SPECTRUM)).eval()


def galaxies(count: int = 12, seed: int = 1) -> Batch:
    g = torch.Generator().manual_seed(seed)
    z = torch.rand(count, generator=g)
    image = 0.05 * z[:, None, None, None] + 1e-3 * torch.randn(count, 5, 20, 20, generator=g)
    line = torch.exp(-0.5 * ((torch.arange(200) - 20 - 160 * z[:, None]) / 8).square())
    flux = 1 + 2 * line + 0.1 * torch.randn(count, 200, generator=g)
    data = {IMAGE: {"flux": image}, SPECTRUM: {"flux": flux, "ivar": torch.full((count, 200), 100.0)}}
    return Batch(data, labels={"z": z}, targetid=1000 + torch.arange(count))


def test_the_published_shape_has_the_published_number_of_weights():
    model = Mmae(parse(Config, PUBLISHED, "model"), (IMAGE, SPECTRUM))
    d, attention = 256, 4 * 256 * 256 + 4 * 256
    layer = attention + 2 * 4 * d * d + 5 * d + 4 * d
    embed = (5 * 64 * d + d) + (8 * d + d) + 2 * d + (64 + 33) * d  # the last of 33 slices is filled up
    heads = [(2 * d) ** 2 + 2 * d + 2 * d * d + d + d * n + n for n in (64 * 5 * 64, 259)]
    redshift = 2 * d * d + d + d + 1
    total = embed + 2 * (4 * layer + 2 * d) + 4 * layer + 2 * (attention + d) + sum(heads) + redshift
    assert sum(p.numel() for p in model.parameters()) == total == pytest.approx(16.4e6, rel=0.02)


def test_an_image_is_its_patches_and_a_band_without_light_is_missing():
    config = parse(Config, SMALL | {"stretch": "counts"}, "model")
    flux = torch.randn(3, 5, 16, 16)
    flux[1, 2], flux[2, 4] = 0, torch.nan
    found, there = patches.image_patches(flux, config)
    np.testing.assert_allclose(found[0, 0, :16], flux[0, 0, :4, :4].flatten() * 10 ** (0.4 * 4.5), rtol=1e-5)
    back = patches.image_of(found, config)
    np.testing.assert_allclose(back, flux.nan_to_num() * 10 ** (0.4 * 4.5), rtol=1e-5)
    assert there.tolist() == [[True] * 5, [True, True, False, True, True], [True] * 4 + [False]]


def test_images_smaller_than_what_the_model_sees_get_one_line():
    with pytest.raises(BadInput, match="images of 12 pixels; the model sees 16"):
        patches.image_patches(torch.zeros(1, 5, 12, 12), parse(Config, SMALL, "model"))


def test_a_spectrum_has_weighted_mean_zero_and_rms_one_and_bad_pixels_are_zero():
    rng = np.random.default_rng(0)
    flux, ivar = 3 + rng.normal(size=(2, 400)), rng.uniform(0, 2, (2, 400))
    ivar[:, 7], flux[:, 7], flux[0, -1] = 0, 1e6, 1e5
    found = patches.standardise(torch.tensor(flux).float(), torch.tensor(ivar).float()).numpy()
    mean = np.average(flux[1], weights=ivar[1])
    rms = np.sqrt(np.average((flux[1] - mean) ** 2, weights=ivar[1]))
    good = np.arange(400) != 7
    np.testing.assert_allclose(found[1][good], ((flux[1] - mean) / rms)[good], rtol=1e-4, atol=1e-4)
    assert (found[:, 7] == 0).all()
    spike = 3 + 150 * np.std(flux[1])
    flux[1, -1], ivar[1, -1] = spike, 1e-9  # hardly counts in the rms, and is beyond 100 of it
    clipped = patches.standardise(torch.tensor(flux).float(), torch.tensor(ivar).float()).numpy()
    assert abs(clipped[1, -1]) < 1
    config = parse(Config, SMALL, "model")
    tokens, known = patches.Spectra(config)(torch.ones(1, 200) * torch.arange(200), torch.ones(1, 200))
    assert tokens.shape == (1, 7, 3) and tokens[0, -1, 2] == 0  # 20 averages in slices of 3
    assert known.sum() == 20 and not known[0, -1, 2]
    published = patches.Spectra(parse(Config, PUBLISHED, "model"))
    assert (published.numbers, published.tokens) == (259, 33)


def test_masks_have_the_share_of_the_paper_and_a_coin_is_tossed_for_each_galaxy():
    masks = PUBLISHED["masks"] | {"no_spectrum": 0.5}
    objective = Objective(network(masks=masks))
    hidden, bands = objective.hidden(Draws(0, 1, 4000), ALL)
    assert (hidden[IMAGE].sum(1) == 12).all() and bands.all()
    whole = hidden[SPECTRUM].all(1)
    assert set(hidden[SPECTRUM][~whole].sum(1).tolist()) == {5}  # int(.75 * 7)
    assert stats.binomtest(int(whole.sum()), 4000, 0.5).pvalue > 1e-3
    each = hidden[IMAGE].float().mean(0)
    assert torch.allclose(each, torch.full((16,), 0.75), atol=0.03)


def test_a_range_of_shares_is_drawn_from_in_each_step_and_something_is_always_shown():
    objective = Objective(network())
    shares = []
    for step in range(400):
        hidden, _ = objective.hidden(Draws(0, step, 8), {m: there[:8] for m, there in ALL.items()})
        counts = {m: torch.unique(mask.sum(1)).tolist() for m, mask in hidden.items()}
        assert all(len(set(n) - {objective.model.counts[m]}) <= 1 for m, n in counts.items())  # or the whole
        assert not (hidden[IMAGE].all(1) & hidden[SPECTRUM].all(1)).any()
        shares.append(counts[IMAGE][0] / 16)
    assert stats.ks_1samp(shares, stats.uniform(-1 / 32, 1).cdf).statistic < 0.1
    hidden, bands = objective.hidden(Draws(0, 1, 4000), ALL)
    assert (bands.float().mean(0) - 0.9).abs().max() < 0.02
    halves = [objective.hidden(Draws(0, 1, 4000, slice(r, None, 2)), HALF)[0][SPECTRUM] for r in (0, 1)]
    assert torch.equal(hidden[SPECTRUM][0::2], halves[0]) and torch.equal(hidden[SPECTRUM][1::2], halves[1])


@pytest.mark.parametrize("changes", WAYS, ids=IDS)
def test_what_is_hidden_does_not_leak(changes):
    model, batch = network(**changes), galaxies()
    asked = model.question("half", {"image": 0.5, "spectrum": 0.5, "bands": ["g", "r", "i"], "reconstruct": [IMAGE]})
    before = model.predict(batch, asked)
    image = batch[IMAGE]["flux"].clone()
    image[:, 3:] = 7.0  # bands that are not shown
    hidden = asked.of(IMAGE, 16, batch)
    pixels = hidden.view(-1, 4, 4).repeat_interleave(4, 1).repeat_interleave(4, 2)
    image[:, :3, 2:18, 2:18] = torch.where(pixels[:, None], torch.tensor(9.0), image[:, :3, 2:18, 2:18])
    after = model.predict(batch.changed(IMAGE, flux=image), asked)
    for name, values in before.items():
        torch.testing.assert_close(after[name], values, rtol=0, atol=1e-5)
    shown = torch.where(pixels[:, None], image[:, :3, 2:18, 2:18], torch.tensor(0.3))
    image[:, :3, 2:18, 2:18] = shown
    said = "z" if model.config.redshift == "point" else "posterior"
    assert (model.predict(batch.changed(IMAGE, flux=image), asked)[said] - before[said]).abs().max() > 1e-6


def test_which_tokens_a_query_hides_is_a_galaxys_own():
    model, batch = network(), galaxies(40)
    asked = model.question("q", {"image": 0.25, "spectrum": 1.0})
    hidden = asked.of(IMAGE, 16, batch)
    assert (hidden.sum(1) == 4).all() and len({tuple(row.tolist()) for row in hidden}) > 30
    some = Batch({IMAGE: {"flux": batch[IMAGE]["flux"][5:9]}}, targetid=batch.targetid[5:9])
    assert torch.equal(asked.of(IMAGE, 16, some), hidden[5:9])
    assert model.needs(asked) == (IMAGE,)
    with torch.no_grad():
        found = [model.predict(b, asked)["z"] for b in (some, batch)]
    torch.testing.assert_close(found[0], found[1][5:9], rtol=0, atol=1e-5)


def test_tokens_are_taken_in_their_order():
    tokens = torch.arange(24.0).view(2, 4, 3) + 1
    shown = torch.tensor([[False, True, False, True], [True, True, False, False]])
    places = places_of(shown)
    assert places.tolist() == [[1, 3], [0, 1]]
    assert torch.equal(at(tokens, places)[0], tokens[0, [1, 3]])


def test_galaxies_that_show_other_things_are_answered_as_alone():
    model, batch = network(), galaxies()
    there = torch.arange(12) % 3
    batch = Batch(batch.data, present={IMAGE: there > 0, SPECTRUM: there < 2}, targetid=batch.targetid)
    asked = model.question("a", {"image": 0.5, "reconstruct": [IMAGE, SPECTRUM]})
    together = model.predict(batch, asked)
    for row in (0, 1, 2, 5):
        data = {m: {n: x[row : row + 1] for n, x in part.items()} for m, part in batch.data.items()}
        present = {m: x[row : row + 1] for m, x in batch.present.items()}
        alone = model.predict(Batch(data, present, targetid=batch.targetid[row : row + 1]), asked)
        for name, values in alone.items():
            torch.testing.assert_close(together[name][row], values[0], rtol=0, atol=1e-4)
    assert len(model.groups({m: t[:, None].expand(-1, model.counts[m]) for m, t in batch.present.items()})) == 3


@pytest.mark.parametrize("changes", WAYS, ids=IDS)
def test_whatever_is_missing_there_is_an_answer(changes):
    model, batch = network(**changes), galaxies()
    asked = model.question("all", {})
    image, spectrum = batch[IMAGE], batch[SPECTRUM]
    holes = image["flux"].clone()
    holes[:, 1], holes[:, 2] = torch.nan, 0
    absent = torch.arange(12) % 2 == 0
    cases = [
        Batch({IMAGE: image}, targetid=batch.targetid),
        Batch({SPECTRUM: spectrum}, targetid=batch.targetid),
        batch.changed(IMAGE, flux=holes),
        batch.changed(SPECTRUM, ivar=torch.zeros(12, 200)),
        Batch({IMAGE: image, SPECTRUM: spectrum}, present={SPECTRUM: absent}, targetid=batch.targetid),
    ]
    for case in cases:
        found = model.predict(case, asked)
        assert all(values.isfinite().all() for values in found.values())
    assert model.embed(batch, "joint").shape == (12, 32)


def test_losses_are_of_hidden_tokens_alone_with_their_weights():
    model = network(redshift="point", hidden="zero", masks={"band": 0.0})
    objective, batch, draws = Objective(model).eval(), galaxies(), lambda: Draws(0, 1, 12)
    with torch.no_grad():
        loss, parts = objective(batch, draws(), 0.0)
        numbers = model.numbers_of(batch)
        values, bands = numbers.values, numbers.bands
        hidden, _ = objective.hidden(draws(), numbers.have)
        shown = {m: ~hidden[m] for m in hidden}
        encoded = model.encode(numbers, bands, shown)
        joint, ((_, states),) = encoded.joint, encoded.groups
        says, drawn = model.says(encoded), {m: model.drawn(m, states, joint) for m in hidden}
    for m in (IMAGE, SPECTRUM):
        error = (drawn[m] - values[m]).square()
        mask = hidden[m][..., None].expand_as(error).clone()
        if m == SPECTRUM:
            mask[:, -1, -1] = False  # filled up
        assert parts[m].item() == pytest.approx(error[mask].mean().item(), rel=1e-4)
    z = batch.labels["z"]
    lost = 1 - 1 / (1 + ((says[:, 0] - z) / (1 + z) / 0.15) ** 2)
    assert parts["redshift"].item() == pytest.approx(lost.mean().item(), rel=1e-4)
    expected = 0.1 * parts[IMAGE] + 0.01 * parts[SPECTRUM] + parts["redshift"]
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_whole_image_by_itself_is_one_more_loss_of_galaxies_that_have_one():
    there = torch.arange(12) % 3 > 0
    batch = galaxies()
    batch = Batch(batch.data, {IMAGE: there, SPECTRUM: torch.ones(12, dtype=torch.bool)}, batch.labels, batch.targetid)
    found = {}
    for weight in (0.0, 0.5):
        objective = Objective(network(**PRODUCT, shift=0.01, alone_weight=weight)).eval()
        with torch.no_grad():
            found[weight] = objective(batch, Draws(0, 1, 12), 0.0)
    model, z = objective.model, batch.labels["z"]
    with torch.no_grad():
        numbers = model.numbers_of(Batch({IMAGE: {"flux": batch[IMAGE]["flux"][there]}}))
        shown = {m: torch.full((8, count), m == IMAGE) for m, count in model.counts.items()}
        says = model.says(model.encode(numbers, numbers.bands, shown))
    expected = -(model.redshifts.near(z[there]) * says.clamp(min=-50)).sum(1).mean()
    assert found[0.5][1]["alone"].item() == pytest.approx(expected.item(), rel=1e-4)
    more = found[0.5][0] - found[0.0][0]
    assert more.item() == pytest.approx(0.5 * expected.item(), rel=1e-4) and "alone" not in found[0.0][1]


def test_what_is_the_only_thing_there_is_not_hidden_as_a_whole():
    objective = Objective(network(masks={"image": [0.5, 0.5], "spectrum": [0.5, 0.5], "no_image": 1.0}))
    lacking = {IMAGE: torch.zeros(4000, dtype=torch.bool), SPECTRUM: ALL[SPECTRUM]}
    hidden, _ = objective.hidden(Draws(0, 1, 4000), lacking)
    assert not hidden[SPECTRUM].all(1).any()
    hidden, _ = objective.hidden(Draws(0, 1, 4000), {IMAGE: ALL[IMAGE], SPECTRUM: lacking[IMAGE]})
    assert not hidden[IMAGE].all(1).any()


def test_dropout_is_the_same_on_one_process_and_on_two():
    layer, x = Dropout(0.5).train(), torch.ones(8, 3, 5)
    with drawing(Draws(0, 1, 8)):
        whole = layer(x)
    for rank in (0, 1):
        with drawing(Draws(0, 1, 8, slice(rank, None, 2))):
            torch.testing.assert_close(layer(x[:4]), whole[rank::2])
    assert 0.3 < (whole == 0).float().mean() < 0.7


def test_a_redshift_that_is_not_known_and_a_spectrum_that_is_not_there_do_not_count():
    objective, batch = Objective(network()).eval(), galaxies()
    there = torch.arange(12) < 6
    lacking = Batch(batch.data, {SPECTRUM: there}, {"z": torch.where(there, batch.labels["z"], torch.nan)})
    other = lacking.changed(SPECTRUM, flux=torch.where(there[:, None], batch[SPECTRUM]["flux"], 55.0))
    with torch.no_grad():
        first, second = (objective(b, Draws(0, 1, 12), 0.0)[0] for b in (lacking, other))
    assert first.isfinite() and first.item() == pytest.approx(second.item(), rel=1e-5)


def test_the_density_is_that_of_a_mixture_and_its_quantiles_are_where_it_says():
    out = torch.randn(4, 9, generator=torch.Generator().manual_seed(3))
    said = density.mixture(out)
    weight = said.mixture_distribution.probs.double().numpy()
    mean, spread = (
        said.component_distribution.loc.double().numpy(),
        said.component_distribution.scale.double().numpy(),
    )
    for row in range(4):
        total, _ = integrate.quad(
            lambda u, r=row: math.exp(
                density.log_density(out[r : r + 1], torch.tensor([math.expm1(u)]).double()).item()
            ),
            -12,
            12,
            limit=400,
            epsabs=1e-4,
        )
        assert total == pytest.approx(1, abs=2e-3)
        at = np.log1p(0.8)
        expected = (weight[row] * stats.norm.cdf(at, mean[row], spread[row])).sum()
        assert density.below(out, torch.full((4, 1), 0.8))[row, 0].item() == pytest.approx(expected, abs=1e-5)
    found = density.quantiles(out, [0.3, 0.5, 0.8])
    assert (found.diff(dim=1) >= 0).all()
    for row in range(4):
        if 0.01 < found[row, 1] < 5.9:
            assert density.below(out, found)[row, 1].item() == pytest.approx(0.5, abs=0.01)
    sharp = torch.zeros(1, 3)
    sharp[0, 2] = -9  # sigma of the logarithm as small as it can be
    low, middle, high = density.quantiles(sharp, [0.05, 0.5, 0.95])[0].tolist()
    assert math.log1p(high) - math.log1p(low) == pytest.approx(2 * 1.645 * math.exp(-8), rel=0.05)


def test_training_learns_the_redshift_of_images_and_of_spectra():
    often = {"image": [0.0, 0.5], "spectrum": [0.0, 0.3], "no_spectrum": 0.4, "no_image": 0.6}
    model = network(masks=often, turned=False, exposure=1.0, apertures=[])
    objective = Objective(model)
    optimizer = torch.optim.AdamW(model.parameters(), 1.5e-3)
    objective.train()
    for step in range(400):
        batch = galaxies(64, step)
        loss, _ = objective(batch, Draws(0, step, 64), step / 400)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    new = galaxies(300, 999)
    with torch.no_grad():
        for given in ({"spectrum": 1.0}, {"image": 1.0}, {}):
            error = (model.predict(new, model.question("q", given))["z"] - new.labels["z"]).abs().mean()
            assert error < 0.1, given  # the median of all misses by .25


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"image": 1.0, "spectrum": 1.0}, "nothing would be shown"),
        ({"image": 1.5}, "image: 1.5 is not allowed; must be at most 1"),
        ({"bands": ["u"]}, "'u' is not allowed; allowed are g, r, i, z, y"),
        ({"bands": []}, "bands: .* at least 1"),
    ],
)
def test_a_wrong_query_gets_one_line(query, words):
    entry = {"kind": "mmae", "modalities": [IMAGE, SPECTRUM], "queries": {"q": query}}
    with pytest.raises(BadConfig, match=words) as error:
        read_model("mmae", entry)
    assert "\n" not in str(error.value)


def test_the_scatter_of_the_published_predictions_is_the_published_one():
    path = SHARED / "mmae" / "mmae_fullmaskspectrum_quartermaskimage.csv"
    if not path.exists():
        pytest.skip("the published predictions are not here")
    true, said = np.loadtxt(path, delimiter=",", skiprows=1, unpack=True)
    near = true < 0.4
    assert sigma_nmad(true[near], said[near]) == pytest.approx(0.0163, abs=5e-5)  # 0.016 in the paper's figure 3
    assert outlier_rate(true, said) == pytest.approx(0.046, abs=5e-4)


def test_the_bands_are_those_of_the_images():
    from skyloom.formats import galaxiesml

    assert BANDS == galaxiesml.BANDS


def test_the_posterior_is_the_mixtures_probability_of_each_bin():
    torch.manual_seed(3)
    out = torch.randn(5, 6)
    found = density.posterior(out)
    assert found.shape == (5, density.BINS)
    assert (
        density.posterior(torch.randn(4000, 18)) >= 0
    ).all()  # sums of six distribution functions, in single precision
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    first, step, count = density.LOG_SCALE
    edges = torch.arange(1, count) * step
    np.testing.assert_allclose(found.cumsum(1)[:, :-1], density.below(out, torch.expm1(edges).expand(5, -1)), atol=1e-4)
    assert first == step / 2
    said = density.said(out, 0.9)
    at = (
        found.cumsum(1) * (torch.arange(count) == (torch.log1p(said["z"])[:, None] / step).floor().clamp(max=count - 1))
    ).sum(1)
    assert (at >= 0.5 - 1e-3).all()


def test_what_is_there_is_in_the_units_of_a_reconstruction():
    model, batch = network(), galaxies()
    truth, drawn = (
        model.truth(batch),
        model.predict(batch, model.question("a", {"reconstruct": [IMAGE, SPECTRUM], "image": 0.5})),
    )
    assert {m: t.shape for m, t in truth.items()} == {m: drawn[m].shape for m in truth}
    assert model.wavelength[0] == pytest.approx(3600 + 0.8 * 4.5)
    assert len(model.wavelength) == truth[SPECTRUM].shape[1]
    np.testing.assert_allclose(
        truth[SPECTRUM][:, 3],
        patches.standardise(*(batch[SPECTRUM][n] for n in ("flux", "ivar")))[:, 30:40].mean(1),
        atol=1e-5,
    )


def test_bins_of_equal_velocity_are_in_units_of_their_noise_and_those_without_data_do_not_count():
    config = parse(Config, SMALL | {"spectra": "velocity", "velocity": 500.0}, "model")
    spectra = patches.Spectra(config)
    ivar = torch.full((1, 200), 4.0)
    ivar[:, :40] = 0
    values, known = spectra(*spectra.bins(torch.ones(1, 200), ivar))
    values, known = values.flatten(), known.flatten()
    step = np.diff(spectra.wavelength)
    np.testing.assert_allclose(step / spectra.wavelength[1:], 500 / 299792.458, rtol=2e-3)
    pixels = spectra.wavelength * 500 / 299792.458 / 0.8  # in a bin
    inside = spectra.wavelength > 3600 + 0.8 * 48
    np.testing.assert_allclose(values[: spectra.numbers][inside], np.arcsinh(2 * np.sqrt(pixels[inside])), rtol=1e-3)
    early = spectra.wavelength < 3600 + 0.8 * 32
    assert not values[: spectra.numbers][early].any() and not known[: spectra.numbers][early].any()
    assert not known[spectra.numbers :].any()


def test_a_shorter_exposure_has_more_noise_and_says_so():
    flux, ivar = torch.zeros(400, 300), torch.full((400, 300), 4.0)
    ivar[:, :50] = 0
    noise = torch.randn(400, 300, generator=torch.Generator().manual_seed(0))
    first = flux + 0.5 * torch.randn(400, 300, generator=torch.Generator().manual_seed(1))
    found = shortened(first, ivar, 0.1, noise)
    assert found["flux"][:, 50:].var().item() == pytest.approx(0.25 / 0.1, rel=0.02)
    assert torch.equal(found["flux"][:, :50], first[:, :50])
    assert (found["ivar"] == ivar * 0.1).all()


def test_training_turns_images_and_shortens_exposures_and_validation_does_not():
    model, batch = network(exposure=0.01), galaxies(64)
    objective, draws = Objective(model).train(), lambda: Draws(0, 1, 64)
    numbers, seen = model.numbers_of(batch), torch.arange(64) < 48
    found = objective.exposed(numbers, seen, draws())
    share = (found.bins[1] / batch[SPECTRUM]["ivar"])[:, 0]
    assert share.min() > 0.0099 and share.max() <= 1 and 0.3 < (share[:48] < 0.1).float().mean() < 0.7
    assert (share[48:] == 1).all() and torch.equal(found.values[SPECTRUM][48:], numbers.values[SPECTRUM][48:])
    assert not torch.isclose(found.values[SPECTRUM][:48], numbers.values[SPECTRUM][:48]).all(2).all(1).any()
    image = objective.turned(batch, draws())[IMAGE]["flux"]
    assert 0 < (image == batch[IMAGE]["flux"]).flatten(1).all(1).sum() < 24
    assert torch.equal(image.flatten(2).sort().values, batch[IMAGE]["flux"].flatten(2).sort().values)
    assert Objective(network(turned=False)).train().turned(batch, draws()) is batch
    with torch.no_grad():
        first, second = (objective.eval()(batch, Draws(0, "validation", 64), 0.0)[0] for _ in range(2))
        model.config = parse(Config, SMALL | {"turned": False, "exposure": 1.0}, "model")
        assert torch.equal(first, second) and torch.equal(first, objective(batch, Draws(0, "validation", 64), 0.0)[0])


def test_tokens_that_are_dropped_have_the_losses_that_all_of_them_have_where_they_are_hidden():
    model = network(masks={"band": 0.0})
    objective, batch, draws = Objective(model).eval(), galaxies(), lambda: Draws(0, 4, 12)
    with torch.no_grad():
        _, parts = objective(batch, draws(), 0.0)
        numbers = model.numbers_of(batch)
        values, known, bands = numbers.values, numbers.known, numbers.bands
        hidden, _ = objective.hidden(draws(), numbers.have)
        encoded = model.encode(numbers, bands, {m: ~hidden[m] for m in hidden})
        joint, groups = encoded.joint, encoded.groups
        assert len(groups) > 1
        for m in hidden:
            error, count = 0.0, 0
            for rows, states in groups:
                mask = hidden[m][rows][..., None] & known[m][rows]
                error += ((model.drawn(m, states, joint[rows]) - values[m][rows]).square() * mask).sum().item()
                count += mask.sum().item()
            assert parts[m].item() == pytest.approx(error / count, rel=1e-4)


def test_a_generator_draws_from_the_distribution_that_it_learnt_and_changes_nothing_else():
    torch.manual_seed(0)
    flow = Generator(2, 3, 16, 2, 1)
    optimizer = torch.optim.Adam(flow.parameters(), 5e-3)
    g = torch.Generator().manual_seed(1)

    def spectra(n):  # one common deviation of all numbers, which is 0.5, about the mean that is seen
        seen = torch.randn(n, 1, 16, generator=g)
        return seen[:, :, :1] + 0.5 * torch.randn(n, 1, 1, generator=g).expand(-1, 2, 3), seen

    for _ in range(600):
        values, seen = spectra(128)
        noise, time = torch.randn(128, 2, 3, generator=g), torch.rand(128, generator=g)
        loss = flow.loss(values, torch.ones_like(values, dtype=torch.bool), seen, time, noise) / values.numel()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _, seen = spectra(1000)
    with torch.no_grad():
        found = flow.draw(torch.randn(1000, 2, 3, generator=g), seen) - seen[:, :, :1]
    assert found.mean().abs() < 0.15
    assert found.std().item() == pytest.approx(0.5, abs=0.12)
    assert found.flatten(1).std(1).mean() < 0.1  # all numbers of one draw move together
    model, batch = network(generator=1), galaxies()
    objective = Objective(model).eval()
    parts = objective(batch, Draws(0, 1, 12), 0.0)[1]
    parts["generator"].backward()
    moved = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().any()}
    assert moved == {"generator"}


def test_a_generator_learns_half_of_the_galaxies_from_whole_images_alone(monkeypatch):
    """As draws for an image are asked for. Every number that is known counts once, of galaxies without images too."""
    model, batch = network(generator=1, alone_weight=1.0), galaxies(200)
    batch.present[IMAGE] = torch.arange(200) >= 40
    asked = {}

    def loss(spectra, known, seen, time, noise, moved=None):
        tokens = 0 if seen is None else seen.shape[1]
        asked[tokens] = asked.get(tokens, 0) + int(known.sum())
        return known.sum().float()

    monkeypatch.setattr(model.generator, "loss", loss)
    model.config.masks.image[:] = model.config.masks.spectrum[:] = [1.0, 1.0]  # what is not alone shows nothing
    objective = Objective(model).train()
    parts = objective(batch, Draws(0, 1, 200), 0.0)[1]
    known = model.numbers_of(batch).known[SPECTRUM].flatten(1).sum(1)
    whole = model.counts[IMAGE] + bool(model.config.apertures)
    assert set(asked) == {0, whole} and sum(asked.values()) == known.sum()
    assert asked[whole] / known[40:].sum() == pytest.approx(0.5, abs=0.12)
    assert parts["generator"].item() == pytest.approx(1)


def test_draws_are_a_galaxys_own_and_differ():
    model, batch = network(generator=1), galaxies()
    asked = model.question("a", {"spectrum": 1.0, "samples": 2})
    with torch.no_grad():
        found = model.predict(batch, asked)["spectrum_samples"]
        some = Batch({IMAGE: {"flux": batch[IMAGE]["flux"][3:5]}}, targetid=batch.targetid[3:5])
        torch.testing.assert_close(model.predict(some, asked)["spectrum_samples"], found[3:5], rtol=0, atol=1e-4)
    assert found.shape == (12, 2 * 20) and model.about(asked)["samples"] == 2
    assert (found[:, :20] - found[:, 20:]).abs().mean() > 0.5
    noise = starts(np.arange(2000), 0, (2, 3))
    assert stats.ks_1samp(noise.flatten().numpy(), stats.norm.cdf).pvalue > 1e-3


def test_draws_need_a_generator():
    entry = {"kind": "mmae", "modalities": [IMAGE, SPECTRUM], "queries": {"a": {"spectrum": 1.0, "samples": 3}}}
    with pytest.raises(BadConfig, match=r"models.m.queries.a.samples: 3 is not allowed; the model has no generator"):
        check(read_model("m", entry), None)


def test_apertures_hold_the_light_of_their_pixels_that_is_shown():
    config = parse(Config, SMALL | {"apertures": [0.4, 1.0]}, "model")
    flux = torch.rand(2, 5, 16, 16) * 0.01
    shown = torch.rand(2, 16, generator=torch.Generator().manual_seed(0)) < 0.6
    cut = patches.flux_of(patches.image_patches(flux, config)[0], config)
    numbers, share = Light(config).measured(cut, shown)
    light = numbers[:, :10].view(2, 5, 2).transpose(1, 2)
    np.testing.assert_allclose(numbers[:, 10:18].view(2, 4, 2), light.diff(dim=2).transpose(1, 2), atol=1e-5)
    np.testing.assert_allclose(numbers[:, 18:].view(2, 5), light[:, 1] - light[:, 0], atol=1e-5)
    middle = (np.arange(16) - 7.5) * 0.168
    radius = np.hypot(middle[:, None], middle)
    pixels = shown.view(2, 4, 4).repeat_interleave(4, 1).repeat_interleave(4, 2).numpy()
    soft = np.array([7e-4, 10e-4, 13e-4, 25e-4, 50e-4])
    for a, limit in enumerate((0.4, 1.0)):
        mask = (radius <= limit) & pixels
        total = (flux.numpy() * mask[:, None]).sum((2, 3)) / (soft * np.sqrt(mask.sum((1, 2)).clip(1))[:, None])
        np.testing.assert_allclose(light[:, a], np.arcsinh(total), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(share[:, a], mask.sum((1, 2)) / (radius <= limit).sum(), rtol=1e-5)


def test_lines_are_told_from_the_continuum_by_what_is_shown_alone():
    model, batch = network(spectra="velocity", velocity=200.0, continuum=2000.0, slice=4, stem=3), galaxies()
    asked = model.question("a", {"image": 1.0, "spectrum": 0.5})
    hidden = asked.of(SPECTRUM, model.counts[SPECTRUM], batch)
    edges = (3600 + 0.8 * np.arange(200))[:, None] + [-0.4 + 1e-4, 0.4 - 1e-4]
    token = np.log(edges / 3599.6) / (200 / 299792.458) / 4
    inside = torch.from_numpy(np.floor(token)).long().clamp(0, model.counts[SPECTRUM] - 1)
    within = hidden.gather(1, inside[:, 0].expand(12, -1)) & hidden.gather(1, inside[:, 1].expand(12, -1))
    assert 20 < within.sum(1).float().mean() < 150
    flux = batch[SPECTRUM]["flux"]
    with torch.no_grad():
        before = model.predict(batch, asked)["posterior"]
        after = model.predict(batch.changed(SPECTRUM, flux=torch.where(within, flux + 9, flux)), asked)["posterior"]
        torch.testing.assert_close(after, before, rtol=0, atol=1e-6)
        moved = model.predict(batch.changed(SPECTRUM, flux=torch.where(within, flux, flux + 9)), asked)["posterior"]
    assert (moved - before).abs().max() > 1e-6


def test_a_galaxy_without_anything_is_answered_too():
    model = network(generator=1)
    asked = model.question("a", {"reconstruct": [IMAGE, SPECTRUM], "samples": 1})
    nothing = Batch({IMAGE: {"flux": torch.zeros(2, 5, 20, 20)}}, targetid=torch.arange(2))
    said = model.predict(nothing, asked)
    assert all(values.isfinite().all() for values in said.values()) and not said["shown"].any()
    assert model.predict(galaxies(3), model.question("b", {"image": 1.0}))["shown"].all()


def test_a_spectrum_alone_is_moved_to_another_redshift_with_its_lines():
    model = network(spectra="velocity", velocity=60.0, shift=0.01)
    objective, z = Objective(model), torch.tensor([0.01, 0.01, 0.01, 1e-9] * 8)
    line = 3620 * (1 + z)
    wave = 3600 + 0.8 * torch.arange(200)
    flux = torch.exp(-0.5 * ((wave - line[:, None]) / 2).square())
    spectra = {"flux": flux, "ivar": torch.ones_like(flux)}
    numbers = model.numbers_of(Batch({SPECTRUM: spectra}, targetid=torch.arange(32)))
    alone = torch.arange(32) % 2 == 0
    moved, new = objective.shifted(numbers, z, alone, Draws(0, 1, 32))
    assert torch.equal(new[~alone], z[~alone]) and (new[alone] != z[alone]).float().mean() > 0.8 and (new >= 0).all()
    assert (torch.log1p(new) - torch.log1p(z)).abs().max() <= 0.01
    at = torch.from_numpy(model.wavelength)[moved.bins[0].argmax(1)]
    np.testing.assert_allclose(at, 3620 * (1 + new), atol=1.2)
    gone = torch.log1p(new) - torch.log1p(z) > 2e-3
    assert not moved.bins[1][gone][:, 0].any() and not moved.known[SPECTRUM][gone][:, 0, 0].any()


def test_photometry_of_a_band_that_is_missing_says_nothing():
    light = Light(parse(Config, SMALL | {"apertures": [0.4, 1.0]}, "model"))
    bands, shown = torch.tensor([[True, True, False, True, True]]), torch.ones(1, 16, dtype=torch.bool)
    flux = 0.01 * torch.rand(1, 16, 5, 16)
    with torch.no_grad():
        before, other = light(flux, shown, bands), flux.clone()
        other[:, :, 2] = 5.0
        assert torch.equal(light(other, shown, bands), before)
        other[:, :, 1] = 5.0
        assert not torch.allclose(light(other, shown, bands), before)


def test_photometry_is_standardised_by_whole_images_and_nothing_shown_has_none():
    model = network(apertures=[0.4, 1.0])
    flux = 0.05 * torch.rand(40, 5, 20, 20, generator=torch.Generator().manual_seed(0))
    batch = Batch({IMAGE: {"flux": flux}}, targetid=torch.arange(40))
    Objective(model).begin({}, {}, [batch])
    numbers = model.numbers_of(batch)
    found = model.photometry.measured(patches.flux_of(numbers.values[IMAGE], model.config), torch.ones(40, 16).bool())[
        0
    ]
    scaled = model.photometry.standard(found)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(0, correction=0), 1, atol=1e-3)
    some = torch.arange(40)[:, None].expand(-1, 16) % 2 == 0
    light = model.light(numbers.values[IMAGE], numbers.bands, some)
    assert not light[1::2].any() and light[::2].any(1).all()
