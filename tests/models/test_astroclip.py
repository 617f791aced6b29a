import dataclasses
import math

import pytest
import torch
import yaml
from torch.nn import functional

from skyloom.core.errors import BadConfig
from skyloom.models import networks
from skyloom.models.astroclip import (
    PUBLIC_CODE,
    PUBLISHED,
    PUBLISHED_TRAINING,
    PUBLISHED_V1,
    PUBLISHED_V1_TRAINING,
    Config,
)
from skyloom.models.astroclip.losses import FAR, NEAR, info_nce, sigmoid, strangers
from skyloom.models.astroclip.network import AstroCLIP
from skyloom.models.astroclip.objective import Objective
from skyloom.models.moco import PUBLISHED as MOCO_PUBLISHED
from skyloom.models.specformer import PUBLISHED as SPECFORMER_PUBLISHED
from skyloom.nn.batch import Batch
from skyloom.nn.blocks import AttentionPool
from skyloom.nn.draws import Draws
from skyloom.settings.section import parse
from tests.paths import ROOT

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
SMALL_MOCO = {"image_size": 16, "blocks": [1, 1], "width": 4, "dim": 16, "queue": 4}


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


# The options


def with_targets(batch: Batch, first: int = 0) -> Batch:
    return dataclasses.replace(batch, targetid=torch.arange(first, first + len(batch)))


def test_presets_are_the_published_networks_in_their_trainings():
    """As the papers' tables have them: 512-d, logit scale 15.5; 128-d, 512 pairs, 15,000 iterations."""
    for name, published, training in (
        ("astroclip", PUBLISHED, {**PUBLISHED_TRAINING, "steps": 62000}),  # 100 epochs of 0.8 x 197,976 pairs
        ("astroclip_v1", PUBLISHED_V1, PUBLISHED_V1_TRAINING),
    ):
        entry = yaml.safe_load((ROOT / f"resources/presets/{name}.yaml").read_text())["models"][name]
        assert parse(Config, entry["model"], name) == parse(Config, published, name)
        assert set(published) <= set(entry["model"])  # every value is written down
        assert {key: entry["training"][key] for key in training} == training
    journal, first, code = (Config(**values) for values in (PUBLISHED, PUBLISHED_V1, PUBLIC_CODE))
    assert (journal.dim, journal.heads, journal.logit_scale, journal.temperature) == (512, 4, 15.5, "fixed")
    assert journal.image_positions and not code.image_positions and not code.image_residual and code.dim == 1024
    assert (first.dim, first.heads, first.queue, first.temperature, first.image_views) == (128, 4, 512, "fixed", 8)
    assert first.heads_by == {"image": "dense"} and not first.unfrozen
    assert 100 * 0.8 * 197_976 / PUBLISHED_TRAINING["batch_size"] == pytest.approx(62000, rel=0.01)


def test_encoders_of_the_presets_are_the_published_ones():
    presets = {n: yaml.safe_load((ROOT / f"resources/presets/{n}.yaml").read_text()) for n in ("astroclip_v1", "moco")}
    encoders = presets["astroclip_v1"]["models"]
    assert encoders["moco"]["model"] == presets["moco"]["models"]["moco"]["model"]
    assert {k: encoders["specformer"]["model"][k] for k in SPECFORMER_PUBLISHED} == SPECFORMER_PUBLISHED
    assert (
        encoders["specformer"]["model"]["mask_segments"] == 6 and encoders["specformer"]["model"]["mask_length"] == 30
    )
    assert presets["astroclip_v1"]["models"]["astroclip_v1"]["backbones"] == {"image": "moco", "spectrum": "specformer"}


def test_the_first_version_trains_the_published_number_of_weights():
    """362k of the spectrum's head (AstroCLIP v1, 3.2), 4.5M dense ones of the image's ResNet-50."""
    with torch.device("meta"):
        spectrum = networks.build({"kind": "specformer", "modality": "spectrum", "model": SPECFORMER_PUBLISHED})
        image = networks.build({"kind": "moco", "modality": "image", "model": MOCO_PUBLISHED})
        model = AstroCLIP(Config(**PUBLISHED_V1), {"image": image, "spectrum": spectrum})
    trained = {m: sum(p.numel() for p in pool.parameters() if p.requires_grad) for m, pool in model.pools.items()}
    assert trained["spectrum"] == 361_984 and round(trained["spectrum"], -3) == 362_000
    assert trained["image"] == 4_458_624 and round(trained["image"] / 1e6, 1) == 4.5
    assert not any(p.requires_grad for p in model.backbones.parameters())


