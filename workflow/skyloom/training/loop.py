"""The training engine: one function that turns a configuration and shards into a model's folder.

Deterministic: batches, masks and augmentations are pure functions of (seed, step) and thread counts are fixed, so a
run that was killed and started again ends with the same bytes. Times go to the log only.
"""

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from skyloom import models
from skyloom.core.errors import BadConfig, BadInput, SkyloomError
from skyloom.core.memory import keep_freed_memory
from skyloom.nn import distributed
from skyloom.nn.draws import Draws, number
from skyloom.training import results
from skyloom.training.checkpoints import Checkpoints
from skyloom.training.data import Samples
from skyloom.training.schedules import cosine, warmup_cosine
from skyloom.training.settings import Settings

log = logging.getLogger(__name__)

KEYS = ("kind", "modality", "backbones", "seed", "threads", "model", "training")
RESIDENT_TOKENS = 2 * 2**30  # bytes of frozen backbones' tokens held in memory; more go to a file


def train(
    config: dict,
    tokens: dict[str, Sequence[str | os.PathLike]],
    splits_path: str | os.PathLike,
    out: dict[str, str | os.PathLike],
    checkpoints: str | os.PathLike,
    backbones: dict[str, str | os.PathLike] | None = None,
) -> None:
    """Train a model, or fit it (pca), and write its folder.

    Parameters
    ----------
    config : kind; seed (0) and threads (2); model and training with the keys of that kind's Config and of Settings
    tokens : modality -> shards
    splits_path : parquet with targetid and split
    out : where to write model (safetensors), card (json), metrics (jsonl) and figure (png)
    checkpoints : folder for checkpoints; a killed run continues from it, a finished run removes it
    backbones : modality -> folder of a trained model (astroclip)

    Raises
    ------
    BadConfig : unknown key or a value that is not allowed.
    BadInput : a shard, split or backbone is missing or damaged, or there is no training galaxy.
    SkyloomError : the loss is not finite.
    """
    settings = check(config)
    seed, threads = config.get("seed", 0), config.get("threads", 2)
    device = pick_device(settings.device)
    settings = replace(settings, precision=pick_precision(settings.precision, device))
    with reproducible(threads), distributed.process_group(device) as (rank, world):
        torch.manual_seed(number(seed, "init"))
        model = models.build(config, load_backbones(config, backbones)).to(device)
        samples = Samples(tokens, model.inputs, splits_path, settings.resident, device)
        provenance = results.provenance(model, samples, settings, seed, threads)
        log.info(
            "%s: %d parameters, %d training and %d validation galaxies",
            config["kind"],
            models.parameter_count(model),
            len(samples.of("train")),
            len(samples.of("validation")),
        )
        if config["kind"] == "pca":
            rows, selected = fit(model, samples, seed), 0
            store = None
        else:
            store = Checkpoints(checkpoints, provenance["run"])
            trainer = Trainer(model, samples, settings, seed, store, rank, world)
            rows, selected = trainer.run()
        if rank == 0:
            results.write(out, model, rows, {**provenance, "selected_step": selected})
            if store:
                store.remove()
        distributed.barrier()


def check(config: dict) -> Settings:
    """The training settings of a config whose other keys are known too; batch size and steps are at least sane."""
    unknown = sorted(set(config) - set(KEYS))
    if unknown:
        raise BadConfig(f"model: unknown key {unknown[0]!r}; allowed are {', '.join(KEYS)}")
    module = models.module_of(config.get("kind", ""))
    settings = models.parse(Settings, {**module.TRAINING, **config.get("training", {})}, f"{config['kind']}.training")
    for name in ("batch_size", "log_every", "validate_every", "checkpoint_every", "validation_samples"):
        if getattr(settings, name) < 1:
            raise BadConfig(f"{config['kind']}.training.{name}: {getattr(settings, name)} is not allowed; at least 1")
    if settings.steps < 0:
        raise BadConfig(f"{config['kind']}.training.steps: {settings.steps} is not allowed; at least 0")
    return settings


