"""How fast shuffled batches of 256 spectra (flux and ivar, 7781 pixels) come.

Cold means that the system's page cache was told to drop the files; warm, that everything was read once before. Wanted
from a warm cache on two cores: 1,000 spectra a second.

Run: ``PYTHONPATH=workflow python tests/bench/bench_loader.py [--spectra 6000] [--folder FOLDER]``
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from skyloom.nn.spectra import specformer_tokens, token_weights
from skyloom.tokens.loader import Cached, batches
from skyloom.tokens.store import COMPRESSIONS, Shards, write_shard

BATCH = 256
NAMES = ["flux", "ivar"]


def make_shards(folder: Path, spectra: int, shards: int, compression: str) -> list[Path]:
    """Noise spectra in `shards` files."""
    paths = [folder / f"{compression}-{i}.h5" for i in range(shards)]
    for i, (path, targetid) in enumerate(zip(paths, np.array_split(np.arange(spectra), shards), strict=True)):
        rng = np.random.default_rng(i)
        flux = rng.standard_normal((len(targetid), 7781), "f4")
        ivar = rng.random((len(targetid), 7781), "f4")
        write_shard(path, targetid, {"flux": flux, "ivar": ivar}, compression=compression)
    return paths


def drop_from_page_cache(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def rate(source, steps: int, prepare=None) -> float:
    """Spectra a second over `steps` batches."""
    started = time.perf_counter()
    for batch in batches(source, np.arange(len(source.targetid)), NAMES, BATCH, seed=0, steps=steps):
        if prepare:
            prepare(batch)
    return BATCH * steps / (time.perf_counter() - started)


def make_tokens(batch: dict[str, np.ndarray]) -> None:
    flux, ivar = (torch.from_numpy(batch[name]) for name in NAMES)
    specformer_tokens(flux, ivar, 40, 40)
    token_weights(ivar, 40, 40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spectra", type=int, default=6000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--folder", help="where the shards go (default: a temporary folder)")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        for compression in COMPRESSIONS:
            folder = Path(name) / compression
            paths = make_shards(folder, arguments.spectra, 4, compression)
            drop_from_page_cache(folder)
            print(f"HDF5 {compression:15s} cold {rate(Shards(paths), arguments.steps):8.0f} spectra/s")
            shards = Shards(paths)
            shards.read(np.arange(len(shards)), NAMES)
            print(f"HDF5 {compression:15s} warm {rate(shards, arguments.steps):8.0f} spectra/s")
        cached = Cached(shards, Path(name) / "cache")
        drop_from_page_cache(Path(name) / "cache")
        print(f"memory map           cold {rate(cached, arguments.steps):8.0f} spectra/s")
        cached.read(np.arange(len(shards)), NAMES)
        print(f"memory map           warm {rate(cached, arguments.steps):8.0f} spectra/s")
        print(f"warm + 40/40 tokens + weights  {rate(cached, arguments.steps, make_tokens):8.0f} spectra/s")


if __name__ == "__main__":
    main()
