"""MMAE's templates: a redshift is a shift, what is hidden has no part in it, and two sources of knowledge multiply."""

import math

import pytest
import torch

from skyloom.core.errors import BadConfig
from skyloom.models.mmae import IMAGE, SPECTRUM, Config
from skyloom.models.mmae.generator import Generator, chances
from skyloom.models.mmae.network import Mmae
from skyloom.models.mmae.objective import Objective
from skyloom.models.mmae.shifts import Match, Moved
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.nn.log_grid import LogGrid
from skyloom.nn.redshift_grid import Grid
from skyloom.settings.section import parse
from tests.models.test_mmae import PRODUCT, SMALL, galaxies, network

BINS = LogGrid.over(4000.0, 8000.0, 600.0)
REDSHIFTS = Grid.up_to(1.0, BINS.step)


def config(**changes) -> Config:
    return parse(Config, SMALL | PRODUCT | {"continuum": 6000.0} | changes, "model")


def lines(place: int, count: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Flat spectra (count, bins) in noise with lines at a place and 40 bins beyond."""
    g = torch.Generator().manual_seed(seed)
    flux = 1 + 0.1 * torch.randn(count, BINS.bins, generator=g)
    flux[:, place] += 3
    flux[:, place + 40] += 2
    return flux, torch.full_like(flux, 100.0)


def test_spectra_that_are_moved_match_at_redshifts_that_are_moved_as_much():
    torch.manual_seed(0)
    match = Match(config(), BINS, REDSHIFTS)
    flux, ivar = lines(100)
    ivar[:, :60], ivar[:, 200:] = 0, 0  # so that nothing leaves the grid
    with torch.no_grad():
        first = match(flux, ivar)[0]
        second = match(flux.roll(30, 1), ivar.roll(30, 1))[0]
    want, found = (x - x.mean() for x in (first[:-30], second[30:]))
    torch.testing.assert_close(found, want, atol=2e-4 * float(want.std()) + 1e-5, rtol=2e-3)


def test_where_nothing_is_seen_every_redshift_matches_as_well():
    match = Match(config(), BINS, REDSHIFTS)
    with torch.no_grad():
        found = match(torch.zeros(2, BINS.bins), torch.zeros(2, BINS.bins))
    assert found.shape == (2, REDSHIFTS.count)
    assert (found - found[:, :1]).abs().max() < 1e-6


def test_templates_lie_where_the_redshift_puts_them():
    moved = Moved(config(), BINS, REDSHIFTS)
    with torch.no_grad():
        moved.templates.zero_()
        moved.templates[0, 0, REDSHIFTS.count - 1 + 50] = 1.0  # at place 50 of the bins at redshift 0
        one = torch.zeros(2, REDSHIFTS.count)
        one[0, 0], one[1, 20], one[1, 80] = 1, 0.25, 0.75
        found = moved(one)
    assert found.shape == (2, 2, BINS.bins)
    want = torch.zeros(2, BINS.bins)
    want[0, 50], want[1, 70], want[1, 130] = 1, 0.25, 0.75
    torch.testing.assert_close(found[:, 0], want, atol=1e-5, rtol=0)


def test_hidden_bins_of_a_spectrum_have_no_part_in_what_is_said():
    model, batch = network(**PRODUCT), galaxies()
    asked = model.question("half", {"image": 1.0, "spectrum": 0.5, "reconstruct": [SPECTRUM]})
    before = model.predict(batch, asked)
    shown = ~asked.of(SPECTRUM, model.counts[SPECTRUM], batch)
    wavelength = torch.from_numpy(model.wavelength)
    pixel = 3600 + 0.8 * torch.arange(200)
    near = (torch.log(pixel[:, None] / wavelength)).abs().argmin(1)  # the bin of most of a pixel
    inside = shown[:, (near // model.config.slice)]
    clear = inside.clone()  # not the pixels that are shared with a bin that is shown
    clear[:, 2:] |= inside[:, :-2]
    clear[:, :-2] |= inside[:, 2:]
    clear[:, 1:] |= inside[:, :-1]
    clear[:, :-1] |= inside[:, 1:]
    flux = torch.where(clear, batch[SPECTRUM]["flux"], torch.tensor(50.0))
    after = model.predict(batch.changed(SPECTRUM, flux=flux), asked)
    assert (~clear).any()
    for name, values in before.items():
        torch.testing.assert_close(after[name], values, rtol=0, atol=1e-5)


def test_what_image_and_spectrum_say_is_multiplied():
    model, batch = network(**PRODUCT), galaxies()
    numbers = model.numbers_of(batch)
    shown = {m: numbers.have[m][:, None].expand(-1, n) for m, n in model.counts.items()}
    with torch.no_grad():
        encoded = model.encode(numbers, numbers.bands, shown)
        head = model.redshift(torch.cat([encoded.joint, encoded.light], 1))
        want = model.redshifts.log_mixture(head).double().exp() * encoded.match.double().exp()
        found = model.says(encoded).double().exp()
    torch.testing.assert_close(found, want / want.sum(1, keepdim=True), rtol=1e-3, atol=1e-7)
    blind = {IMAGE: shown[IMAGE], SPECTRUM: torch.zeros_like(shown[SPECTRUM])}
    with torch.no_grad():
        assert (model.encode(numbers, numbers.bands, blind).match.std(1) < 1e-6).all()


def lined(count: int, seed: int) -> Batch:
    """Galaxies whose images say the redshift to .03 and whose spectra, two lines in noise, say it to a bin."""
    g = torch.Generator().manual_seed(seed)
    z = 0.3 * torch.rand(count, generator=g)
    about = (z + 0.03 * torch.randn(count, generator=g))[:, None, None, None]
    wave = 3600 + 8.0 * torch.arange(200)
    flux = 1 + 0.1 * torch.randn(count, 200, generator=g)
    for rest, height in ((3700, 1.0), (3850, 0.6)):
        flux += height * torch.exp(-0.5 * ((wave - rest * (1 + z[:, None])) / 8).square())
    image = 0.2 * about.expand(-1, 5, 20, 20) + 1e-3 * torch.randn(count, 5, 20, 20, generator=g)
    spectra = {"flux": flux, "ivar": torch.full((count, 200), 100.0)}
    return Batch({IMAGE: {"flux": image}, SPECTRUM: spectra}, labels={"z": z}, targetid=1000 + torch.arange(count))


def test_beside_an_image_the_spectrum_still_says_the_redshift():
    wide = {"grid": {"start": 3600.0, "step": 8.0, "pixels": 200}, "velocity": 600.0, "slice": 10}
    masks = {"no_spectrum": 0.4, "no_image": 0.3, "image": [0.0, 0.2], "spectrum": [0.0, 0.2]}
    model = network(**PRODUCT | wide, masks=masks, turned=False, exposure=1.0, shift=0.0)
    objective = Objective(model).train()
    optimizer = torch.optim.AdamW(model.parameters(), 4e-3)
    for step in range(150):
        loss, _ = objective(lined(32, step), Draws(0, step, 32), step / 150)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    new, errors = lined(300, 999), {}
    with torch.no_grad():
        for name, given in {"image": {"spectrum": 1.0}, "spectrum": {"image": 1.0}, "both": {}}.items():
            said = model.predict(new, model.question("q", given))["z"]
            errors[name] = float((said - new.labels["z"]).abs().median())
    assert errors["both"] < 0.004 < 0.01 < errors["image"], errors


def test_a_draw_lies_at_a_redshift_of_its_own():
    level = torch.cat([chances(torch.arange(4000).numpy(), sample) for sample in (0, 1)], 1)
    assert level.mean().item() == pytest.approx(0.5, abs=0.02)
    assert level.std().item() == pytest.approx(math.sqrt(1 / 12), abs=0.01)
    assert abs(torch.corrcoef(level.T)[0, 1]) < 0.06


def test_a_generator_that_is_told_the_redshift_draws_the_line_there():
    torch.manual_seed(0)
    moved = Moved(config(templates=1), BINS, REDSHIFTS)
    tokens = -(-BINS.bins // 10)
    flow, g = Generator(tokens, 10, 32, 2, 1, moved), torch.Generator().manual_seed(2)
    optimizer = torch.optim.Adam(flow.parameters(), 5e-3)

    def spectra(n: int):
        place = torch.randint(0, REDSHIFTS.count - 20, (n,), generator=g)
        values = 0.3 * torch.randn(n, tokens * 10, generator=g)
        values[torch.arange(n), place + 10] += 4
        return values.unflatten(1, (tokens, 10)), place

    for _ in range(250):
        values, place = spectra(64)
        told = flow.templates(REDSHIFTS.near(torch.expm1(place * REDSHIFTS.step)))
        noise, time = torch.randn(values.shape, generator=g), torch.rand(len(values), generator=g)
        loss = flow.loss(values, torch.ones_like(values, dtype=torch.bool), None, time, noise, told) / values.numel()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _, place = spectra(200)
    with torch.no_grad():
        told = flow.templates(REDSHIFTS.near(torch.expm1(place * REDSHIFTS.step)))
        found = flow.draw(torch.randn(200, tokens, 10, generator=g), None, told).flatten(1)
    assert ((found.argmax(1) - place - 10).abs() <= 2).float().mean() > 0.5  # by chance .02


@pytest.mark.parametrize("sigma", [1.0, 0.3, 0.03])
def test_the_noise_of_a_draw_is_that_of_spectra(sigma):
    """A network that knows mean and deviation draws with these, however small the noise."""
    flow = Generator(2, 500, 16, 2, 1)
    mean = torch.linspace(-1, 5, 500)
    flow.forward = lambda x, time, seen, moved=None: (mean.expand_as(x), torch.full_like(x, sigma))
    drawn = flow.draw(torch.randn(40, 2, 500, generator=torch.Generator().manual_seed(5)), None)
    torch.testing.assert_close(drawn.mean((0, 1)), mean, atol=0.5 * sigma, rtol=0)
    assert (drawn - mean).std().item() == pytest.approx(sigma, rel=0.02)


def test_templates_need_bins_of_equal_velocity():
    with pytest.raises(BadConfig, match=r"model.redshift: product is not allowed with spectra: averages"):
        parse(Config, SMALL | {"redshift": "product"}, "model")


def test_without_a_spectrum_in_the_batch_images_are_answered():
    model, batch = network(**PRODUCT), galaxies()
    alone = model.question("image", {"spectrum": 1.0})
    some = Batch({IMAGE: batch[IMAGE]}, targetid=batch.targetid)
    with torch.no_grad():
        torch.testing.assert_close(model.predict(some, alone)["z"], model.predict(batch, alone)["z"], atol=1e-5, rtol=0)


def test_spectra_that_are_drawn_from_one_vector_need_no_templates():
    model = Mmae(config(decoder="pooled"), (IMAGE, SPECTRUM))
    assert not hasattr(model, "moved") and hasattr(model, "match")
