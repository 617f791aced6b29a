"""DINOv2's recipe around AstroDINO: hidden patches and their loss, Sinkhorn, centres, schedules, rates."""

import pytest
import torch

from skyloom.core.errors import BadConfig
from skyloom.models.astrodino import Config
from skyloom.models.astrodino.losses import patch_loss, sinkhorn
from skyloom.models.astrodino.masks import blocks, hidden_counts
from skyloom.models.astrodino.network import AstroDINO
from skyloom.models.astrodino.objective import Objective, rates
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.settings.section import parse
from skyloom.settings.training import Training
from skyloom.training import optimizer as optimizers

TINY = Config(
    image_size=24, patch=4, dim=16, layers=2, heads=2, global_size=20, local_size=8, local_crops=1, prototypes=16,
    head_hidden=16, head_dim=8, noise=0.0, brightness=0.0, light=0.0, koleo=0.0, ibot=1.0,
)  # fmt: skip


def objective(**changes) -> Objective:
    torch.manual_seed(0)
    return Objective(AstroDINO(TINY.model_copy(update=changes), ("image",)))


def images(count: int = 8) -> Batch:
    return Batch({"image": {"rgb": torch.rand(count, 3, 24, 24, generator=torch.Generator().manual_seed(1))}})


@pytest.mark.parametrize(("share", "views", "expected"), [(0.5, 2, 1), (1.0, 2, 2)])
def test_just_the_share_of_crops_has_hidden_patches(share, views, expected):
    counts = hidden_counts(Draws(0, 0, 4000), views, 144, share, (0.1, 0.5))
    assert ((counts > 0).sum(1) == expected).all()
    assert (counts[:, 0] > 0).float().mean() == pytest.approx(share, abs=0.03)  # neither crop is preferred
    hidden = counts[counts > 0]
    assert hidden.min() == 14 and hidden.max() == 72  # .1 and .5 of 144, rounded
    assert hidden.float().mean() / 144 == pytest.approx(0.3, abs=0.01)


def test_masks_have_exactly_the_number_asked_for_in_blocks():
    draws = Draws(0, 0, 300)
    counts = hidden_counts(draws, 2, 144, 0.5, (0.1, 0.5))
    mask = blocks(draws, counts, 12)
    assert torch.equal(mask.sum(2), counts)
    grid = mask[counts > 0].view(-1, 12, 12).float()
    alike = (grid[:, :, 1:] == grid[:, :, :-1]).float().mean()
    share = grid.mean((1, 2))
    at_random = (share**2 + (1 - share) ** 2).mean()
    assert alike > at_random + 0.2  # neighbours share their fate
    everywhere = mask.float().mean((0, 1))
    assert everywhere.min() > 0 and torch.allclose(everywhere, everywhere.flip(0), atol=0.06)  # corners least often


def test_the_same_galaxy_has_the_same_mask_on_any_process():
    whole = objective().hide(Draws(0, 5, 8)).view(2, 8, -1)
    part = objective().hide(Draws(0, 5, 8, slice(1, None, 2))).view(2, 4, -1)
    assert torch.equal(part, whole[:, 1::2])


def test_patch_loss_is_the_mean_over_hidden_patches_of_an_image():
    mask = torch.tensor([[True, True, False], [False, False, False], [False, True, False]])
    target = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    logits = torch.tensor([[0.3, -1.0], [2.0, 0.0], [1.0, 4.0]]).log_softmax(-1)
    each = -(target * logits).sum(1)
    assert patch_loss(target, logits, mask).item() == pytest.approx(((each[0] + each[1]) / 2 + each[2]).item() / 3)


def test_only_hidden_patches_enter_the_loss_and_the_teacher_gets_no_gradient():
    training = objective()
    taught = torch.randn(4, 26, 16, requires_grad=True)
    learnt = torch.randn(4, 26, 16, requires_grad=True)
    hidden = torch.zeros(4, 25, dtype=torch.bool)
    hidden[0, 3:9] = hidden[2, 20] = True
    training.of_patches(taught, learnt, hidden, 0.0, False)[0].backward()
    touched = learnt.grad.abs().sum(2) > 0
    assert taught.grad is None and torch.equal(touched[:, 1:], hidden) and not touched[:, 0].any()
    loss, metrics = training(images(), Draws(0, 0, 8), 0.5)
    loss.backward()
    for student, teacher in training.twins:
        assert all(p.grad is not None for p in student.parameters() if p is not training.student.blind)
        assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert training.student.blind.grad.abs().sum() > 0
    assert loss.item() == pytest.approx((metrics["dino"] + metrics["ibot"]).item(), rel=1e-6)


def test_what_is_hidden_does_not_reach_the_student():
    network = objective().student.eval()
    rgb = images()["image"]["rgb"]
    hidden = torch.rand(8, 36, generator=torch.Generator().manual_seed(3)) < 0.4
    pixels = hidden.view(8, 1, 6, 6).repeat_interleave(4, 2).repeat_interleave(4, 3)
    other = torch.where(pixels, 1 - rgb, rgb)
    assert torch.equal(network.encode(rgb, hidden), network.encode(other, hidden))
    assert not torch.allclose(network.encode(rgb), network.encode(other), atol=1e-3)


