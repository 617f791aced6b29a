"""The training engine: one function that turns a checked model and shards into a model's folder."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from skyloom.core.errors import BadConfig
from skyloom.models import networks
from skyloom.nn import distributed
from skyloom.nn.draws import number
from skyloom.settings import kinds
from skyloom.settings.training import Training
from skyloom.training import results
from skyloom.training.checkpoints import Checkpoints
from skyloom.training.data import Samples
from skyloom.training.fitting import beginning, finish, fit
from skyloom.training.numerics import pick_device, pick_precision, reproducible
from skyloom.training.trainer import Trainer

log = logging.getLogger(__name__)


def train(
    config: dict,
    settings: Training,
    about: dict,
    tokens: Mapping[str, Sequence[str | os.PathLike]],
    splits_path: str | os.PathLike,
    out: Mapping[str, str | os.PathLike],
    checkpoints: str | os.PathLike,
    backbones: Mapping[str, str | os.PathLike],
    galaxies_path: str | os.PathLike | None,
    statistics: Mapping[str, str | os.PathLike],
    start: str | os.PathLike | None,
    seed: int,
    threads: int,
    tell: Callable[[str], None],
) -> None:
    """Train or fit a model and write its folder. See `skyloom.training.run.train`, which checks what is given here.

    Parameters
    ----------
    config : what `skyloom.models.networks.build` makes the network from
    settings : how it is trained
    about : what the card says besides: name, traits, embeddings, queries
    start : folder of a trained model whose weights this one starts with; `begin` of the objective is not called then
    tell : is called with a line about the progress
    """
    kind = kinds.find("model", config["kind"], "kind")
    device = pick_device(settings.device)
    settings = settings.model_copy(update={"precision": pick_precision(settings.precision, device)})
    with reproducible(threads), distributed.process_group(device) as (rank, world):
        torch.manual_seed(number(seed, "init"))
        loaded = {m: networks.load(folder)[0] for m, folder in sorted(backbones.items())} or None
        model = networks.build(config, loaded).to(device)
        if start is not None:
            about = {**about, "starts_from": start_from(model, start)}
        torch.manual_seed(number(seed, "objective"))
        learner: nn.Module = kinds.load(kind.objective)(model).to(device) if kind.objective else model
        samples = Samples(
            tokens,
            learner.inputs,
            splits_path,
            settings.resident,
            device,
            settings.incomplete,
            tuple(getattr(learner, "labels", ())),
            galaxies_path,
            statistics,
            getattr(learner, "classes", None),
            getattr(learner, "labelled", False),
        )
        if hasattr(learner, "begin") and start is None:
            learner.begin(samples.labels_of("train"), samples.statistics, beginning(learner, samples, seed))
        record = results.record(model, samples, settings, seed, threads)
        counts = [len(samples.of(split)) for split in ("train", "validation")]
        size = networks.parameter_count(model)
        log.info("%s: %d parameters, %d training and %d validation galaxies", about["name"], size, *counts)
        store = Checkpoints(checkpoints, record["run"])
        if kind.objective:
            rows, selected = Trainer(learner, samples, settings, seed, store, rank, world, tell).run()
            rows += finish(learner, samples, settings, seed)
        else:
            rows, selected = fit(model, samples, seed), 0
        if rank == 0:
            results.write(out, model, samples, rows, {**about, **record, "selected_step": selected})
            store.remove()
        distributed.barrier()


def start_from(model: nn.Module, folder: str | os.PathLike) -> dict:
    """Give a network the weights of a trained one of the same shape; what the card says of that one.

    Raises
    ------
    BadConfig : it is of another kind, or a tensor has another shape.
    """
    trained, card = networks.load(folder)
    own, other = networks.describe(model), networks.describe(trained)
    if own["kind"] != other["kind"]:
        raise BadConfig(f"starts_from: {folder} is of kind {other['kind']}, not {own['kind']}")
    fresh = tuple(getattr(model, "fresh", ()))
    here, there = ({n: t for n, t in m.state_dict().items() if not n.startswith(fresh)} for m in (model, trained))
    for name in [*here, *there]:
        shapes = [tuple(state[name].shape) if name in state else "none" for state in (here, there)]
        if shapes[0] != shapes[1]:
            raise BadConfig(f"starts_from: {folder} is another network: {name} is {shapes[1]} there, {shapes[0]} here")
    model.load_state_dict(there, strict=False)
    return {"name": card.get("name"), "weights_sha256": card.get("weights_sha256")}
