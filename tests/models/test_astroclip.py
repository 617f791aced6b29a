import math

import pytest
import torch
from torch.nn import functional

from skyloom.models import networks
from skyloom.models.astroclip import Config
from skyloom.models.astroclip.losses import FAR, info_nce, sigmoid
from skyloom.models.astroclip.network import AstroCLIP
from skyloom.models.astroclip.objective import Objective
from skyloom.nn.batch import Batch
from skyloom.nn.blocks import AttentionPool
from skyloom.nn.draws import Draws

IMAGE = {
    "kind": "astrodino",
    "modality": "image",
    "model": {"image_size": 24, "patch": 4, "dim": 32, "layers": 1, "global_size": 20, "local_size": 8},
}
SPECTRUM = {
    "kind": "specformer",
    "modality": "spectrum",
    "model": {"grid": {"pixels": 400}, "input": "pixels", "size": 40, "stride": 40, "dim": 24, "layers": 1, "kept": 0},
}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(1)
    flux = torch.randn(5, 400, generator=generator)
    spectra = {"flux": flux, "ivar": torch.ones(5, 400)}
    images = {"rgb": torch.rand(5, 3, 24, 24, generator=generator)}
    return Batch({"spectrum": spectra, "image": images, "lsst": {"values": flux[:, :6]}})


def network(**changes) -> AstroCLIP:
    torch.manual_seed(0)
    return AstroCLIP(Config(dim=16, **changes), {"image": networks.build(IMAGE), "spectrum": networks.build(SPECTRUM)})


def test_published_heads_have_the_published_shape():
    with torch.device("meta"):
        pool = AttentionPool(1024, 1024, 4, 1024)
    # attention 4 d^2, MLP 8 d^2
    assert networks.parameter_count(pool) == pytest.approx(12 * 1024**2, rel=0.01)
    assert Config().logit_scale == 15.5


def test_attention_is_that_of_the_pooling_query(batch):
    model = network()
    for modality, places in (("image", (1, 36)), ("spectrum", (1, 10))):
        weights = model.attention(batch, modality)
        tokens, pool = model.tokens(batch, modality), model.pools[modality]
        assert weights.shape == (5, 4, tokens.shape[1]) and torch.allclose(weights.sum(-1), torch.ones(5, 4))
        values = pool.attention.kv(tokens).chunk(2, -1)[1].unflatten(-1, (4, -1)).transpose(1, 2)
        found = pool.attention.out((weights[:, :, None] @ values).transpose(1, 2).flatten(2))
        assert torch.allclose(found, pool.attention(pool.query.expand(5, -1, -1), tokens), atol=1e-5)
        assert (model.places(modality).first, model.places(modality).count) == places


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
    assert cached["image"]["tokens"].shape == (5, 3, 37, 32)
    assert cached["spectrum"]["tokens"].shape == (5, 1, 11, 24)  # spectra have one view
    assert objective(Batch(cached), Draws(0, 0, 5), 0.0)[0].item() == live.item()


def test_every_view_of_an_image_is_used_in_training_and_the_first_one_in_evaluation(batch):
    objective = Objective(network(image_views=8))
    tokens = torch.arange(8.0).view(1, 8, 1, 1).expand(5, 8, 37, 32)
    shown = Batch({"image": {"tokens": tokens}, "spectrum": objective.precompute(batch)["spectrum"]})
    seen = []
    objective.augment = lambda tokens, draws: seen.append(tokens[:, 0, 0].tolist()) or tokens
    for step in range(30):
        objective.train()(shown, Draws(0, step, 5), 0.0)
    assert {view for views in seen[::2] for view in views} == set(range(8))
    objective.eval()(shown, Draws(0, 0, 5), 0.0)
    assert seen[-2] == [0.0] * 5


def test_augmentations_act_in_training_only():
    objective = Objective(network(token_dropout=0.5, token_noise=0.1, dropout=0.2))
    tokens = torch.ones(5, 20, 24)
    assert objective.train().augment(tokens, Draws(0, 0, 5)).shape == (5, 10, 24)
    assert torch.equal(objective.eval().augment(tokens, Draws(0, 0, 5)), tokens)


def test_alignment_learns_shared_content():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    shared = torch.randn(64, 1, 4, generator=generator)
    image = (shared @ torch.randn(4, 32, generator=generator))[:, None].expand(-1, 1, 6, -1)
    spectrum = (shared @ torch.randn(4, 24, generator=generator))[:, None].expand(-1, 1, 9, -1)

    def cached(rows):
        return Batch({"image": {"tokens": image[rows]}, "spectrum": {"tokens": spectrum[rows]}})

    objective = Objective(network())
    optimizer = torch.optim.AdamW(objective.model.pools.parameters(), 2e-3)
    for step in range(120):
        loss, metrics = objective(cached(slice(48)), Draws(0, step, 48), 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert metrics["top1"] > 0.8
    held_out = objective.eval()(cached(slice(48, None)), Draws(0, 0, 16), 0.0)[1]
    assert held_out["top1"] > 0.4  # chance is 1/16


def three() -> AstroCLIP:
    """Image, spectrum and photometry; the last by a PCA."""
    torch.manual_seed(0)
    pca = networks.build({"kind": "pca", "modality": "lsst", "model": {"components": 3}})
    pca.decompose(torch.randn(50, 6))
    return AstroCLIP(
        Config(dim=16), {"spectrum": networks.build(SPECTRUM), "lsst": pca, "image": networks.build(IMAGE)}
    )


def test_three_modalities_are_aligned_two_by_two(batch):
    model = three()
    objective = Objective(model).eval()
    embedded = [model.embed(batch, m) for m in ("image", "lsst", "spectrum")]
    assert [tuple(e.shape) for e in embedded] == [(5, 16)] * 3
    pairs = [info_nce(embedded[a], embedded[b], 15.5)[0] for a, b in ((0, 1), (0, 2), (1, 2))]
    loss, metrics = objective(batch, Draws(0, 0, 5), 0.0)
    assert loss.item() == pytest.approx(torch.stack(pairs).mean().item(), rel=1e-6)
    objective.train()(batch, Draws(0, 0, 5), 0.0)[0].backward()
    # not of the query: where there is one token (photometry), what is asked for changes nothing
    assert all(pool.attention.kv.weight.grad.any() for pool in model.pools.values())


def test_a_pair_counts_only_galaxies_that_have_both(batch):
    model = three()
    image, lsst, spectrum = (torch.tensor(row, dtype=torch.bool) for row in ([1, 1, 1, 0, 1], [1, 1, 0, 0, 0], [1] * 5))
    some = Batch(batch.data, {"image": image, "lsst": lsst, "spectrum": spectrum})
    e = {m: model.embed(batch, m) for m in model.modalities}
    expected = [
        info_nce(e[a][rows], e[b][rows], 15.5)[0]
        for a, b, rows in (("image", "lsst", [0, 1]), ("image", "spectrum", [0, 1, 2, 4]), ("lsst", "spectrum", [0, 1]))
    ]
    loss = Objective(model).eval()(some, Draws(0, 0, 5), 0.0)[0]
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-6)


def test_a_batch_without_any_pair_has_no_loss_but_a_gradient(batch):
    alone = torch.zeros(5, dtype=torch.bool)
    objective = Objective(three())
    loss, metrics = objective(
        Batch(batch.data, {"image": alone, "lsst": alone, "spectrum": ~alone}), Draws(0, 0, 5), 0.0
    )
    loss.backward()
    assert loss.item() == 0 and metrics["top1"] == 0
    assert all(p.grad is not None and not p.grad.any() for p in objective.model.pools.parameters())
