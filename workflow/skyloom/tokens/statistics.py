"""Statistics of the training split, shard by shard, and the quarantine lists of all shards in one.

Sums are kept as exact fractions and quantiles as histogram counts, also in the file of a shard, so the result does not
depend on the order of the shards nor on how galaxies are spread over them. Memory does not grow with their number.
"""

import csv
import functools
import json
import logging
import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from skyloom.core.errors import BadInput
from skyloom.core.files import write_json
from skyloom.formats import galaxiesml, legacy, part_columns
from skyloom.tokens.galaxies import QUARANTINE_COLUMNS, write_quarantine
from skyloom.tokens.magnitudes import MAGNITUDES
from skyloom.tokens.store import Shards, verify

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BLOCK = 128


class Moments:
    """Count, mean and standard deviation (population) of numbers that come in parts, exact until the last
    rounding."""

    def __init__(self) -> None:
        self.count, self.sum, self.squares = 0, Fraction(0), Fraction(0)

    def add(self, count: int, sums: np.ndarray, squares: np.ndarray) -> None:
        """Add the sums, and sums of squares, of parts that hold `count` numbers together."""
        self.count += int(count)
        self.sum += sum(map(Fraction, np.asarray(sums, "f8").tolist()))
        self.squares += sum(map(Fraction, np.asarray(squares, "f8").tolist()))

    def state(self) -> list:
        """Count and sums, exact, for JSON."""
        return [self.count, str(self.sum), str(self.squares)]

    def merge(self, state: list) -> None:
        """Add what another one has seen, from its `state`."""
        self.count += state[0]
        self.sum += Fraction(state[1])
        self.squares += Fraction(state[2])

    def result(self) -> dict[str, float | None]:
        """{"mean", "std"}; None when nothing was added."""
        if not self.count:
            return {"mean": None, "std": None}
        mean = self.sum / self.count
        variance = self.squares / self.count - mean**2  # a square is rounded: of equal numbers this can be below 0
        return {"mean": float(mean), "std": float(max(variance, 0)) ** 0.5}


class LogHistogram:
    """Quantiles of positive numbers between 1e-12 and 1e12, to 0.005 dex (1.2 %), from counts in bins of 0.01 dex."""

    LOW, WIDTH, BINS = -12.0, 0.01, 2400

    def __init__(self) -> None:
        self.counts = np.zeros(self.BINS, "i8")

    def add(self, values: np.ndarray) -> None:
        place = np.floor((np.log10(values) - self.LOW) / self.WIDTH).astype("i8").clip(0, self.BINS - 1)
        self.counts += np.bincount(place, minlength=self.BINS)

    def state(self) -> list:
        """Bins that are not empty, and their counts, for JSON."""
        filled = np.flatnonzero(self.counts)
        return [filled.tolist(), self.counts[filled].tolist()]

    def merge(self, state: list) -> None:
        """Add what another one has seen, from its `state`."""
        filled, counts = state
        self.counts[np.asarray(filled, "i8")] += np.asarray(counts, "i8")

    def quantiles(self, levels: Sequence[float]) -> dict[str, float | None]:
        total = np.cumsum(self.counts)
        if not total[-1]:
            return {f"{level:g}": None for level in levels}
        place = np.searchsorted(total, np.asarray(levels) * total[-1])
        values = 10 ** (self.LOW + self.WIDTH * (place + 0.5))
        return {f"{level:g}": float(f"{value:.4g}") for level, value in zip(levels, values, strict=True)}


class SpectrumStatistics:
    """Pixels, per-spectrum mean and standard deviation, masked fraction and ivar, over good pixels (ivar > 0)."""

    def __init__(self) -> None:
        self.pixels, self.means, self.stds = Moments(), Moments(), Moments()
        self.ivar, self.all_pixels = LogHistogram(), 0

    def add(self, flux: np.ndarray, ivar: np.ndarray) -> None:
        """Add spectra, both (n, W)."""
        good = ivar > 0
        flux = np.where(good, flux, 0).astype("f8")
        count = good.sum(axis=1)
        sums, squares = flux.sum(axis=1), (flux**2).sum(axis=1)
        mean = sums / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
        self.pixels.add(count.sum(), sums, squares)
        self.means.add(len(mean), mean, mean**2)
        self.stds.add(len(std), std, std**2)
        self.ivar.add(ivar[good])
        self.all_pixels += good.size

    def state(self) -> list:
        """What has been seen, for JSON."""
        return [self.all_pixels, *(part.state() for part in (self.pixels, self.means, self.stds, self.ivar))]

    def merge(self, state: list) -> None:
        """Add what another one has seen, from its `state`."""
        self.all_pixels += state[0]
        for part, other in zip((self.pixels, self.means, self.stds, self.ivar), state[1:], strict=True):
            part.merge(other)

    def result(self) -> dict:
        masked = 1 - self.pixels.count / self.all_pixels if self.all_pixels else None
        return {
            "flux_pixel": self.pixels.result(),
            "flux_mean_of_spectrum": self.means.result(),
            "flux_std_of_spectrum": self.stds.result(),
            "masked_fraction": masked,
            "ivar_quantiles": self.ivar.quantiles(QUANTILES),
        }