@pytest.mark.parametrize("head", ["shared", "own"])
def test_heads_are_shared_or_not_and_follow_the_student(head):
    training = objective(ibot_head=head)
    assert len(training.twins) == (3 if head == "own" else 2)
    training(images(), Draws(0, 0, 8), 0.0)[0].backward()
    for student, teacher in training.twins:
        with torch.no_grad():
            for parameter in student.parameters():
                parameter.add_(1)
        before = [parameter.clone() for parameter in teacher.parameters()]
        own = [parameter.clone() for parameter in student.parameters()]
    training.after_step(0.0)
    for old, new, parameter in zip(before, teacher.parameters(), own, strict=True):
        assert torch.allclose(new, old + (1 - TINY.momentum) * (parameter - old), atol=1e-6)


def test_sinkhorn_is_that_of_a_matrix_of_products():
    """Rows and columns of r_i M_ij c_j: of exp(a_i + b_j) nothing is left but the uniform assignment."""
    generator = torch.Generator().manual_seed(0)
    outer = torch.randn(12, 1, generator=generator) + torch.randn(1, 5, generator=generator)
    assert torch.allclose(sinkhorn(outer, 0.5), torch.full((12, 5), 0.2), atol=1e-5)
    q = sinkhorn(torch.randn(20, 5, generator=generator), 0.3, iterations=200)
    assert torch.allclose(q.sum(1), torch.ones(20), atol=1e-5)
    assert torch.allclose(q.sum(0), torch.full((5,), 4.0), atol=1e-3)


def test_centres_move_once_a_step_towards_the_mean_of_all_parts():
    training = objective(centring="centre")
    first, second = torch.randn(6, 16), torch.randn(2, 16)
    for logits in (first, second):  # two parts of a step
        assert torch.allclose(training.assign(logits, 0.0), (logits / TINY.teacher_temperature).softmax(-1))
    training.assign(first + 1, 0.0, "patch_centre")
    training.after_step(0.0)
    mean = torch.cat([first, second]).mean(0, keepdim=True)
    assert torch.allclose(training.centre, 0.1 * mean, atol=1e-6)
    assert torch.allclose(training.patch_centre, 0.1 * (first + 1).mean(0, keepdim=True), atol=1e-6)
    expected = ((first - 0.1 * mean) / TINY.teacher_temperature).softmax(-1)
    assert torch.allclose(training.assign(first, 0.0), expected, atol=1e-5)
    assert not training.waiting or training.waiting["centre"][1] == 6


def test_schedules_begin_and_end_where_they_should():
    training = objective(centring="centre", teacher_temperature=0.04, teacher_temperature_end=0.07, teacher_warmup=0.5)
    logits = torch.randn(3, 16)
    for progress, temperature in ((0.0, 0.04), (0.25, 0.055), (0.5, 0.07), (1.0, 0.07)):
        assert torch.allclose(training.assign(logits, progress), (logits / temperature).softmax(-1), atol=1e-6)
    settings = Training(steps=100, warmup=0, weight_decay=0.001, weight_decay_end=0.01)
    adamw = optimizers.optimizer_for(training, settings)
    for step, decay in ((0, 0.001), (50, 0.0055), (100, 0.01)):
        optimizers.schedule(adamw, settings, step)
        found = {group["weight_decay"] for group in adamw.param_groups}
        assert sorted(found) == pytest.approx([0, decay])


def test_early_layers_learn_slower_and_prototypes_wait():
    config = TINY.model_copy(update={"layer_decay": 0.5, "patch_rate": 0.2, "prototypes_still": 0.1})
    factors = rates(config)
    names = ("student.position", "student.embed_patch.weight", "student.blocks.0.norm_mlp.bias", "student.blocks.1.mlp")
    found = [optimizers.factor_of(name, factors) for name in (*names, "student.norm.weight", "student_head.mlp")]
    assert found == pytest.approx([0.125, 0.025, 0.25, 0.5, 1, 1]) and rates(TINY) == {}
    training = objective(prototypes_still=0.1)
    for progress, moves in ((0.05, False), (0.1, True)):
        training.zero_grad()
        training(images(), Draws(0, 0, 8), progress)[0].backward()
        assert bool(training.student_head.prototypes.grad.abs().sum() > 0) is moves


def test_drop_path_grows_with_depth_or_is_the_same_in_every_block():
    for uniform, expected in ((False, [0, 0.3]), (True, [0.3, 0.3])):
        network = objective(drop_path=0.3, drop_path_uniform=uniform).student
        assert [block.after_mlp[-1].rate for block in network.blocks] == pytest.approx(expected)


@pytest.mark.parametrize(("kind", "width"), [("cls", 16), ("patches", 16), ("both", 32)])
def test_embeddings_are_cls_patches_or_both(kind, width):
    network = objective(embedding=kind, registers=1).model
    tokens = network.tokens(images())
    expected = {"cls": tokens[:, 0], "patches": tokens[:, 1:].mean(1)}
    expected["both"] = torch.cat([expected["cls"], expected["patches"]], 1)
    assert torch.equal(network.embed(images(), "image"), expected[kind]) and expected[kind].shape == (8, width)


def test_shares_that_are_none_are_refused():
    with pytest.raises(BadConfig, match=r"hidden_ratio: \[0.6, 0.5\] is not allowed"):
        parse(Config, {"hidden_ratio": [0.6, 0.5]}, "")
