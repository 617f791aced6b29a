"""MoCo: the published shape, what the loss compares, the queue, the running mean, what is learned."""

import math
from types import SimpleNamespace

import pytest
import torch
import yaml
from torch.nn import functional

from skyloom.core.errors import BadConfig
from skyloom.models import networks
from skyloom.models.moco import PUBLISHED, Config, check
from skyloom.models.moco.augment import observe
from skyloom.models.moco.network import MoCo
from skyloom.models.moco.objective import Objective, contrast
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.nn.queue import NOBODY
from skyloom.settings.models import read_model
from skyloom.settings.section import parse
from tests.paths import ROOT

SMALL = {"image_size": 16, "blocks": [1, 1], "width": 4, "dim": 8, "queue": 20, "augment": {"jitter": 1}}


def network(**changes) -> MoCo:
    torch.manual_seed(0)
    return networks.build({"kind": "moco", "modality": "image", "model": SMALL | changes})


def galaxies(count: int = 8, seed: int = 1, size: int = 24, first: int = 100) -> Batch:
    """Round galaxies of several colours and sizes, in noise."""
    g = torch.Generator().manual_seed(seed)
    place = torch.arange(size) - (size - 1) / 2
    width = 1.5 + 2 * torch.rand(count, 1, 1, 1, generator=g)
    light = torch.exp(-(place[:, None].square() + place.square()) / (2 * width.square()))
    colour = torch.exp(1.5 * torch.randn(count, 3, 1, 1, generator=g)) / 5
    flux = colour * light + 0.005 * torch.randn(count, 3, size, size, generator=g)
    ebv = 0.03 + 0.02 * torch.rand(count, generator=g)
    return Batch({"image": {"flux": flux}}, labels={"ebv": ebv}, targetid=torch.arange(first, first + count))