class ImageStatistics:
    """Mean and standard deviation of the pixels of each channel of some datasets; `names`: dataset -> its channels."""

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self.names = names
        self.channels = {(name, c): Moments() for name, channels in names.items() for c in range(len(channels))}

    def add(self, **images: np.ndarray) -> None:
        """Add images, each name -> (n, channels, H, W)."""
        for (name, c), moments in self.channels.items():
            pixels = np.ascontiguousarray(images[name][:, c], "f8").reshape(len(images[name]), -1)
            moments.add(pixels.size, pixels.sum(axis=1), (pixels**2).sum(axis=1))

    def state(self) -> list:
        """What has been seen, for JSON."""
        return [moments.state() for moments in self.channels.values()]

    def merge(self, state: list) -> None:
        """Add what another one has seen, from its `state`."""
        for moments, other in zip(self.channels.values(), state, strict=True):
            moments.merge(other)

    def result(self) -> dict:
        table = {name: {} for name in self.names}
        for (name, c), moments in self.channels.items():
            table[name][self.names[name][c]] = moments.result()
        return table


class VectorStatistics:
    """Mean and standard deviation of all known numbers of a vector together, or of each of its elements if they are
    named. NaN is not known."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names, self.moments = names, [Moments() for _ in names or ("values",)]

    def add(self, values: np.ndarray) -> None:
        """Add vectors (n, D)."""
        for moments, part in zip(self.moments, np.split(values.astype("f8"), len(self.moments), axis=1), strict=True):
            known = np.isfinite(part)
            part = np.where(known, part, 0)
            moments.add(known.sum(), part.sum(axis=1), (part**2).sum(axis=1))

    def state(self) -> list:
        """What has been seen, for JSON."""
        return [moments.state() for moments in self.moments]

    def merge(self, state: list) -> None:
        """Add what another one has seen, from its `state`."""
        for moments, other in zip(self.moments, state, strict=True):
            moments.merge(other)

    def result(self) -> dict:
        results = [moments.result() for moments in self.moments]
        return {"values": dict(zip(self.names, results, strict=True)) if self.names else results[0]}


STATISTICS = {
    "spectrum": (SpectrumStatistics, ("flux", "ivar")),
    "image": (
        functools.partial(ImageStatistics, {"flux": legacy.BANDS, "rgb": ("red", "green", "blue")}),
        ("flux", "rgb"),
    ),
    "hsc_image": (functools.partial(ImageStatistics, {"flux": galaxiesml.BANDS}), ("flux",)),
    # as MOSAIC standardises them: scalars each for itself, vectors by one mean and deviation
    "scalars": (functools.partial(VectorStatistics, part_columns.SCALARS), ("values",)),
    "magnitudes": (functools.partial(VectorStatistics, MAGNITUDES), ("values",)),
    **{name: (VectorStatistics, ("values",)) for name in part_columns.VECTORS},
}
"""Modality -> its statistics and the datasets they look at.

