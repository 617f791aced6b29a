import math

import pytest
import torch
import yaml
from torch.nn import functional

from skyloom.core.errors import BadConfig
from skyloom.models import networks
from skyloom.models.astrodino import PUBLISHED, PUBLISHED_TRAINING, Config
from skyloom.models.astrodino.losses import cross_view_loss, entropies, koleo, sinkhorn
from skyloom.models.astrodino.network import AstroDINO, resample
from skyloom.models.astrodino.objective import Objective
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.nn.rgb import arcsinh_rgb
from skyloom.settings.section import parse
from skyloom.settings.training import Training
from tests.paths import ROOT

TINY = Config(
    image_size=24, patch=4, dim=32, layers=1, heads=2, global_size=20, local_size=8, local_crops=2, prototypes=16,
    head_hidden=32, head_dim=8, noise=0.0, brightness=0.0, light=0.0,
)  # fmt: skip


@pytest.fixture
def batch():
    return of(torch.rand(6, 3, 24, 24, generator=torch.Generator().manual_seed(1)))


def of(rgb) -> Batch:
    return Batch({"image": {"rgb": rgb}})


def network(**changes) -> AstroDINO:
    torch.manual_seed(0)
    return AstroDINO(TINY.model_copy(update=changes), ("image",))


def learn(objective: Objective, batch: Batch, steps: int, rate: float) -> list[dict]:
    """Metrics of so many steps on one batch."""
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], rate)
    found = []
    for step in range(steps):
        loss, metrics = objective(batch, Draws(0, step, len(batch)), step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.after_step(step / steps)
        found.append(metrics)
    return found


@pytest.fixture
def objective():
    return Objective(network())


def test_the_preset_the_published_shape_and_the_papers_numbers_are_one():
    preset = yaml.safe_load((ROOT / "resources/presets/astroclip.yaml").read_text())["models"]["astrodino"]
    expected = parse(Config, PUBLISHED, "")
    assert parse(Config, preset["model"], "") == expected
    training = parse(Training, preset["training"], "")
    assert {name: getattr(training, name) for name in PUBLISHED_TRAINING} == PUBLISHED_TRAINING
    assert (expected.layers, expected.heads, expected.dim, expected.patch) == (24, 16, 1024, 12)
    with torch.device("meta"):
        model = networks.build({"kind": "astrodino", "modality": "image", "model": PUBLISHED})
    count = networks.parameter_count(model)
    block = 12 * 1024**2 + 15 * 1024  # weights, biases, norms and layer scales
    assert count == 24 * block + 1024 * (3 * 144 + 1) + 1024 * (144 + 1 + 1) + 2 * 1024
    assert count == pytest.approx(307e6, rel=0.02)  # the paper's, of any ViT-L


def test_tokens_are_cls_and_patches_and_leave_registers_out(batch):
    model = network(registers=3)
    tokens = model.tokens(batch)
    assert tokens.shape == (6, 1 + 36, 32)
    assert torch.equal(model.embed(batch, "image"), tokens[:, 0])
    assert model.encode(batch["image"]["rgb"]).shape[1] == 1 + 3 + 36


def test_patches_are_those_of_a_convolution(batch, objective):
    model = objective.model
    kernel = model.embed_patch.weight.view(32, 3, 4, 4)
    expected = functional.conv2d(batch["image"]["rgb"], kernel, model.embed_patch.bias, stride=4).flatten(2).mT
    assert torch.allclose(model.embed_patch(model.patches(batch["image"]["rgb"])), expected, atol=1e-5)


def test_larger_images_are_cropped_at_the_centre_and_smaller_ones_refused(batch, objective):
    padded = of(functional.pad(batch["image"]["rgb"], (4, 4, 4, 4)))
    assert torch.equal(objective.model.embed(padded, "image"), objective.model.embed(batch, "image"))
    with pytest.raises(BadConfig, match="image_size: 24 is more than the 20 pixels"):
        objective.model.embed(of(batch["image"]["rgb"][..., :20, :20]), "image")


def test_positions_keep_their_place_when_resampled():
    assert torch.allclose(resample(6, 6), torch.eye(36), atol=1e-5)
    ramp = torch.arange(8.0).repeat(8, 1).flatten()
    inner = (resample(8, 4) @ ramp).view(4, 4)[:, 1:-1]
    assert torch.allclose(inner, torch.tensor([2.5, 4.5]).expand(4, 2), atol=0.05)  # centres of the coarse cells
    assert torch.allclose(resample(8, 3).sum(1), torch.ones(9), atol=1e-5)


@pytest.mark.parametrize("size", [8, 20])
def test_crops_are_unscaled_windows_that_hold_the_centre(objective, size):
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    images = torch.stack([y, x, torch.zeros(24, 24)]).expand(300, -1, -1, -1)
    crops = objective.crop(images, Draws(0, 0, 300), size)
    rows, columns = crops[:, 0], crops[:, 1]
    assert crops.shape == (300, 3, size, size)
    for axis in (rows, columns):  # every window spans `size` consecutive pixels and holds 11 and 12
        low, high = axis.flatten(1).min(1).values, axis.flatten(1).max(1).values
        assert (high - low == size - 1).all()
        assert (low <= 12).all() and (high >= 11).all()
        assert len(low.unique()) > 3  # placed at random
    orientation = torch.stack(
        [rows[:, 1, 0] - rows[:, 0, 0], rows[:, 0, 1] - rows[:, 0, 0], columns[:, 0, 1] - columns[:, 0, 0]]
    )
    assert len(orientation.T.unique(dim=0)) > 4  # flips and rotations


def test_sinkhorn_uses_prototypes_equally():
    q = sinkhorn(torch.randn(32, 8, generator=torch.Generator().manual_seed(0)), 0.3, iterations=50)
    assert torch.allclose(q.sum(1), torch.ones(32), atol=1e-4)
    assert torch.allclose(q.sum(0), torch.full((8,), 4.0), atol=1e-2)


def test_koleo_is_the_log_distance_to_the_nearest_neighbour():
    angle = torch.tensor([0.0, 0.3, 2.0, 2.5])
    points = 7 * torch.stack([angle.cos(), angle.sin()], 1)  # length does not count
    chords = [2 * math.sin(0.15)] * 2 + [2 * math.sin(0.25)] * 2
    assert koleo(points).item() == pytest.approx(-sum(map(math.log, chords)) / 4, rel=1e-4)


def test_loss_compares_every_target_with_every_other_view():
    target = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    views = [torch.tensor([[p, 1 - p]]).log() for p in (0.9, 0.8, 0.7)]
    pairs = [0.8, 0.7, 1 - 0.9, 1 - 0.7]  # target 0 with views 1, 2; target 1 with views 0, 2
    assert cross_view_loss(target, views).item() == pytest.approx(-sum(map(math.log, pairs)) / 4, rel=1e-5)


def test_teacher_follows_the_student_and_gets_no_gradient(objective, batch):
    loss, _ = objective(batch, Draws(0, 0, 6), 0.0)
    loss.backward()
    assert all(p.grad is None for p in [*objective.model.parameters(), *objective.teacher_head.parameters()])
    assert all(p.grad is not None for p in [*objective.student.parameters(), *objective.student_head.parameters()])
    with torch.no_grad():
        objective.student.norm.bias.add_(1)
    before = objective.model.norm.bias.clone()
    objective.after_step(0.0)
    assert torch.allclose(objective.model.norm.bias - before, torch.full((32,), 1 - TINY.momentum), atol=1e-6)
    objective.after_step(1.0)  # at the end the momentum is 1: nothing moves
    assert torch.allclose(objective.model.norm.bias - before, torch.full((32,), 1 - TINY.momentum), atol=1e-6)


def test_entropies_tell_the_two_kinds_of_collapse():
    uniform, one, spread = torch.full((8, 8), 0.125), torch.eye(8)[[0] * 8], torch.eye(8)
    signs = [tuple(round(v.item(), 3) for v in entropies(t).values()) for t in (uniform, one, spread)]
    assert signs == [(1, 1), (0, 0), (0, 1)]


@pytest.mark.parametrize("collapsed, expected", [(torch.eye(16)[3], 0), (torch.full((16,), 1 / 16), 1)])
def test_a_collapse_shows_in_the_metrics_of_a_step(objective, batch, monkeypatch, collapsed, expected):
    monkeypatch.setattr(objective, "assign", lambda logits, progress: collapsed.expand(len(logits), -1))
    metrics = objective(batch, Draws(0, 0, 6), 0.0)[1]
    assert [round(float(metrics[name]), 4) for name in ("teacher_entropy", "mean_entropy")] == [expected] * 2


def test_the_teachers_embeddings_of_one_view_are_watched(objective, batch):
    metrics = objective(batch, Draws(0, 0, 6), 0.0)[1]
    assert 0 < metrics["embedding_deviation"] <= 1 and 1 <= metrics["effective_rank"] <= 5
    same = of(batch["image"]["rgb"][:1].expand(6, -1, -1, -1) * 0 + 0.3)
    metrics = objective(same, Draws(0, 0, 6), 0.0)[1]
    assert metrics["embedding_deviation"] < 1e-3


@pytest.mark.parametrize("centring", ["centre", "sinkhorn"])
def test_training_tells_galaxies_apart(centring):
    objective = Objective(network(centring=centring, momentum=0.9))
    colour = torch.rand(32, 3, 1, 1, generator=torch.Generator().manual_seed(2))
    batch = of(colour.expand(-1, -1, 24, 24).contiguous())
    metrics = learn(objective, batch, 60, 2e-3)[-1]
    assert metrics["mean_entropy"] > 0.5
    assert metrics["teacher_entropy"] < 0.98
    embedding = functional.normalize(objective.model.embed(batch, "image"), dim=-1)
    nearest = (embedding @ embedding.T).fill_diagonal_(-1).argmax(1)
    assert (colour - colour[nearest]).abs().mean() < 0.6 * (colour - colour.roll(1, 0)).abs().mean()


def test_crops_follow_the_image_and_the_patch_unless_told():
    assert [(c.global_side, c.local_side) for c in (Config(), Config(image_size=96, patch=12))] == [(42, 24), (84, 48)]


def test_sizes_that_do_not_fit_the_patch_are_refused():
    with pytest.raises(BadConfig, match="local_size: 10 is not a multiple of patch 4"):
        parse(Config, {"image_size": 24, "patch": 4, "global_size": 20, "local_size": 10}, "")
    with pytest.raises(BadConfig, match="global_size: 28 is more than image_size 24"):
        parse(Config, {"image_size": 24, "patch": 4, "global_size": 28, "local_size": 8}, "")
    assert parse(Config, PUBLISHED, "").global_side == 144


def test_views_are_the_eight_flips_and_rotations(batch, objective):
    images = batch["image"]["rgb"]
    views = [objective.model.view(batch, view)["image"]["rgb"] for view in range(objective.model.views)]
    assert len(views) == 8 and torch.equal(views[0], images)
    turned = [torch.rot90(flipped, turns, (2, 3)) for flipped in (images, images.flip(3)) for turns in range(4)]
    for view in views:
        assert sum(torch.equal(view, other) for other in turned) == 1


def test_nights_change_crops_of_flux_and_leave_embedding_alone():
    flux = torch.rand(6, 3, 24, 24, generator=torch.Generator().manual_seed(1)) * 0.2
    plain, changed = (
        Objective(network(noise=0.0, brightness=0.0, nights=nights)) for nights in ((0, 0, 0), (0, 1, 0.5))
    )
    assert plain.inputs == {"image": ("rgb",)} and changed.inputs == {"image": ("flux",)}
    assert changed.model.inputs == {"image": ("rgb",)}
    side = changed.model.config.global_side
    of_flux = changed.crop(flux, Draws(0, 1, 6), side)
    torch.testing.assert_close(of_flux, plain.crop(arcsinh_rgb(flux), Draws(0, 1, 6), side))
    assert not torch.allclose(changed.crop(flux, Draws(0, 1, 6), side, 1.0), of_flux)
    loss, _ = changed(Batch({"image": {"flux": flux}}), Draws(0, 1, 6), 0.5)
    assert loss.isfinite()


def with_flux(count: int = 64) -> Batch:
    """Galaxies that differ in brightness, colour and size."""
    draw = torch.Generator().manual_seed(3)
    y, x = torch.meshgrid(*[torch.arange(24.0) - 11.5] * 2, indexing="ij")
    width = 1.5 + 2 * torch.rand(count, 1, 1, 1, generator=draw)
    light = torch.exp(torch.randn(count, 3, 1, 1, generator=draw))
    flux = light * torch.exp(-0.5 * (x**2 + y**2) / width**2) / width**2
    return Batch({"image": {"flux": flux, "rgb": arcsinh_rgb(flux)}})


def test_the_class_token_learns_to_say_photometry():
    batch = with_flux()
    objective = Objective(network(light=1.0))
    assert set(objective.inputs["image"]) == {"flux", "rgb"}
    objective.begin({}, {}, [batch])
    found = [metrics["light"].item() for metrics in learn(objective, batch, 80, 3e-3)]
    assert found[0] > 0.9 and found[-1] < 0.4
    of_teacher = objective.model.light.error(objective.model.embed(batch, "image"), batch["image"]["flux"])
    assert of_teacher < 0.5  # it is the teacher that is kept
    fluxes = objective.model.light.truth(batch["image"]["flux"])[:, :15]
    torch.testing.assert_close(fluxes.std(0, correction=0), torch.ones(15), atol=0.01, rtol=0.01)


def test_without_that_loss_nothing_is_added(objective, batch):
    assert objective.model.light is None and objective.inputs == {"image": ("rgb",)}
    assert "light" not in objective(batch, Draws(0, 0, 6), 0.0)[1]
    assert not any(name.startswith("light") for name in objective.model.state_dict())