def weights(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def published() -> MoCo:
    with torch.device("meta"):
        return networks.build({"kind": "moco", "modality": "image", "model": PUBLISHED})


def test_the_published_shape_is_a_resnet_50_with_a_dense_head():
    model = published()
    assert weights(model.encoder) == 23_508_032  # torchvision's resnet50 has 25,557,032 with 1000 classes
    assert weights(model.encoder) + 2048 * 1000 + 1000 == 25_557_032
    assert weights(model.head) == 4_458_624  # AstroCLIP v1: "4.5M"
    assert weights(model) == 27_966_656  # "28M"
    maps = model.maps(torch.zeros(1, 3, 224, 224, device="meta"))
    assert maps.shape == (1, 2048, 7, 7)
    eighteen = parse(Config, {"blocks": [2, 2, 2, 2], "width": 64}, "model")
    assert (
        weights(MoCo(eighteen, ("image",)).encoder) == 11_176_512
    )  # resnet18 without its classes: 11,689,512 - 513,000


def test_the_preset_is_what_is_published():
    preset = yaml.safe_load((ROOT / "resources/presets/moco.yaml").read_text())["models"]["moco"]
    assert read_model("moco", preset).settings == parse(Config, PUBLISHED, "published")
    assert {name for name in Config.model_fields if name not in PUBLISHED} == set()


def test_tokens_and_embedding_are_of_the_last_maps():
    model, batch = network().eval(), galaxies(3)
    tokens = model.tokens(batch)
    assert tokens.shape == (3, 16, model.width) and model.width == 8
    torch.testing.assert_close(model.embed(batch, "image"), tokens.mean(1))
    queries = model.project(model.images(batch))
    torch.testing.assert_close(queries.norm(dim=1), torch.ones(3))


def test_an_alignment_can_stand_on_it():
    spectra = {"kind": "specformer", "modality": "spectrum", "model": {"dim": 8, "layers": 1}}
    backbones = {"image": network().eval(), "spectrum": networks.build(spectra)}
    model = networks.build({"kind": "astroclip", "model": {"dim": 8}}, backbones).eval()
    assert model.embed(galaxies(3), "image").shape == (3, 8)


def test_larger_images_are_cropped_at_the_centre_and_smaller_ones_refused():
    model, batch = network().eval(), galaxies(3)
    flux = batch["image"]["flux"]
    assert torch.equal(
        model.embed(batch.changed("image", flux=flux[..., 4:20, 4:20]), "image"), model.embed(batch, "image")
    )
    holes = flux.clone()
    holes[:, :, 0, 0], holes[:, 1, 12, 12] = torch.nan, torch.inf
    assert model.embed(batch.changed("image", flux=holes), "image").isfinite().all()
    with pytest.raises(BadConfig, match="image_size: 16 pixels is more than the 12 x 12"):
        model.embed(batch.changed("image", flux=flux[..., :12, :12]), "image")


def test_the_loss_is_that_of_telling_the_own_key_among_all():
    g = torch.Generator().manual_seed(0)
    query, key, queue = (functional.normalize(torch.randn(n, 5, generator=g), dim=1) for n in (4, 4, 7))
    same = torch.zeros(4, 7, dtype=torch.bool)
    same[2, 3] = True
    loss, metrics = contrast(query, key, queue, same, 0.2)
    total, found = 0.0, 0
    for i in range(4):
        own = float(query[i] @ key[i]) / 0.2
        others = [float(query[i] @ queue[k]) / 0.2 for k in range(7) if (i, k) != (2, 3)]
        total += math.log(sum(map(math.exp, [own, *others]))) - own
        found += own > max(others)
    assert loss.item() == pytest.approx(total / 4, rel=1e-5)
    assert metrics["found"].item() == found / 4
    assert metrics["alike"].item() == pytest.approx(float((query @ queue.T).mean()), abs=1e-6)


def test_the_queue_holds_the_newest_keys_and_whose_they_are():
    objective, made = Objective(network()).train(), []
    for step in range(4):
        batch = galaxies(8, step, first=100 * step)
        objective(batch, Draws(0, step, 8), 0.0)
        made.append(objective.waiting[0])
        objective.after_step(0.0)
    assert int(objective.oldest) == 32 % 20
    assert sorted(objective.galaxies.tolist()) == [*range(104, 108), *range(200, 208), *range(300, 308)]
    newest = torch.cat(made)[-20:]
    for key, galaxy in zip(newest, [*range(104, 108), *range(200, 208), *range(300, 308)], strict=True):
        assert torch.equal(objective.queue[objective.galaxies == galaxy][0], key)
    objective.put(torch.eye(8)[[0] * 50], torch.arange(50))  # more than there is room for: the last ones
    assert sorted(objective.galaxies.tolist()) == [*range(30, 50)]


def test_keys_of_the_same_galaxy_are_no_negatives():
    objective, batch = Objective(network()).train(), galaxies(8)
    losses = []
    for targetid in (batch.targetid, batch.targetid + 1000, None):
        objective.queue[:8], objective.galaxies[:8] = (
            objective.keys.project(objective.model.images(batch)),
            batch.targetid,
        )
        objective.galaxies[8:] = NOBODY
        losses.append(
            objective(Batch(batch.data, labels=batch.labels, targetid=targetid), Draws(0, 0, 8), 0.0)[0].item()
        )
    assert losses[0] < losses[1] == losses[2]


def test_the_first_keys_are_those_of_galaxies():
    objective = Objective(network())
    objective.begin({}, {}, [galaxies(8), galaxies(4, 2, first=300)])
    assert objective.begin_samples == 20
    assert sorted(objective.galaxies.tolist())[8:] == [*range(100, 108), *range(300, 304)]
    torch.testing.assert_close(objective.queue.norm(dim=1), torch.ones(20))


def test_the_network_of_the_keys_follows_and_gets_no_gradient():
    objective, batch = Objective(network(momentum=0.9)).train(), galaxies()
    before = {name: tensor.clone() for name, tensor in objective.keys.state_dict().items()}
    loss, _ = objective(batch, Draws(0, 0, 8), 0.0)
    loss.backward()
    assert all(p.grad is None for p in objective.keys.parameters())
    assert all(p.grad is not None for p in objective.model.parameters())
    with torch.no_grad():
        objective.model.head[0].bias.add_(1)
    objective.after_step(0.0)
    for name, now in objective.keys.state_dict().items():  # running means of the batch norms too
        torch.testing.assert_close(now, 0.9 * before[name] + 0.1 * objective.model.state_dict()[name])
    moved = objective.keys.encoder.stem[1].running_mean
    assert moved.abs().sum() > 0


def test_a_key_does_not_depend_on_the_rest_of_its_batch():
    objective, batch = Objective(network()).train(), galaxies()
    some = objective.keys.project(objective.model.images(batch))
    alone = objective.keys.project(objective.model.images(batch)[:1])
    torch.testing.assert_close(alone, some[:1])
    own = objective.model.project(objective.model.images(batch))
    assert not torch.allclose(objective.model.project(objective.model.images(batch)[:4]), own[:4], atol=1e-3)


def test_all_that_training_needs_to_go_on_is_in_its_state():
    first, second = Objective(network()).train(), Objective(network()).train()
    first(galaxies(), Draws(0, 0, 8), 0.0)
    first.after_step(0.0)
    second.load_state_dict(first.state_dict())
    losses = [objective(galaxies(seed=2), Draws(0, 1, 8), 0.0)[0].item() for objective in (first, second)]
    assert losses[0] == losses[1]
    assert {"queue", "galaxies", "oldest", "keys.head.0.weight"} <= set(first.state_dict())


def test_validation_leaves_the_queue_alone():
    objective = Objective(network()).eval()
    objective(galaxies(), Draws(0, 0, 8), 0.0)
    assert objective.waiting is None


def test_training_tells_galaxies_apart():
    objective = Objective(network(queue=64, augment={"jitter": 1, "drawn": "survey"})).train()
    optimizer = torch.optim.AdamW([p for p in objective.parameters() if p.requires_grad], 5e-3)
    data = galaxies(128)
    objective.begin({}, {}, [data])
    before = network().eval()
    for step in range(60):
        rows = torch.arange(step * 32, step * 32 + 32) % 128
        batch = Batch(
            {"image": {"flux": data["image"]["flux"][rows]}},
            labels={"ebv": data.labels["ebv"][rows]},
            targetid=data.targetid[rows],
        )
        loss, metrics = objective(batch, Draws(0, step, 32), step / 60)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.after_step(step / 60)
    assert metrics["alike"] < 0.8
    new = galaxies(64, 99)
    again = observe(new["image"]["flux"], new.labels["ebv"], 16, objective.model.config.augment, Draws(0, "new", 64))

    def found(model) -> float:
        """Share of new galaxies whose other observation is nearest."""
        with torch.no_grad():
            features = [
                functional.normalize(model.maps(x).mean((2, 3)) - model.maps(x).mean((0, 2, 3)), dim=1)
                for x in (model.images(new), again)
            ]
        return float(((features[0] @ features[1].T).argmax(1) == torch.arange(64)).float().mean())

    assert found(objective.model.eval()) > found(before) + 0.1


def test_images_of_a_survey_must_be_large_enough():
    survey = SimpleNamespace(name="sky", settings=SimpleNamespace(crop=40))
    with pytest.raises(BadConfig, match="models.net.model.image_size: 48 is not allowed; must be at most 40"):
        check(read_model("net", {"kind": "moco", "modality": "image"}), survey)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"blocks": []}, "blocks: .* at least 1"),
        (
            {"augment": {"sizes": [1.1, 0.9]}},
            r"augment.sizes: \[1.1, 0.9\] is not allowed; expected 0 < least <= largest",
        ),
        ({"augment": {"jiter": 1}}, "unknown key 'jiter: 1'; did you mean 'jitter'"),
        ({"temperature": 0.0}, "temperature: 0.0 is not allowed"),
    ],
)
def test_a_wrong_setting_gets_one_line(model, words):
    with pytest.raises(BadConfig, match=words) as error:
        read_model("net", {"kind": "moco", "modality": "image", "model": model})
    assert "\n" not in str(error.value)