Statistics have `add` (of blocks by name of the dataset), `state`, `merge` and `result`.
"""


def shard_statistics(
    shard_path: str | os.PathLike, splits_path: str | os.PathLike, statistics_path: str | os.PathLike
) -> None:
    """Verify a shard and write what `merge_statistics` needs of it as JSON; raises as `measure` does."""
    write_json(statistics_path, measure(shard_path, splits_path))


def merge_statistics(
    shard_statistics_paths: Sequence[str | os.PathLike],
    quarantine_paths: Sequence[str | os.PathLike],
    statistics_path: str | os.PathLike,
    quarantine_path: str | os.PathLike,
) -> None:
    """Write the training statistics of a modality from those of its shards, and join the quarantine lists.

    Parameters
    ----------
    shard_statistics_paths : what `shard_statistics` wrote, one a shard, in any order
    quarantine_paths : one csv a shard
    statistics_path : json; means and standard deviations of training galaxies only, in the units of the datasets
    quarantine_path : csv sorted by targetid, file and row

    Raises
    ------
    BadInput : a file that `shard_statistics` did not write, shards of two modalities or one shard twice.
    """
    measured = sorted(map(_read_measured, shard_statistics_paths), key=lambda part: part["shard"])
    modality, shards = measured[0]["modality"], [part["shard"] for part in measured]
    for part, name, before in zip(measured, shards, [None, *shards], strict=False):
        if part["modality"] != modality or name == before:
            raise BadInput(f"{name} ({part['modality']}): expected different shards of one modality, {modality}")
    statistics = STATISTICS[modality][0]()
    for part in measured:
        statistics.merge(part["state"])
    broken = join_quarantine(quarantine_paths)
    counts = {name: sum(part["galaxies"][name] for part in measured) for name in SPLITS}
    summary = {
        "modality": modality,
        "split": "train",
        "galaxies": counts,
        "quarantined": len(broken),
        "shards": {part["shard"]: part["sha256"] for part in measured},
    }
    axis = measured[0].get("axis")
    for part, name in zip(measured, shards, strict=True):
        if part.get("axis") != axis:
            raise BadInput(f"{name}: its {modality} lies elsewhere than that of {shards[0]}; expected one axis for all")
    if axis:
        summary["axis"] = axis
    write_quarantine(quarantine_path, broken)
    write_json(statistics_path, summary | statistics.result())
    log.info("%s: %s, %d quarantined", modality, ", ".join(f"{n} {name}" for name, n in counts.items()), len(broken))


def measure(shard_path: str | os.PathLike, splits_path: str | os.PathLike) -> dict:
    """Verify one shard and sum up its training galaxies: modality, shard (name), sha256, galaxies (by split), state.

    Raises
    ------
    BadInput : the shard is damaged, of an unknown modality, or a galaxy in it has no split.
    """
    path = Path(shard_path)
    digest = verify(path)
    shard = Shards([path])
    modality = str(shard.attrs.get("modality"))
    if modality not in STATISTICS:
        raise BadInput(f"{path}: modality is {modality}, expected one of {', '.join(STATISTICS)}")
    split = split_of(shard.targetid, splits_path)
    kind, names = STATISTICS[modality]
    statistics = kind()
    train = np.flatnonzero(split == SPLITS.index("train"))
    for start in range(0, len(train), _BLOCK):
        block = shard.read(train[start : start + _BLOCK], names)
        statistics.add(**{name: block[name] for name in names})
    shard.close()
    counts = np.bincount(split, minlength=len(SPLITS)).tolist()
    return {
        "modality": modality,
        "shard": path.name,
        "sha256": digest,
        "galaxies": dict(zip(SPLITS, counts, strict=True)),
        "state": statistics.state(),
        **({"axis": json.loads(shard.attrs["axis"])} if "axis" in shard.attrs else {}),
    }


def _read_measured(path: str | os.PathLike) -> dict:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        if (
            not {"modality", "shard", "sha256", "galaxies", "state"} <= set(found)
            or found["modality"] not in STATISTICS
        ):
            raise ValueError("keys are missing")
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"{path}: expected the statistics of a shard as JSON ({error}); delete it and rerun") from error
    return found


def split_of(targetid: np.ndarray, splits_path: str | os.PathLike) -> np.ndarray:
    """Number in SPLITS of the split of each identifier, (n,) int8. The file is streamed: only these galaxies are held.

    Raises
    ------
    BadInput : splits.parquet cannot be read, has another split, or lacks a galaxy.
    """
    known, place = np.unique(targetid, return_inverse=True)
    code = np.full(len(known), -1, np.int8)
    names = pa.array(SPLITS)
    try:
        with pq.ParquetFile(splits_path) as file:
            for batch in file.iter_batches(2**16, columns=["targetid", "split"], use_threads=False):
                some, index = batch["targetid"].to_numpy(), pc.index_in(batch["split"], names)
                if index.null_count:
                    raise BadInput(f"{splits_path}: column split has more than {', '.join(SPLITS)}")
                row = np.searchsorted(known, some)
                held = row < len(known)
                held[held] = known[row[held]] == some[held]
                code[row[held]] = index.to_numpy()[held]
    except (pa.ArrowException, OSError, KeyError) as error:
        raise BadInput(f"{splits_path}: expected Parquet with columns targetid, split") from error
    missing = code[place] < 0
    if missing.any():
        first = targetid[missing][0]
        raise BadInput(
            f"{splits_path}: column targetid lacks {missing.sum()} galaxies of the shards, the first {first}"
        )
    return code[place]


def join_quarantine(paths: Sequence[str | os.PathLike]) -> list[tuple[int, str, int, str]]:
    """Rows (targetid, file, row, reason) of all quarantine lists, sorted."""
    rows = []
    for path in paths:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != QUARANTINE_COLUMNS:
                raise BadInput(f"{path}: first line must be {','.join(QUARANTINE_COLUMNS)}; delete it and rerun")
            rows += [(int(targetid), name, int(row), reason) for targetid, name, row, reason in reader]
    return sorted(rows)
