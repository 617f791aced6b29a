"""A step of training, measured: how long it takes, of how many operations it is, what it keeps in memory."""

import contextlib
import dataclasses
import platform
import statistics
import time
from collections.abc import Iterator
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from skyloom.training.numerics import reproducible
from skyloom.training.trainer import Trainer
from tests.gpu.subjects import Subject


@dataclasses.dataclass(frozen=True)
class Device:
    """Where it is measured, and how much.

    Attributes
    ----------
    name : of the device
    warm, timed : steps before and in a measurement
    side : of the square matrices whose product is the measure
    """

    device: str
    name: str
    threads: int
    warm: int
    timed: int
    side: int

    @classmethod
    def found(cls, wanted: str | None, threads: int, tiny: bool) -> "Device":
        device = wanted or ("cuda" if torch.cuda.is_available() else "cpu")
        cuda = device.startswith("cuda")
        name = torch.cuda.get_device_name(device) if cuda else f"CPU, {platform.machine()}, {threads} threads"
        return cls(device, name, threads, 1 if tiny else 3, 2 if tiny else 10, 8192 if cuda else 256 if tiny else 2048)

    @property
    def cuda(self) -> bool:
        return self.device.startswith("cuda")

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """As a training is: its number of threads, its choice of kernels."""
        with reproducible(self.threads):
            yield

    def seconds(self, action, *arguments) -> float:
        """Of one call, what it started on the device included."""
        self.wait()
        started = time.perf_counter()
        action(*arguments)
        self.wait()
        return time.perf_counter() - started

    def wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def products(self) -> float:
        """Operations a second of products of bfloat16 matrices of random numbers."""
        a, b = torch.randn(2, self.side, self.side, device=self.device).bfloat16()
        out = torch.empty_like(a)
        times = [self.seconds(lambda: torch.mm(a, b, out=out)) for _ in range(self.warm + self.timed)]
        return 2 * self.side**3 / statistics.median(times[self.warm :])


class Endless:
    """What a trainer asks of its samples before it is given batches."""

    def __init__(self, device: str, count: int):
        self.device, self.count = device, count

    def of(self, split: str) -> np.ndarray:
        return np.arange(self.count)

    def chosen(self, split: str, most: int) -> np.ndarray:
        return self.of(split)[:most]


def trainer_for(
    subject: Subject, device: Device, size: int, compiled: bool = False, precision: str = "bfloat16"
) -> Trainer:
    """A trainer with a new network on the device."""
    objective = subject.objective().to(device.device)
    if compiled:
        compile_blocks(objective)
    settings = subject.training(batch_size=size, precision=precision)
    trainer = Trainer(objective, Endless(device.device, size), settings, 0, None, 0, 1, print)
    trainer.objective.train()
    return trainer


def compile_blocks(objective: nn.Module) -> None:
    """Compile what a network repeats: the modules of its lists, each by itself. A batch and draws are no tensors."""
    for module in objective.modules():
        if isinstance(module, nn.ModuleList):
            for part in module:
                part.compile()


def batch_of(subject: Subject, device: Device, size: int):
    return subject.make(size, torch.Generator(device.device).manual_seed(1))


def measured(subject: Subject, device: Device, most: int, compiles: bool) -> dict:
    """A row of the table; a step that does not fit or does not compile is said in `note`."""
    notes = []
    largest = largest_batch(subject, device, most)
    size = min(subject.size, largest)
    rates = [device.products()]
    plain, peak = timed(subject, device, size, False)
    compiled = None
    if compiles:
        try:
            compiled, _ = timed(subject, device, size, True)
        except Exception as error:
            notes.append(f"torch.compile failed, {type(error).__name__}: {str(error).strip().splitlines()[0][:100]}")
    rates.append(device.products())
    rate, count = statistics.mean(rates), operations(subject, device)
    row = {
        "model": subject.name,
        "weights, million": sum(p.numel() for p in subject.objective().parameters() if p.requires_grad) / 1e6,
        "batch": size,
        "samples/s": size / plain,
        "tokens/s": subject.tokens and subject.tokens * size / plain,
        "TFLOP a sample": count / 1e12,
        "TFLOP/s": count * size / plain / 1e12,
        "of matrix products": count * size / plain / rate,
        "compiled: samples/s": compiled and size / compiled,
        "compiled: of matrix products": compiled and count * size / compiled / rate,
        "largest batch": f"{largest}{' or more' if largest >= most else ''}",
        "activations, MiB a sample": activations(subject, device) / 2**20,
        "peak memory, GiB": peak and peak / 2**30,
        "matrix products, TFLOP/s": rate / 1e12,
        "note": "; ".join(notes) or None,
    }
    release(device)
    return row


def timed(subject: Subject, device: Device, size: int, compiled: bool) -> tuple[float, int | None]:
    """Median seconds of a step, and the most bytes of a GPU that it took."""
    release(device)
    trainer, batch = trainer_for(subject, device, size, compiled), batch_of(subject, device, size)
    seconds = [device.seconds(trainer.advance, trainer.objective, batch) for _ in range(device.warm + device.timed)]
    return statistics.median(seconds[device.warm :]), torch.cuda.max_memory_allocated() if device.cuda else None


def largest_batch(subject: Subject, device: Device, most: int) -> int:
    """The largest batch, to an eighth, whose step fits into the GPU's memory; at most `most`, which a CPU is taken to
    hold."""
    if not device.cuda:
        return most

    def fits(size: int) -> bool:
        release(device)
        try:
            trainer = trainer_for(subject, device, size)
            trainer.advance(trainer.objective, batch_of(subject, device, size))
            return True
        except torch.OutOfMemoryError:
            return False

    low = 1
    while low < most and fits(min(2 * low, most)):
        low = min(2 * low, most)
    high = min(2 * low, most + 1)  # does not fit, or may not be tried
    while high - low > max(1, low // 8):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def activations(subject: Subject, device: Device) -> float:
    """Bytes that the forward pass keeps for the backward pass, for a sample, without the weights."""
    size = min(subject.size, 4)
    trainer, batch = trainer_for(subject, device, size), batch_of(subject, device, size)
    own = {parameter.untyped_storage().data_ptr() for parameter in trainer.objective.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        trainer.advance(trainer.objective, batch)
    return sum(kept.values()) / size


def operations(subject: Subject, device: Device) -> float:
    """Operations of the matrix products and convolutions of a step, for a sample: those of a batch of two, halved."""
    release(device)
    trainer, batch = trainer_for(subject, device, 2, precision="float32"), batch_of(subject, device, 2)
    with mock.patch("torch.nn.functional.scaled_dot_product_attention", plain_attention):
        with FlopCounterMode(display=False) as counter:
            trainer.advance(trainer.objective, batch)
    return counter.get_total_flops() / 2


def plain_attention(q: Tensor, k: Tensor, v: Tensor, *nothing: object, **more: object) -> Tensor:
    """Attention in products of its own, of which the counter knows the operations; masks and dropout are not used."""
    return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v


def release(device: Device) -> None:
    """Give back what is not used any more, and begin to count memory anew."""
    if device.cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
