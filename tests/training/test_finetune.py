"""Fine-tuning by the engine: what learns and what does not, to the bit; classes; missing labels; resumed runs."""

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from skyloom.core.errors import BadConfig, BadInput
from skyloom.embedding.embed import predict_shard
from skyloom.models import networks
from skyloom.nn.draws import number
from skyloom.nn.schedules import warmup_cosine
from skyloom.tokens.loader import step_samples
from skyloom.training.data import Samples
from skyloom.training.labels import read_labels
from skyloom.training.optimizer import optimizer_for, schedule
from skyloom.training.run import read, train
from skyloom.training.trainer import Trainer
from tests.training.runs import change, rows

ENCODERS = {"image": "astrodino", "spectrum": "specformer"}
TRAINING = {"steps": 12, "batch_size": 8, "warmup": 2, "log_every": 4, "validate_every": 6, "checkpoint_every": 4}
FINETUNE = {
    "kind": "finetune",
    "name": "mine",
    "threads": 1,
    "backbones": {"spectrum": "specformer"},
    "model": {"labels": ["z"], "dim": 8, "heads": 2, "queries": 2, "dropout": 0.0},
    "training": {**TRAINING, "select": "last", "precision": "float32"},
}


@pytest.fixture(scope="module")
def encoders(survey, tokens, configs, outputs, tmp_path_factory):
    """A SpecFormer and an AstroDINO of three blocks each, trained for a moment."""
    folder = tmp_path_factory.mktemp("encoders")
    for kind in ENCODERS.values():
        config = change(configs[kind], model={"layers": 3}, training={"steps": 3})
        train(config, tokens, survey / "splits.parquet", outputs(folder / kind), folder / "checkpoints")
    return folder


@pytest.fixture(scope="module")
def galaxies(survey):
    """A catalogue: a redshift that the spectra hold, of all but every fourth galaxy, and a class."""
    splits = pq.read_table(survey / "splits.parquet").to_pandas()
    rng = np.random.default_rng(3)
    z = 0.3 + 0.1 * rng.normal(size=len(splits))
    z[3::4] = np.nan
    kind = np.where(rng.uniform(size=len(splits)) < 0.4, "E", "S").astype(object)
    kind[5::7] = None
    kind[2] = "unsure"
    path = survey / "finetune.parquet"
    pandas.DataFrame({"targetid": splits["targetid"], "z": z, "kind": kind}).to_parquet(path)
    return path


@pytest.fixture
def run(survey, tokens, encoders, galaxies, outputs, tmp_path):
    def run(config, name="out", table=galaxies):
        backbones = {modality: encoders / encoder for modality, encoder in config["backbones"].items()}
        given = (tokens, survey / "splits.parquet", outputs(tmp_path / name), tmp_path / "checkpoints", backbones)
        train(config, *given, galaxies_path=table)
        return tmp_path / name

    return run


@pytest.mark.parametrize("modality", ENCODERS)
@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_exactly_so_many_last_blocks_learn_and_all_else_stays_to_the_bit(run, encoders, modality, count):
    before = {name: (encoders / ENCODERS[modality] / name).read_bytes() for name in ("model.safetensors", "model.json")}
    old = load_file(encoders / ENCODERS[modality] / "model.safetensors")
    config = change(FINETUNE, model={"unfrozen": count}, training={"weight_decay": 0.5, "precision": "bfloat16"})
    new = load_file(run({**config, "backbones": {modality: ENCODERS[modality]}}) / "model.safetensors")
    changed = {name for name in old if not torch.equal(old[name], new[f"backbones.{modality}.{name}"])}
    learn = {name for name in old if name.startswith(tuple(f"blocks.{3 - 1 - i}." for i in range(count)))}
    assert changed == learn
    assert before == {name: (encoders / ENCODERS[modality] / name).read_bytes() for name in before}


def test_everything_that_tokens_are_made_of_learns_and_what_they_are_not_stays(run, encoders):
    old = load_file(encoders / "specformer" / "model.safetensors")
    new = load_file(run(change(FINETUNE, model={"unfrozen": "all"})) / "model.safetensors")
    same = {name for name in old if torch.equal(old[name], new[f"backbones.spectrum.{name}"])}
    assert {"head.weight", "head.bias"} <= same  # what fills in masked stretches
    assert not same & {
        "embed_slice.weight",
        "position",
        "norm.weight",
        "blocks.0.mlp.0.weight",
        "blocks.2.attention.out.weight",
    }