def test_a_dense_head_starts_as_the_head_of_its_encoder():
    torch.manual_seed(0)
    moco = networks.build({"kind": "moco", "modality": "image", "model": SMALL_MOCO})
    flux = 0.1 * torch.randn(5, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    backbones = {"image": moco, "spectrum": networks.build(SPECTRUM)}
    model = AstroCLIP(Config(dim=16, heads_by={"image": "dense"}), backbones).eval()
    batch = Batch({"image": {"flux": flux}})
    assert torch.allclose(model.embed(batch, "image"), moco.eval().project(moco.images(batch)), atol=1e-5)
    assert model.attending == ("spectrum",)
    other = AstroCLIP(Config(dim=8, heads_by={"image": "dense"}), backbones)  # not the length of MoCo's keys
    assert other.embed(batch, "image").shape == (5, 8)


def test_batch_norms_of_a_frozen_encoder_stay():
    torch.manual_seed(0)
    moco = networks.build({"kind": "moco", "modality": "image", "model": SMALL_MOCO})
    model = AstroCLIP(Config(dim=16), {"image": moco, "spectrum": networks.build(SPECTRUM)})
    before = {name: tensor.clone() for name, tensor in model.backbones.state_dict().items()}
    model.train().embed(Batch({"image": {"flux": torch.randn(5, 3, 24, 24)}}), "image")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.backbones.state_dict().items())


def test_an_image_head_of_the_public_code_does_not_know_where_patches_are(batch):
    ours, theirs = network(), network(image_positions=False)
    with torch.no_grad():
        ours.backbones["image"].position.normal_()  # as a trained one, and more
    theirs.load_state_dict(ours.state_dict())
    swapped = batch["image"]["rgb"].roll((8, 4), (2, 3))  # whole patches
    moved = batch.changed("image", rgb=swapped)
    assert torch.allclose(theirs.embed(batch, "image"), theirs.embed(moved, "image"), atol=1e-5)
    assert not torch.allclose(ours.embed(batch, "image"), ours.embed(moved, "image"), atol=1e-3)
    assert theirs.tokens(batch, "image").shape[1] == 36 and theirs.places("image").first == 0
    assert torch.equal(ours.embed(batch, "spectrum"), theirs.embed(batch, "spectrum"))


def test_without_its_residual_an_image_head_says_what_its_mlp_says(batch):
    model = network(image_residual=False)
    pool, tokens = model.pools["image"], model.tokens(batch, "image")
    attended = pool.norm(pool.attention(pool.query.expand(5, -1, -1), tokens))[:, 0]
    assert torch.allclose(pool(tokens), pool.mlp(attended), atol=1e-6)
    assert model.pools["spectrum"].residual


def test_the_sigmoid_loss_has_its_closed_form():
    a = torch.eye(3)
    loss, _ = sigmoid(a, a, 4.0, -1.0)
    right, wrong = math.log1p(math.exp(-3.0)), math.log1p(math.exp(-1.0))  # logits 3 where alike, -1 elsewhere
    assert loss.item() == pytest.approx(right + 2 * wrong, rel=1e-5)


def test_a_learned_temperature_learns_and_no_farther_than_100(batch):
    objective = Objective(network(temperature="learned")).train()
    objective(batch, Draws(0, 0, 5), 0.0)[0].backward()
    assert objective.log_scale.grad.item() != 0 and objective.scale.item() == pytest.approx(15.5, rel=1e-5)
    with torch.no_grad():
        objective.log_scale.fill_(10.0)
    assert objective.scale.item() == 100
    objective = Objective(network(loss="sigmoid")).train()
    objective(batch, Draws(0, 0, 5), 0.0)[0].backward()
    assert objective.bias.grad.item() != 0 and not hasattr(objective, "log_scale")


def test_a_queue_holds_pairs_that_are_told_from_but_not_the_same_galaxy(batch):
    objective = Objective(network(queue=8)).train()
    model = objective.model
    first = objective(with_targets(batch), Draws(0, 0, 5), 0.0)[0]
    image, spectrum = (model.embed(batch, m) for m in ("image", "spectrum"))
    assert first.item() == pytest.approx(info_nce(image, spectrum, 15.5)[0].item(), rel=1e-5)  # nothing waits yet
    objective.after_step(0.0)
    held = objective.queue[:5].unflatten(1, (2, 16))
    assert torch.allclose(held, torch.stack([image, spectrum], 1), atol=1e-6) and objective.galaxies[:5].sum() == 10
    same = objective(with_targets(batch), Draws(0, 1, 5), 0.0)[0]
    beyond = torch.where(torch.eye(5, dtype=torch.bool), FAR, image @ spectrum.T)
    beyond = (beyond, torch.where(torch.eye(5, dtype=torch.bool), FAR, spectrum @ image.T))
    assert same.item() == pytest.approx(info_nce(image, spectrum, 15.5, beyond)[0].item(), rel=1e-5)
    others = objective(with_targets(batch, 50), Draws(0, 1, 5), 0.0)[0]
    assert others > same > first  # twins of theirs wait under another name
    assert objective.eval()(with_targets(batch), Draws(0, 1, 5), 0.0)[0].item() == pytest.approx(first.item(), rel=1e-6)


