"""The inception network: its shape, what it learns, turned images, what is missing, and one line for what is wrong."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skyloom.core.errors import BadConfig, BadInput
from skyloom.models.inception import Config, check
from skyloom.models.inception.network import SOFTENING, Block, Inception, Objective
from skyloom.nn import redshift_density as density
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.nn.images import dihedral
from skyloom.settings.models import read_model
from skyloom.settings.section import parse

SMALL = {"image_size": 16, "stem": 8, "channels": [8, 16, 16], "dim": 32, "components": 2, "dropout": 0.0}


def network(modality: str = "hsc_image", **changes) -> Inception:
    torch.manual_seed(0)
    return Inception(parse(Config, SMALL | changes, "model"), (modality,)).eval()


def galaxies(count: int = 12, seed: int = 1, modality: str = "hsc_image", size: int = 20) -> Batch:
    """Round galaxies that are the redder the farther, a little off the middle."""
    g = torch.Generator().manual_seed(seed)
    soft = torch.tensor(SOFTENING[modality])
    z = torch.rand(count, generator=g)
    slope = torch.linspace(-1.5, 1.5, len(soft)) * (z[:, None] - 0.5)
    place = torch.arange(size) - (size - 1) / 2
    middle = torch.randn(count, 2, generator=g)
    x, y = (place - middle[:, axis : axis + 1] for axis in (0, 1))
    light = torch.exp(-(x[:, None].square() + y[..., None].square()) / 12)
    flux = 30 * slope.exp()[..., None, None] * light[:, None]
    noise = torch.randn(count, len(soft), size, size, generator=g)
    return Batch({modality: {"flux": (flux + noise) * soft[:, None, None]}}, labels={"z": z})


@pytest.mark.parametrize("modality, bands", [("hsc_image", 5), ("image", 3)])
def test_the_number_of_weights(modality, bands):
    seen, stem, dim, squares = 2 * bands - 1, 32, 256, 3
    total = (25 * seen + 1) * stem
    for given, channels in zip((stem + seen, 64, 96 + seen, 128), (64, 96, 128, 160), strict=True):
        p = channels // 8
        total += (given + 1) * (channels - 3 * p) + (9 * 2 * p + 1) * 3 * p + (25 * p + 1) * 2 * p + (given + 1) * p
    numbers = 5 * bands + 5 * (bands - 1) + 4 * bands
    total += (squares * 160 + 1) * dim + (numbers + 1) * dim + (dim + 1) * dim + (dim + 1) * 18
    model = Inception(Config(), (modality,))
    assert sum(p.numel() for p in model.parameters()) == total
    plain = Inception(Config(coarse=False, apertures=False), (modality,))
    blind = total - (numbers + 1) * dim - seen * (64 - 16 + 128 - 32)
    assert sum(p.numel() for p in plain.parameters()) == blind


def test_the_average_may_follow_its_convolution():
    block, x = Block(6, 16), torch.randn(2, 6, 8, 8)
    first = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(block(x)[:, -2:], block.pool(first).relu(), rtol=1e-4, atol=1e-5)
    assert block(x).shape == (2, 16, 8, 8)


@pytest.mark.parametrize("changes", [{}, {"apertures": False, "coarse": False}])
def test_training_learns_the_redshift(changes):
    model = network(**changes)
    objective = Objective(model).train()
    objective.begin({}, {}, [galaxies(200, 5000)])
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(200):
        loss, _ = objective(galaxies(32, step), Draws(0, step, 32), step / 200)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    new = galaxies(200, 999)
    with torch.no_grad():
        error = (model.eval().predict(new, "redshift")["z"] - new.labels["z"]).abs().mean()
    assert error < 0.06  # the median of all misses by .25


def test_a_posterior_adds_up_to_one_and_the_redshift_is_its_median():
    model, batch = network(), galaxies()
    Objective(model).begin({}, {}, [batch])
    with torch.no_grad():
        said = model.predict(batch, "redshift")
    first, step, count = model.about("redshift")["log_scale"]
    assert said["posterior"].shape == (12, count)
    np.testing.assert_allclose(said["posterior"].sum(1), 1, atol=1e-5)
    under = said["posterior"].cumsum(1)
    at = (torch.log1p(said["z"]) / step).floor().long()[:, None]
    assert (under.gather(1, at) >= 0.5 - 1e-3).all() and (under.gather(1, (at - 1).clamp(min=0)) <= 0.5 + 1e-3).all()
    assert (said["z_lower"] <= said["z"]).all() and (said["z"] <= said["z_upper"]).all()
    assert model.embed(batch, "hsc_image").shape == (12, 32) and first == step / 2


def test_an_average_over_turned_images_is_the_mean_of_their_posteriors_and_does_not_turn():
    model, batch = network(), galaxies()
    turned = [batch.changed("hsc_image", flux=dihedral(batch["hsc_image"]["flux"], view)) for view in range(8)]
    with torch.no_grad():
        alone = torch.stack([model.predict(b, "redshift")["posterior"] for b in turned]).mean(0)
        model.config = parse(Config, SMALL | {"averaged": True}, "model")
        both = [model.predict(b, "redshift") for b in turned[:4:3]]
    torch.testing.assert_close(both[0]["posterior"], alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(both[0]["z"], both[1]["z"], rtol=0, atol=1e-4)
    outs = [torch.randn(4, 9) for _ in range(3)]
    z = torch.tensor([0.1, 0.5, 1.0, 2.0])
    mean = torch.stack([density.log_density(out, z).exp() for out in outs]).mean(0)
    torch.testing.assert_close(density.log_density(density.averaged(outs), z).exp(), mean, rtol=1e-4, atol=1e-6)


def test_flips_and_dropout_do_not_depend_on_the_number_of_processes():
    objective, batch = Objective(network(dropout=0.5)).train(), galaxies(8)
    seen = []
    objective.model.says = lambda hidden: seen.append(hidden.detach()) or torch.zeros(len(hidden), 6)
    objective(batch, Draws(0, 3, 8), 0.0)
    for rank in (0, 1):
        rows = slice(rank, None, 2)
        part = Batch({"hsc_image": {"flux": batch["hsc_image"]["flux"][rows]}}, labels={"z": batch.labels["z"][rows]})
        objective(part, Draws(0, 3, 8, rows), 0.0)
        torch.testing.assert_close(seen[-1], seen[0][rows], rtol=1e-4, atol=1e-5)
    objective(batch, Draws(0, 4, 8), 0.0)
    assert not torch.allclose(seen[-1], seen[0])


def test_a_missing_band_and_an_unknown_redshift_do_not_stop_it():
    model, batch = network(), galaxies()
    flux = batch["hsc_image"]["flux"].clone()
    flux[:4, 1], flux[4:8, 2], flux[8, 3, 4, 4] = 0, torch.nan, torch.inf
    with torch.no_grad():
        found = model.predict(batch.changed("hsc_image", flux=flux), "redshift")
    assert all(values.isfinite().all() for values in found.values())
    objective, z = Objective(model).eval(), batch.labels["z"].clone()
    z[6:] = torch.nan
    some = Batch({"hsc_image": {"flux": batch["hsc_image"]["flux"][:6]}}, labels={"z": z[:6]})
    losses = [objective(b, Draws(0, 1, 6), 0.0)[0] for b in (Batch(batch.data, labels={"z": z}), some)]
    torch.testing.assert_close(*losses)
    losses[0].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_apertures_hold_the_light_in_them():
    model = network()
    flux = torch.full((1, 5, 16, 16), 1e-3)
    count = model.photometry.inside.sum(0)
    assert count.tolist() == [4, 4, 12, 52, 208]
    found = model.photometry.measured(flux)[0, :25].view(5, 5)
    expected = torch.asinh(1e-3 * count.sqrt() / torch.tensor(SOFTENING["hsc_image"])[:, None])
    torch.testing.assert_close(found, expected)


def test_wrong_images_get_one_line():
    model = network()
    with pytest.raises(BadInput, match="images of 12 pixels; the model sees 16"):
        model.embed(galaxies(size=12), "hsc_image")
    with pytest.raises(BadInput, match="images of 3 bands; those of hsc_image have 5"):
        model.embed(Batch({"hsc_image": {"flux": torch.zeros(1, 3, 20, 20)}}), "hsc_image")


@pytest.mark.parametrize(
    ("modality", "size", "words"),
    [
        ("image", 96, "models.net.model.image_size: 96 is not allowed; the images of sky have 80"),
        ("hsc_image", 72, "models.net.model.image_size: 72 is not allowed; the images of sky have 64"),
    ],
)
def test_images_of_a_survey_must_be_large_enough(modality, size, words):
    settings = SimpleNamespace(modalities=(modality,), crop=80, hsc_size=64)
    survey = SimpleNamespace(name="sky", settings=settings)
    entry = {"kind": "inception", "modality": modality, "model": {"image_size": size}}
    with pytest.raises(BadConfig, match=words):
        check(read_model("net", entry), survey)
    check(read_model("net", entry | {"model": {"image_size": 64}}), survey)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"image_size": 60}, "image_size: 60 is not a multiple of 8"),
        ({"channels": [64, 96]}, "channels: .* at least 3"),
        ({"channels": [64, 96, 4]}, "4 is not allowed; must be at least 8"),
        ({"dropout": 1.0}, "dropout: 1.0 is not allowed"),
    ],
)
def test_a_wrong_setting_gets_one_line(model, words):
    with pytest.raises(BadConfig, match=words) as error:
        read_model("net", {"kind": "inception", "modality": "hsc_image", "model": model})
    assert "\n" not in str(error.value)