def test_what_is_frozen_gives_the_features_of_the_encoder_to_the_bit(run, survey, tokens, encoders, galaxies):
    tuned, _ = networks.load(run(change(FINETUNE, model={"unfrozen": 1})))
    encoder, _ = networks.load(encoders / "specformer")
    samples = Samples(tokens, encoder.inputs, survey / "splits.parquet")
    seen = {}
    for name, network in (("tuned", tuned.backbone), ("encoder", encoder)):
        network.blocks[1].register_forward_hook(lambda module, given, out, name=name: seen.update({name: out}))
        seen[f"{name} tokens"] = network.tokens(samples.batch(samples.of("train")))
    assert torch.equal(seen["tuned"], seen["encoder"])
    assert not torch.equal(seen["tuned tokens"], seen["encoder tokens"])


def test_what_learns_of_the_encoder_has_the_rate_that_is_stated(encoders, survey):
    backbone, _ = networks.load(encoders / "specformer")
    config = change(FINETUNE, model={"unfrozen": 2, "rate": 0.25})
    model = read(config, "mine", {"spectrum": "specformer"})
    network = networks.build({"kind": "finetune", "model": model.settings.plain()}, {"spectrum": backbone})
    objective = networks.kinds.load(model.kind.objective)(network)
    optimizer = optimizer_for(objective, model.training)
    schedule(optimizer, model.training, 2)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates[id(network.head.weight)] == pytest.approx(1e-2)
    assert rates[id(backbone.blocks[1].mlp[0].weight)] == pytest.approx(0.25e-2)
    assert id(backbone.blocks[0].mlp[0].weight) not in rates
    settings = model.training.model_copy(update={"learning_rates": {"model.backbones": 0.5}})
    objective.train()
    assert {group["factor"] for group in optimizer_for(objective, settings).param_groups} == {1.0, 0.5}


def test_a_head_alone_is_the_training_on_tokens_that_were_computed_before(run, survey, tokens, encoders, galaxies):
    """The same steps by hand: embed once, then AdamW on the head, on the labelled galaxies alone."""
    folder = run(FINETUNE)
    _, card = networks.load(folder)
    torch.manual_seed(number(0, "init"))
    backbone, _ = networks.load(encoders / "specformer")
    network = networks.build({"kind": "finetune", "model": card["config"]["model"]}, {"spectrum": backbone})
    samples = Samples(tokens, backbone.inputs, survey / "splits.parquet", resident=False)
    z = read_labels(galaxies, ["z"], samples.targetid)["z"]
    train_rows = samples.of("train")[np.isfinite(z[samples.of("train")])]
    held = backbone.tokens(samples.batch(np.arange(len(samples.targetid)))).half().float()
    labels = torch.from_numpy(z)
    mean, deviation = labels[train_rows].double().mean().float(), labels[train_rows].double().std().float()
    head = [p for p in network.parameters() if p.requires_grad]
    settings = read(FINETUNE, "mine", {"spectrum": "x"}).training
    groups = [[p for p in head if p.ndim == 2], [p for p in head if p.ndim != 2]]
    optimizer = torch.optim.AdamW(
        [{"params": group, "weight_decay": decay} for group, decay in zip(groups, (0.05, 0.0), strict=True)]
    )
    for step in range(12):
        for group in optimizer.param_groups:
            group["lr"] = warmup_cosine(step, 12, 2, 1e-2)
        chosen = train_rows[step_samples(len(train_rows), 8, 0, step)]
        pooled = network.pool(held[chosen])
        error = (network.head(pooled)[:, 0] - (labels[chosen] - mean) / deviation).square()
        spread = network.spreads(pooled)[:, 0]
        loss = error.mean() + (error.detach() / spread.square() / 2 + spread.log()).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head, settings.clip)
        optimizer.step()
    found = load_file(folder / "model.safetensors")
    for name in ("head.weight", "spread.weight", "query", "attention.kv.weight"):
        torch.testing.assert_close(network.state_dict()[name], found[name], rtol=1e-4, atol=1e-6)


def test_galaxies_without_a_label_are_left_out_and_predicted(run, survey, tokens, galaxies, tmp_path, contents):
    folder = run(FINETUNE)
    table = pandas.read_parquet(galaxies)
    splits = pq.read_table(survey / "splits.parquet").to_pandas().set_index("targetid")["split"]
    known = table[np.isfinite(table["z"]) & (table["targetid"].map(splits) == "train")]["z"]
    weights = load_file(folder / "model.safetensors")
    assert weights["mean"].item() == pytest.approx(known.mean(), rel=1e-6)
    assert rows(folder, "train")[-1]["epoch"] == pytest.approx(12 * 8 / len(known), rel=1e-3)
    table[np.isfinite(table["z"])].to_parquet(tmp_path / "fewer.parquet")  # not there at all: the same
    assert contents(folder) == contents(run(FINETUNE, "fewer", tmp_path / "fewer.parquet"))
    predict_shard(
        folder, "properties", {"spectrum": survey / "s0.h5"}, survey / "splits.parquet", tmp_path / "p.parquet"
    )
    said = pandas.read_parquet(tmp_path / "p.parquet")
    assert len(said) == 20 and said["targetid"].isin(table["targetid"][~np.isfinite(table["z"])]).any()
    assert np.isfinite(said[["z", "z_lower", "z_upper"]]).all(None)
    assert (said["z_lower"] < said["z"]).all() and (said["z"] < said["z_upper"]).all()