def test_what_lacks_a_modality_is_not_told_from(batch):
    objective = Objective(network(queue=8)).train()
    lacking = torch.tensor([True, True, False, True, True])
    some = dataclasses.replace(with_targets(batch, 50), present={"image": lacking})
    objective(some, Draws(0, 0, 5), 0.0)
    objective.after_step(0.0)
    assert not objective.queue.unflatten(1, (2, 16))[2, 0].any() and objective.queue.unflatten(1, (2, 16))[2, 1].any()
    image, spectrum = (objective.model.embed(batch, m) for m in ("image", "spectrum"))
    beyond = (image @ spectrum.T, (spectrum @ image.T).index_fill(1, torch.tensor([2]), FAR))
    found = objective(with_targets(batch), Draws(0, 1, 5), 0.0)[0]
    assert found.item() == pytest.approx(info_nce(image, spectrum, 15.5, beyond)[0].item(), rel=1e-5)


def test_only_the_blocks_that_are_named_learn(batch):
    objective = Objective(network(unfrozen={"spectrum": 1})).train()
    objective(batch, Draws(0, 0, 5), 0.0)[0].backward()
    learnt = {n for n, p in objective.model.backbones.named_parameters() if p.grad is not None and p.grad.any()}
    assert learnt and all(name.startswith("spectrum.blocks.0.") for name in learnt)
    assert objective.rates == {"model.backbones": 0.1} and not hasattr(objective, "precompute")
    assert not any(name.startswith("model.backbones.spectrum.blocks.0") for name in objective.frozen)
    assert any(name.startswith("model.backbones.image.blocks.0") for name in objective.frozen)
    with pytest.raises(BadConfig, match="2 is not allowed; the encoder has 1 blocks"):
        network(unfrozen={"image": 2})


def test_views_that_are_not_held_are_those_that_are(batch):
    objective = Objective(network(image_views=8)).train()
    held = Batch(objective.precompute(batch))
    live, cached = (objective(b, Draws(0, 3, 5), 0.0)[0].item() for b in (batch, held))
    assert live == pytest.approx(cached, rel=1e-5)


def test_neighbours_are_no_strangers_where_nothing_changed():
    """With own embeddings of length 1 both distributions are the same at the scale that the scatter implies."""
    own = functional.normalize(torch.randn(40, 6, generator=torch.Generator().manual_seed(1)), dim=1)
    distance = torch.cdist(own, own).square()[~torch.eye(40, dtype=torch.bool)]
    scale = 2 / (NEAR * distance.std().item())  # |x - y|^2 = 2 - 2 x y
    assert strangers(own, own, scale).item() == pytest.approx(0, abs=1e-5)
    turned = own @ torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(2)))[0]
    assert strangers(turned, own, scale).item() == pytest.approx(0, abs=1e-5)
    assert strangers(own.flip(0), own, scale) > 0.5
    assert strangers(own[:2], own[:2], scale) == 0


def test_neighbours_of_an_encoder_are_kept(batch):
    objective = Objective(network(keep={"spectrum": 2.0}))
    objective.begin({}, {}, [batch])
    own = objective.model.backbones["spectrum"].embed(batch, "spectrum")
    assert torch.allclose(objective.owns["spectrum"](own).std(0), torch.ones(own.shape[1]), atol=1e-3)
    there = torch.tensor([True, True, True, False, True])
    some = dataclasses.replace(batch, present={"spectrum": there})
    loss, metrics = objective.eval()(some, Draws(0, 0, 5), 0.0)
    e = {m: objective.model.embed(batch, m)[there] for m in ("image", "spectrum")}
    expected = strangers(e["spectrum"], objective.owns["spectrum"](own)[there], 15.5)
    assert metrics["strangers_spectrum"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert loss.item() == pytest.approx((info_nce(e["image"], e["spectrum"], 15.5)[0] + 2 * expected).item(), rel=1e-4)
    held = Batch(objective.precompute(batch), some.present)
    assert objective(held, Draws(0, 0, 5), 0.0)[0].item() == pytest.approx(loss.item(), rel=1e-5)
    expected.backward()
    assert objective.model.pools["spectrum"].attention.kv.weight.grad.any()
