"""How much of the machine's matrix-product rate a training step reaches: SpecFormer as published, and a ViT.

A step is what the trainer does: forward, backward, clipping, AdamW (and for AstroDINO teacher and running mean). After
every step the same process multiplies square matrices of the same type with the same threads, so that what else runs
on the machine slows both: the ratio of the two rates is the result, its median and range over the pairs.

Operations are those of matrix products alone (two a multiplication), as a plain implementation does them: attention
counts two products forward and four backward, whatever is computed again to save memory.

Run: ``PYTHONPATH=workflow python tests/bench/bench_training_step.py [--model specformer] [--precision bfloat16]``
"""

import argparse
import time
from unittest import mock

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from skyloom.models import networks
from skyloom.models.astrodino import PUBLISHED as DINO
from skyloom.models.specformer import PUBLISHED as SPECFORMER
from skyloom.nn.batch import Batch
from skyloom.settings import kinds
from skyloom.settings.training import Training
from skyloom.training.numerics import reproducible
from skyloom.training.trainer import Trainer

SIDE = 2048  # of the matrices multiplied
# AstroDINO's crops and patches with a ViT-B in place of the ViT-L, and prototypes to go with the few images of a batch
VIT = {**DINO, "dim": 768, "layers": 12, "heads": 12, "prototypes": 4096}
MODELS = {"specformer": SPECFORMER, "vit": VIT}


class Fake:
    """What a trainer asks of its samples: how many there are and where."""

    device = "cpu"

    def __init__(self, count: int):
        self.count = count

    def of(self, split: str) -> np.ndarray:
        return np.arange(self.count)

    def chosen(self, split: str, most: int) -> np.ndarray:
        return self.of(split)[:most]


def make_batch(model: str, size: int) -> Batch:
    """Noise in place of galaxies; one pixel of a hundred is bad."""
    random = torch.Generator().manual_seed(0)
    if model == "vit":
        return Batch({"image": {"rgb": torch.rand(size, 3, 152, 152, generator=random)}})
    good = torch.rand(size, 7781, generator=random) > 0.01
    return Batch({"spectrum": {"flux": torch.randn(size, 7781, generator=random), "ivar": good.float()}})


def make_trainer(model: str, precision: str, size: int) -> Trainer:
    name, modality = ("astrodino", "image") if model == "vit" else (model, "spectrum")
    kind = kinds.find("model", name, "kind")
    torch.manual_seed(0)
    network = networks.build({"kind": name, "modality": modality, "model": MODELS[model]})
    settings = Training(**{**kind.training, "batch_size": size, "precision": precision, "steps": 1000})
    trainer = Trainer(kinds.load(kind.objective)(network), Fake(size), settings, 0, None, 0, 1, print)
    trainer.objective.train()
    return trainer


def operations(model: str, batch: Batch) -> int:
    """Operations of the matrix products of one step."""
    size = len(batch)
    trainer = make_trainer(model, "float32", size)
    with FlopCounterMode(display=False) as counter, mock.patch("skyloom.nn.blocks.attend", plain_attention):
        trainer.advance(trainer.objective, batch)
    return counter.get_total_flops()


def plain_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v


def seconds(times: int, action, *arguments, **keywords) -> tuple[float, float]:
    """Wall and CPU seconds of one of `times` calls (CPU seconds leave out what other processes take, of one thread)."""
    started = time.perf_counter(), time.process_time()
    for _ in range(times):
        action(*arguments, **keywords)
    return (time.perf_counter() - started[0]) / times, (time.process_time() - started[1]) / times


def measure(model: str, precision: str, size: int, repeats: int) -> None:
    """Print one line: the ratio of the rates of steps and products that take turns."""
    count = operations(model, make_batch(model, 1)) * size  # a batch of one counts as each of many
    batch, trainer = make_batch(model, size), make_trainer(model, precision, size)
    a, b, out = torch.randn(3, SIDE, SIDE).to(getattr(torch, precision))
    products, pairs = 1, []
    for pair in range(-3, repeats):  # three to warm up: until the memory of a step is all there
        step = seconds(1, trainer.advance, trainer.objective, batch)
        product = seconds(products, torch.mm, a, b, out=out)
        products = max(1, round(step[0] / 4 / product[0]))  # long enough to meet the same neighbours
        if pair >= 0:
            pairs.append(np.divide([count / 1e9] * 2 + [2 * SIDE**3 / 1e9] * 2, [*step, *product]))
    wall, cpu, plain, plain_cpu = np.transpose(pairs)
    print(
        f"{model:10s} {precision:8s} batch {size:3d} {np.median(wall):5.0f} of {np.median(plain):5.0f} Gop/s:"
        f" ratio {spread(wall / plain)}, of CPU seconds {spread(cpu / plain_cpu)}",
        flush=True,
    )


def spread(values: np.ndarray) -> str:
    return f"{np.median(values):.2f} ({values.min():.2f}-{values.max():.2f})"


def profile(model: str, precision: str, size: int) -> None:
    """Print where the time of one step goes, by operation."""
    batch, trainer = make_batch(model, size), make_trainer(model, precision, size)
    for _ in range(3):
        trainer.advance(trainer.objective, batch)
    with torch.profiler.profile() as profiler:
        trainer.advance(trainer.objective, batch)
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=60))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=(*MODELS, "both"), default="both")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "both"), default="both")
    parser.add_argument("--batch", type=int, default=4, help="spectra or galaxies in a step (4)")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of a step and products (5)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="show one step by operation in place of the ratio")
    arguments = parser.parse_args()
    with reproducible(arguments.threads):
        for model in MODELS if arguments.model == "both" else (arguments.model,):
            for precision in ("float32", "bfloat16") if arguments.precision == "both" else (arguments.precision,):
                if arguments.profile:
                    profile(model, precision, arguments.batch)
                else:
                    measure(model, precision, arguments.batch, arguments.repeats)


if __name__ == "__main__":
    main()
