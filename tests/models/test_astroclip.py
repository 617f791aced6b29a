import math

import pytest
import torch
from torch.nn import functional

from skyloom import models
from skyloom.models.astroclip import network as astroclip
from skyloom.models.astroclip.network import AstroCLIP, Config, Objective, dihedral, info_nce
from skyloom.nn.draws import Draws

IMAGE = {
    "kind": "astrodino",
    "model": {"image_size": 24, "patch": 4, "dim": 32, "layers": 1, "global_size": 20, "local_size": 8},
}
SPECTRUM = {"kind": "specformer", "model": {"pixels": 400, "dim": 24, "layers": 1}}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    flux = torch.randn(5, 400, generator=generator)
    return {"flux": flux, "ivar": torch.ones(5, 400), "rgb": torch.rand(5, 3, 24, 24, generator=generator)}


def network(**changes) -> AstroCLIP:
    torch.manual_seed(0)
    return AstroCLIP(Config(dim=16, **changes), {"image": models.build(IMAGE), "spectrum": models.build(SPECTRUM)})


def test_published_heads_have_the_published_shape():
    with torch.device("meta"):
        pool = astroclip.AttentionPool(1024, 1024, 4, 1024)
    # attention 4 d^2, MLP 8 d^2
    assert models.parameter_count(pool) == pytest.approx(12 * 1024**2, rel=0.01)
    assert Config().logit_scale == 15.5


@pytest.mark.parametrize("modality", ["image", "spectrum"])
def test_embeddings_have_length_one(batch, modality):
    embedding = network().embed(batch, modality)
    assert embedding.shape == (5, 16)
    assert torch.allclose(embedding.norm(dim=-1), torch.ones(5), atol=1e-5)


def test_loss_of_perfect_pairs_has_its_closed_form():
    a = torch.eye(7)
    loss, similarity = info_nce(a, a, 3.0)
    assert loss.item() == pytest.approx(math.log(math.exp(3) + 6) - 3, rel=1e-5)
    assert torch.equal(similarity, a)


def test_loss_is_symmetric():
    a, b = functional.normalize(torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert info_nce(a, b, 15.5)[0].item() == pytest.approx(info_nce(b, a, 15.5)[0].item(), rel=1e-6)


def test_only_heads_are_trained(batch):
    model = network()
    objective = Objective(model).train()
    objective(batch, Draws(0, 0, 5), 0.0)[0].backward()
    assert all(p.grad is None for p in model.backbones.parameters())
    assert all(
        p.grad is not None and p.grad.any() for n, p in model.pools.named_parameters() if not n.endswith("q.bias")
    )


def test_precomputed_tokens_give_the_loss_of_the_raw_batch(batch):
    objective = Objective(network(image_views=3)).eval()
    live, _ = objective(batch, Draws(0, 0, 5), 0.0)
    cached = objective.precompute(batch)
    assert cached["image"].shape == (5, 3, 37, 32)
    assert objective(cached, Draws(0, 0, 5), 0.0)[0].item() == live.item()


def test_views_are_the_eight_flips_and_rotations(batch):
    views = [dihedral(batch["rgb"], view) for view in range(8)]
    assert torch.equal(views[0], batch["rgb"])
    turned = [
        torch.rot90(flipped, turns, (2, 3)) for flipped in (batch["rgb"], batch["rgb"].flip(3)) for turns in range(4)
    ]
    for view in views:
        assert sum(torch.equal(view, other) for other in turned) == 1


def test_augmentations_act_in_training_only():
    objective = Objective(network(token_dropout=0.5, token_noise=0.1, dropout=0.2))
    tokens = torch.ones(5, 20, 24)
    assert objective.train().augment(tokens, Draws(0, 0, 5)).shape == (5, 10, 24)
    assert torch.equal(objective.eval().augment(tokens, Draws(0, 0, 5)), tokens)


def test_alignment_learns_shared_content():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    shared = torch.randn(64, 1, 4, generator=generator)
    cached = {
        "image": (shared @ torch.randn(4, 32, generator=generator))[:, None].expand(-1, 1, 6, -1),
        "spectrum": (shared @ torch.randn(4, 24, generator=generator)).expand(-1, 9, -1),
    }
    objective = Objective(network())
    optimizer = torch.optim.AdamW(objective.model.pools.parameters(), 2e-3)
    for step in range(120):
        loss, metrics = objective({name: t[:48] for name, t in cached.items()}, Draws(0, step, 48), 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert metrics["top1"] > 0.8
    held_out = objective.eval()({name: t[48:] for name, t in cached.items()}, Draws(0, 0, 16), 0.0)[1]
    assert held_out["top1"] > 0.4  # chance is 1/16