KIND = {"labels": ["kind"], "classes": ["S", "E"], "table": "mine.csv"}


def test_classes_are_learned_by_name_and_other_values_are_unknown(run, survey, galaxies, tmp_path):
    folder = run(change(FINETUNE, model=KIND, training={"steps": 4}))
    predict_shard(folder, "labels", {"spectrum": survey / "s1.h5"}, survey / "splits.parquet", tmp_path / "p.parquet")
    said = pandas.read_parquet(tmp_path / "p.parquet")
    chance = np.stack(said["kind_probabilities"])
    np.testing.assert_allclose(chance.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(chance.argmax(1), said["kind"])
    np.testing.assert_allclose(chance.max(1), said["kind_probability"], rtol=1e-6)
    assert b'"classes": ["S", "E"]' in pq.read_schema(tmp_path / "p.parquet").metadata[b"skyloom"]
    splits = pq.read_table(survey / "splits.parquet").to_pandas().set_index("targetid")["split"]
    table = pandas.read_parquet(galaxies)
    known = table["kind"].isin(["S", "E"]) & (table["targetid"].map(splits) == "train")
    assert rows(folder, "train")[-1]["epoch"] == pytest.approx(4 * 8 / known.sum(), rel=1e-3)


@pytest.mark.parametrize("unfrozen", [0, 2, "all"])
def test_a_run_that_was_interrupted_ends_with_the_same_bytes(run, contents, monkeypatch, unfrozen):
    config = change(FINETUNE, model={"unfrozen": unfrozen}, training={"select": "best"})
    whole, advance = run(config, "mine"), Trainer.advance

    def dies(self, wrapped, batch):
        if self.step == 9:
            raise KeyboardInterrupt
        advance(self, wrapped, batch)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Trainer, "advance", dies)
        run(config, "died")
    steps = []
    monkeypatch.setattr(Trainer, "advance", lambda self, *a: (steps.append(self.step), advance(self, *a))[1])
    assert contents(run(config, "died")) == contents(whole)
    assert steps == [8, 9, 10, 11]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"labels": ["q"]}, "no column q, which this model learns from; it has targetid, z, kind"),
        ({"labels": ["kind"]}, "'S' of column kind is neither a number nor one of|'E' of column kind is neither"),
        (
            {**KIND, "classes": ["S", "E", "unsure"]},
            "classes of kind: 'unsure' has 1 of the training galaxies, expected 2",
        ),
        ({**KIND, "classes": ["S", "e"]}, "'e' has 0 of the training galaxies"),
    ],
)
def test_labels_that_cannot_be_learned_are_one_line(run, model, words):
    with pytest.raises(BadInput, match=words) as caught:
        run(change(FINETUNE, model=model))
    assert "\n" not in str(caught.value)


def test_a_table_of_other_galaxies_and_more_blocks_than_there_are_is_one_line(run, tmp_path):
    pandas.DataFrame({"TARGETID": [1, 2], "z": [0.1, 0.2]}).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(BadInput, match="none of its 2 galaxies is among the 48 that have tokens"):
        run(FINETUNE, table=tmp_path / "other.csv")
    with pytest.raises(BadConfig, match="unfrozen: 4 is not allowed; the encoder has 3 blocks"):
        run(change(FINETUNE, model={"unfrozen": 4}))


def test_intervals_reach_as_far_as_the_errors_of_validation_galaxies_say(run, survey, tokens, galaxies):
    """Split conformal: of n normalised errors the ceil((n + 1) level)-th."""
    folder = run(change(FINETUNE, model={"level": 0.5}))
    model, _ = networks.load(folder)
    samples = Samples(tokens, model.inputs, survey / "splits.parquet", resident=False)
    z = read_labels(galaxies, ["z"], samples.targetid)["z"]
    some = samples.of("validation")[np.isfinite(z[samples.of("validation")])]
    said = model.predict(samples.batch(some), "properties")
    error = np.sort(np.abs(z[some] - said["z"].numpy()) / (said["z_upper"] - said["z"]).numpy())
    assert error[int(np.ceil((len(some) + 1) * 0.5)) - 1] == pytest.approx(1, rel=0.02)  # tokens in half precision
    assert rows(folder, "fit")[0]["reach_z"] == pytest.approx(model.reach.item())