def pick_device(wanted: str) -> str:
    """ "cpu", or the GPU of this process."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda":
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return wanted


def pick_precision(wanted: str, device: str) -> str:
    """bfloat16 where the hardware multiplies it: GPUs, and CPUs with AVX512-BF16 (2 to 3 times faster there)."""
    if wanted != "auto":
        return wanted
    fast = device.startswith("cuda") or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if fast else "float32"


@contextlib.contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Fix what changes the last bits of a result: the number of threads and the choice of kernels."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    keep_freed_memory()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # up to a twentieth of a step; nothing reads it
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled


def load_backbones(config: dict, folders: dict[str, str | os.PathLike] | None) -> dict[str, nn.Module] | None:
    """The trained networks an astroclip is built on, by modality in alphabetical order."""
    if config["kind"] != "astroclip":
        return None
    missing = sorted({"image", "spectrum"} - set(folders or {}))
    if missing:
        raise BadConfig(f"astroclip: no backbone for {missing[0]} was given")
    return {modality: models.load(folders[modality])[0] for modality in sorted(folders)}


def fit(model: nn.Module, samples: Samples, seed: int) -> list[dict]:
    """Fit a PCA on (some of) the training galaxies; one row of metrics a component."""
    train = samples.of("train")
    if len(train) > model.config.samples:
        chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(number(seed, "fit")))
        train = train[np.sort(chosen[: model.config.samples].numpy())]
    if not len(train):
        raise BadInput("no galaxy of split train has tokens: nothing to fit")
    parts = [model.vectors(samples.batch(part)) for part in np.array_split(train, math.ceil(len(train) / 256))]
    torch.manual_seed(number(seed, "fit"))
    model.fit(torch.cat(parts))
    total = model.explained_variance_ratio.cumsum(0).tolist()
    return [{"component": i + 1, "split": "train", "explained_variance": value} for i, value in enumerate(total)]


class Trainer:
    """One run, from a fresh or resumed state to the last step."""

    def __init__(
        self, model, samples: Samples, settings: Settings, seed: int, store: Checkpoints, rank: int, world: int
    ):
        self.samples, self.settings, self.seed, self.store = samples, settings, seed, store
        self.rank, self.world = rank, world
        self.device = samples.device
        kind = models.describe(model)["kind"]
        torch.manual_seed(number(seed, "objective"))
        self.objective = models.module_of(kind).Objective(model).to(self.device)
        self.train_indices = samples.of("train")
        self.batch_size = min(settings.batch_size, len(self.train_indices) // world * world)
        if settings.batch_size % world:
            raise BadConfig(
                f"{kind}.training.batch_size: {settings.batch_size} is not a multiple of the {world} processes"
            )
        if settings.steps and not self.batch_size:
            raise BadInput("no galaxy of split train has tokens in every modality: nothing to train on")
        self.optimizer = optimizer_for(self.objective, settings)
        self.names = [name for name, parameter in self.objective.named_parameters() if parameter.requires_grad]
        self.step, self.rows, self.window = 0, [], {}
        self.best: dict[str, Tensor] = {}
        self.best_loss, self.best_step = math.inf, 0

    def run(self) -> tuple[list[dict], int]:
        """Train to the end; the rows of metrics, and the step whose weights the model has now."""
        steps = self.settings.steps
        if steps and hasattr(self.objective, "precompute") and self.settings.cache_tokens:
            self.precompute()
        if not self.resume():
            self.validate(0.0)
        wrapped = self.objective
        if self.world > 1:
            wrapped = DistributedDataParallel(self.objective, forward_sync_buffers=False)
        self.objective.train()
        clock = Clock(self.step, steps, self.batch_size)
        arguments = (self.batch_size, self.seed, self.step, steps, self.rank, self.world)
        for batch in self.samples.shuffled(self.train_indices, *arguments):
            self.advance(wrapped, batch)
            if self.step % self.settings.log_every == 0 or self.step == steps:
                self.write_row(clock)
            if self.step % self.settings.validate_every == 0 or self.step == steps:
                self.validate(self.step / steps)
            if self.step % self.settings.checkpoint_every == 0 and self.step < steps:
                self.save()
        if self.settings.select == "best" and self.best:
            self.objective.load_state_dict(self.best, strict=False)
            return self.rows, self.best_step
        return self.rows, self.step

    def advance(self, wrapped: nn.Module, batch: dict[str, Tensor]) -> None:
        """One optimizer step."""
        s, step = self.settings, self.step
        for group in self.optimizer.param_groups:
            group["lr"] = warmup_cosine(step, s.steps, s.warmup, s.learning_rate, s.minimum_rate)
            if group["weight_decay"] and s.weight_decay_end >= 0:
                group["weight_decay"] = cosine(step / s.steps, s.weight_decay, s.weight_decay_end)
        torch.manual_seed(number(self.seed, step, self.rank))  # drop path
        draws = Draws(self.seed, step, self.batch_size, slice(self.rank, None, self.world), self.device)
        with self.autocast():
            loss, metrics = wrapped(batch, draws, step / s.steps)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        if s.clip and norm > s.clip:
            nn.utils.clip_grads_with_norm_(parameters, s.clip, norm)
        self.add({"loss": loss, "grad_norm": norm, **metrics})
        self.optimizer.step()
        self.step += 1
        if hasattr(self.objective, "after_step"):
            self.objective.after_step(self.step / s.steps)

    def add(self, values: dict[str, Tensor]) -> None:
        """Add a step's numbers to those since the last row; stop when the loss is not finite."""
        mean = distributed.mean(torch.stack([value.detach().float() for value in values.values()])).tolist()
        if not math.isfinite(mean[0]):
            raise SkyloomError(
                f"training diverged: the loss is {mean[0]} at step {self.step};"
                f" lower learning_rate (now {self.settings.learning_rate:g}) or raise warmup ({self.settings.warmup})"
            )
        for name, value in zip(values, mean, strict=True):
            total, count = self.window.get(name, (0.0, 0))
            self.window[name] = (total + value, count + 1)

    def write_row(self, clock: "Clock") -> None:
        """One row of metrics: means over the steps since the last one."""
        means = {name: total / count for name, (total, count) in self.window.items()}
        rate = self.optimizer.param_groups[0]["lr"]
        epoch = self.step * self.batch_size / len(self.train_indices)
        self.rows.append({"step": self.step, "epoch": round(epoch, 4), "split": "train", "lr": rate, **means})
        self.window = {}
        if self.rank == 0:
            log.info("%s loss %.4f %s", clock.progress(self.step), means["loss"], brief(means))

    @torch.no_grad()
    def validate(self, progress: float) -> None:
        """The mean loss over (some of) the validation galaxies, always the same ones with the same masks."""
        indices = self.samples.of("validation")[: self.settings.validation_samples]
        if len(indices) < self.world:
            return
        self.objective.eval()
        total, count = {}, 0
        for part, chunk in enumerate(np.array_split(indices, math.ceil(len(indices) / self.batch_size or 1))):
            chunk = chunk[: len(chunk) // self.world * self.world]
            mine = slice(self.rank, None, self.world)
            draws = Draws(self.seed, f"validation {part}", len(chunk), mine, self.device)
            with self.autocast():
                loss, metrics = self.objective(self.samples.batch(chunk[mine]), draws, progress)
            for name, value in {"loss": loss, **metrics}.items():
                total[name] = total.get(name, 0.0) + len(chunk) * float(distributed.mean(value.float()))
            count += len(chunk)
        self.objective.train()
        means = {name: value / count for name, value in total.items()}
        epoch = self.step * self.batch_size / max(1, len(self.train_indices))
        self.rows.append({"step": self.step, "epoch": round(epoch, 4), "split": "validation", **means})
        if self.rank == 0:
            log.info("step %d validation loss %.4f %s", self.step, means["loss"], brief(means))
        if self.settings.select == "best" and means["loss"] < self.best_loss:
            self.best_loss, self.best_step = means["loss"], self.step
            self.best = {name: tensor.clone() for name, tensor in self.changing().items()}

    def autocast(self) -> torch.autocast:
        """Mixed precision, when it is bfloat16."""
        enabled = self.settings.precision == "bfloat16"
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=enabled)

    def changing(self) -> dict[str, Tensor]:
        """The state of the objective without the parts that never change."""
        frozen = tuple(getattr(self.objective, "frozen", ()))
        return {name: t for name, t in self.objective.state_dict().items() if not (frozen and name.startswith(frozen))}

    def precompute(self) -> None:
        """Replace the samples of training and validation by the tokens of the frozen backbones (half precision)."""
        indices = np.flatnonzero(np.isin(self.samples.split, ("train", "validation")))
        self.objective.eval()
        held: dict[str, Tensor] = {}
        start = time.monotonic()
        for rows in np.array_split(np.arange(len(indices)), math.ceil(len(indices) / 64)):
            part = self.objective.precompute(self.samples.batch(indices[rows]))
            for name, tensor in part.items():
                if name not in held:
                    held[name] = self.room(name, (len(indices), *tensor.shape[1:]))
                held[name][torch.from_numpy(rows)] = tensor.to(torch.float16).to(held[name].device)
        self.samples.hold(held, indices)
        size = sum(tensor.nbytes for tensor in held.values()) / 2**20
        log.info("tokens of %d galaxies: %.0f MiB in %.0f s", len(indices), size, time.monotonic() - start)

    def room(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Where tokens are kept: on the device, or in a file when they are many."""
        if 2 * math.prod(shape) <= RESIDENT_TOKENS:
            return torch.empty(shape, dtype=torch.float16, device=self.device)
        self.store.folder.mkdir(parents=True, exist_ok=True)
        path = self.store.folder / f"tokens-{name}-{self.rank}.f2"
        return torch.from_numpy(np.memmap(path, np.float16, "w+", shape=shape))

    def save(self) -> None:
        """Write a checkpoint (the first process does)."""
        if self.rank:
            return
        tensors = {f"objective/{name}": tensor for name, tensor in self.changing().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        for name, state in zip(self.names, self.optimizer_states(), strict=True):
            tensors |= {f"optimizer/{key}/{name}": value for key, value in state.items()}
        state = {"rows": self.rows, "window": self.window, "best_loss": self.best_loss, "best_step": self.best_step}
        self.store.save(self.step, tensors, state)

    def resume(self) -> bool:
        """Take up the newest good checkpoint; False when there is none."""
        found = self.store.load()
        if found is None:
            return False
        tensors, state = found
        parts: dict[str, dict[str, Tensor]] = {"objective": {}, "best": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = tensor.to(self.device)
        self.objective.load_state_dict(parts["objective"], strict=False)
        self.best = parts["best"]
        named = dict(self.objective.named_parameters())
        for key, tensor in parts["optimizer"].items():
            kind, _, name = key.partition("/")
            # a step count lives on the CPU, as AdamW keeps it
            self.optimizer.state[named[name]][kind] = tensor.cpu() if kind == "step" else tensor
        self.step, self.rows, self.window = state["step"], state["rows"], state["window"]
        self.best_loss, self.best_step = state["best_loss"], state["best_step"]
        log.info("continuing from the checkpoint of step %d", self.step)
        return True

    def optimizer_states(self) -> list[dict[str, Tensor]]:
        """AdamW's state of each trained parameter in the order of `names`."""
        named = dict(self.objective.named_parameters())
        return [self.optimizer.state[named[name]] for name in self.names]


def optimizer_for(objective: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW; weight decay for matrices only."""
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim == 2]
    others = [parameter for parameter in trained if parameter.ndim != 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    fused = all(parameter.device.type == "cpu" for parameter in trained)  # one pass over the weights, not ten
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=fused)


def brief(means: dict[str, float]) -> str:
    """The numbers besides the loss, for the log."""
    return " ".join(f"{name} {value:.3g}" for name, value in means.items() if name != "loss")


class Clock:
    """Rate and time left, for the log."""

    def __init__(self, step: int, steps: int, batch_size: int):
        self.first, self.steps, self.batch_size, self.start = step, steps, batch_size, time.monotonic()

    def progress(self, step: int) -> str:
        elapsed = time.monotonic() - self.start
        rate = (step - self.first) / max(elapsed, 1e-9)
        left = (self.steps - step) / max(rate, 1e-9)
        return f"step {step}/{self.steps} {rate * self.batch_size:.0f} samples/s, {left:.0f} s left,"
