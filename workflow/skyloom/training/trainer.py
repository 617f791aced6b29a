"""One training by gradients: steps, validation, checkpoints.

Deterministic: batches, masks and augmentations are pure functions of (seed, step), so a run that was killed and
started again ends with the same bytes. Times go to the log only.
"""

import logging
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from skyloom.core.errors import BadInput, SkyloomError
from skyloom.nn import distributed
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws, drawing, number
from skyloom.settings.training import Training
from skyloom.training import accumulation, optimizer
from skyloom.training.checkpoints import Checkpoints
from skyloom.training.data import Samples
from skyloom.training.numerics import autocast

log = logging.getLogger(__name__)

RESIDENT_TOKENS = 2 * 2**30  # bytes of frozen backbones' tokens held in memory; more go to a file


class Trainer:
    """One run, from a fresh or resumed state to the last step."""

    def __init__(
        self,
        objective: nn.Module,
        samples: Samples,
        settings: Training,
        seed: int,
        store: Checkpoints,
        rank: int,
        world: int,
        tell: Callable[[str], None],
    ):
        self.objective, self.samples, self.settings, self.seed = objective, samples, settings, seed
        self.store, self.rank, self.world, self.tell = store, rank, world, tell
        self.device = samples.device
        self.train_indices = samples.of("train")
        self.validation_indices = samples.chosen("validation", settings.validation_samples)
        self.batch_size = accumulation.batch_size(settings, len(self.train_indices), world)
        if settings.steps and not self.batch_size:
            raise BadInput("no galaxy of split train has tokens in every modality: nothing to train on")
        self.optimizer = optimizer.optimizer_for(objective, settings)
        self.names = [name for name, parameter in objective.named_parameters() if parameter.requires_grad]
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

    def advance(self, wrapped: nn.Module, batch: Batch) -> None:
        """One optimizer step."""
        s, step = self.settings, self.step
        self.rate = optimizer.schedule(self.optimizer, s, step)
        torch.manual_seed(number(self.seed, step, self.rank))  # for layers of users' own that draw without `Draws`
        self.optimizer.zero_grad(set_to_none=True)
        found = []
        for rows, part, synchronised in accumulation.parts(wrapped, batch, s.accumulate, self.rank, self.world):
            draws, of_layers = (self.draws(name, self.batch_size, rows) for name in (step, f"{step} layers"))
            with synchronised:
                with drawing(of_layers), autocast(s.precision, self.device):
                    loss, metrics = wrapped(part, draws, step / s.steps)
                (loss / s.accumulate).backward()
            found.append({"loss": loss.detach(), **metrics})
        norm = optimizer.clip(self.optimizer, s.clip)
        self.add(accumulation.means(found, norm))
        self.optimizer.step()
        self.step += 1
        if hasattr(self.objective, "after_step"):
            self.objective.after_step(self.step / s.steps)

    def draws(self, step: int | str, total: int, rows: slice | None = None) -> Draws:
        """The random numbers of this process's rows, or of some of them, of a global batch of `total` samples."""
        return Draws(self.seed, step, total, rows or slice(self.rank, None, self.world), self.device)

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
        epoch = self.step * self.batch_size / len(self.train_indices)
        self.rows.append({"step": self.step, "epoch": round(epoch, 4), "split": "train", "lr": self.rate, **means})
        self.window = {}
        if self.rank == 0:
            log.info("%s loss %.4f %s", clock.progress(self.step), means["loss"], brief(means))
            self.tell(f"{clock.progress(self.step)} loss {means['loss']:.4g}")

    @torch.no_grad()
    def validate(self, progress: float) -> None:
        """The mean loss over (some of) the validation galaxies, always the same ones with the same masks."""
        indices = self.validation_indices
        if len(indices) < self.world:
            return
        self.objective.eval()
        total, count = {}, 0
        size = max(1, self.batch_size // self.settings.accumulate)
        for part, chunk in enumerate(np.array_split(indices, math.ceil(len(indices) / size))):
            chunk = chunk[: len(chunk) // self.world * self.world]
            batch = self.samples.batch(chunk[self.rank :: self.world])
            with autocast(self.settings.precision, self.device):
                loss, metrics = self.objective(batch, self.draws(f"validation {part}", len(chunk)), progress)
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

    def changing(self) -> dict[str, Tensor]:
        """The state of the objective without the parts that never change."""
        frozen = tuple(getattr(self.objective, "frozen", ()))
        return {name: t for name, t in self.objective.state_dict().items() if not (frozen and name.startswith(frozen))}

    def precompute(self) -> None:
        """Replace the samples of training and validation by what never changes of them (half precision)."""
        indices = self.samples.learnt()
        self.objective.eval()
        held: dict[str, dict[str, Tensor]] = {}
        start = time.monotonic()
        for rows in np.array_split(np.arange(len(indices)), math.ceil(len(indices) / 64)):
            part = self.objective.precompute(self.samples.batch(indices[rows]))
            for modality, datasets in part.items():
                room = held.setdefault(modality, {})
                for name, tensor in datasets.items():
                    if name not in room:
                        room[name] = self.room(f"{modality}-{name}", (len(indices), *tensor.shape[1:]))
                    room[name][torch.from_numpy(rows)] = tensor.to(torch.float16).to(room[name].device)
            done = int(rows[-1]) + 1
            self.tell(f"tokens of {done} of {len(indices)} galaxies, {time.monotonic() - start:.0f} s")
        self.samples.hold(held, indices)
        size = sum(tensor.nbytes for part in held.values() for tensor in part.values()) / 2**20
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
