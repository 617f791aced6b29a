"""One training by gradients: steps, validation, checkpoints.

Deterministic: batches, masks and augmentations are pure functions of (seed, step), so a run that was killed and
started again ends with the same bytes. Times go to the log only.
"""

import contextlib
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from skyloom.core.errors import BadConfig, BadInput, SkyloomError
from skyloom.nn import distributed
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws, drawing, number
from skyloom.settings.training import Training
from skyloom.training import optimizer, sharding
from skyloom.training.checkpoints import Checkpoints
from skyloom.training.frozen import hold_tokens
from skyloom.training.numerics import autocast
from skyloom.training.progress import Clock, brief

if TYPE_CHECKING:
    from skyloom.training.data import Samples

log = logging.getLogger(__name__)


class Trainer:
    """One run, from a fresh or resumed state to the last step."""

    def __init__(
        self,
        objective: nn.Module,
        samples: "Samples",
        settings: Training,
        seed: int,
        store: Checkpoints,
        rank: int,
        world: int,
        tell: Callable[[str], None],
    ):
        self.whole, self.objective = objective, sharding.sharded(objective, settings.sharding)
        self.samples, self.settings, self.seed = samples, settings, seed
        self.store, self.rank, self.world, self.tell = store, rank, world, tell
        self.device = samples.device
        self.train_indices = samples.of("train")
        self.validation_indices = samples.chosen("validation", settings.validation_samples)
        self.parts, pieces = settings.accumulate, settings.accumulate * world
        self.batch_size = min(settings.batch_size, len(self.train_indices) // pieces * pieces)
        if settings.batch_size % pieces:
            times = f" times {self.parts} (accumulate)" if self.parts > 1 else ""
            text = f"{settings.batch_size} is not a multiple of the {world} processes{times}"
            raise BadConfig(f"training.batch_size: {text}")
        if settings.steps and not self.batch_size:
            raise BadInput("no galaxy of split train has tokens in every modality: nothing to train on")
        self.optimizer = optimizer.optimizer_for(self.objective, settings)
        self.names = [name for name, parameter in self.objective.named_parameters() if parameter.requires_grad]
        self.step, self.rows, self.window = 0, [], {}
        self.best: dict[str, Tensor] = {}
        self.best_loss, self.best_step = math.inf, 0

    def run(self) -> tuple[list[dict], int]:
        """Train to the end; the rows of metrics, and the step whose weights the model has now."""
        steps = self.settings.steps
        if steps and hasattr(self.whole, "precompute") and self.settings.cache_tokens:
            hold_tokens(self.whole, self.samples, self.store.folder, self.rank, self.tell)
        if self.objective is not self.whole:
            sharding.release(self.whole)
        if not self.resume():
            self.validate(0.0)
        wrapped = sharding.communicating(self.objective)
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
        best = self.settings.select == "best" and self.best
        if best:
            self.objective.load_state_dict(self.best, strict=False)
        if self.objective is not self.whole:
            sharding.restore(self.whole, self.objective)
        return self.rows, self.best_step if best else self.step

    def advance(self, wrapped: nn.Module, batch: Batch) -> None:
        """One optimizer step."""
        self.rate = optimizer.schedule(self.optimizer, self.settings, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        found: dict[str, Tensor] = {}
        for part in range(self.parts):
            for name, value in self.gradients(wrapped, batch, part).items():
                found[name] = found[name] + value if part else value
        loss, *metrics = ((name, value / self.parts) for name, value in found.items())
        norm = optimizer.clip(self.optimizer, self.settings.clip)
        self.add(dict([loss, ("grad_norm", norm), *metrics]))
        self.optimizer.step()
        self.step += 1
        if hasattr(self.objective, "after_step"):
            self.objective.after_step(self.step / self.settings.steps)

    def gradients(self, wrapped: nn.Module, batch: Batch, part: int) -> dict[str, Tensor]:
        """Add the gradients of one of `parts` stretches of the batch; their loss and metrics.

        Which samples are in a part, and what is drawn for them, does not depend on the number of processes.
        """
        s, step = self.settings, self.step
        if self.parts > 1:
            own = len(batch) // self.parts
            batch = batch.rows(slice(part * own, (part + 1) * own))
        # for layers of users' own that draw without `Draws`
        torch.manual_seed(number(self.seed, step, self.rank + part * self.world))
        draws, of_layers = (self.draws(of, self.batch_size, part, self.parts) for of in (step, f"{step} layers"))
        with contextlib.nullcontext() if part == self.parts - 1 else sharding.unfinished(wrapped):
            with drawing(of_layers), autocast(s.precision, self.device):
                loss, metrics = wrapped(batch, draws, step / s.steps)
            (loss / self.parts).backward()
        return {"loss": loss.detach(), **{name: value.detach() for name, value in metrics.items()}}

    def draws(self, step: int | str, total: int, part: int = 0, parts: int = 1) -> Draws:
        """The random numbers of this process's rows, in one of the parts, of a global batch of `total` samples."""
        size = total // parts
        rows = slice(part * size + self.rank, (part + 1) * size, self.world)
        return Draws(self.seed, step, total, rows, self.device)

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

    def write_row(self, clock: Clock) -> None:
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
        """The mean loss over (some of) the validation galaxies, always the same ones with the same masks.

        What is left of a batch that several processes cannot share evenly is left out.
        """
        indices = self.validation_indices
        if len(indices) < self.world:
            return
        self.objective.eval()
        total, count = {}, 0
        size = max(1, self.batch_size // self.parts)
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

    def save(self) -> None:
        """Write a checkpoint (the first process does; of sharded weights all give their parts)."""
        tensors = {f"objective/{name}": tensor for name, tensor in self.changing().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self.best.items()}
        for name, state in zip(self.names, self.optimizer_states(), strict=True):
            tensors |= {f"optimizer/{key}/{name}": value for key, value in state.items()}
        tensors = sharding.collected(tensors, self.rank)
        if self.rank:
            return
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
            parts[part][rest] = tensor
        own = self.objective.state_dict()
        for part in ("objective", "best"):
            parts[part] = {name: sharding.parted(tensor, own[name]) for name, tensor in parts[part].items()}
        self.objective.load_state_dict(parts["objective"], strict=False)
        self.best = parts["best"]
        named = dict(self.objective.named_parameters())
        for key, tensor in parts["optimizer"].items():
            kind, _, name = key.partition("/")
            # a step count lives on the CPU, as AdamW keeps it
            self.optimizer.state[named[name]][kind] = tensor if kind == "step" else sharding.parted(tensor, named[name])
        self.step, self.rows, self.window = state["step"], state["rows"], state["window"]
        self.best_loss, self.best_step = state["best_loss"], state["best_step"]
        log.info("continuing from the checkpoint of step %d", self.step)
        return True

    def optimizer_states(self) -> list[dict[str, Tensor]]:
        """AdamW's state of each trained parameter in the order of `names`."""
        named = dict(self.objective.named_parameters())
        return [self.optimizer.state[named[name]] for name in self.names]
