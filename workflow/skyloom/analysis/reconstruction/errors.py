"""Mean squared errors of what was hidden, beside what knows the training galaxies, or the redshift, alone."""

from collections.abc import Iterator

import numpy as np

from skyloom.analysis.common import statistics
from skyloom.analysis.reconstruction import Settings
from skyloom.analysis.reconstruction.answers import BLOCK, TRAIN, Answers, Sky

MEAN, ZERO, NEAREST = "mean of training galaxies", "zero", "nearest in redshift"
LEAST = 10
"""Galaxies below which nothing is said."""


def near_name(count: int) -> str:
    """What the mean of the nearest in redshift is called."""
    return f"mean of the {count} nearest in redshift"


class Known:
    """What training galaxies tell of one that is not seen: the mean of each modality, and spectra by redshift.

    Parameters
    ----------
    sky : what is there
    most : training galaxies at most
    """

    def __init__(self, sky: Sky, most: int):
        ids = sky.some(TRAIN, most)
        self.z = sky.z.reindex(ids).to_numpy(float)
        order = np.argsort(self.z, kind="stable")
        ids, self.z = ids[order], self.z[order]
        sums: dict[str, np.ndarray] = {}
        counts: dict[str, np.ndarray] = {}
        spectra = []
        for start in range(0, len(ids), BLOCK):
            _, truth = sky.truth(ids[start : start + BLOCK])
            for modality, values in truth.items():
                sums[modality] = sums.get(modality, 0) + np.nansum(values, axis=0, dtype=float)
                counts[modality] = counts.get(modality, 0) + np.isfinite(values).sum(0)
            spectra.append(truth.get("spectrum"))
        self.mean = {m: (total / np.maximum(counts[m], 1)).astype("f4") for m, total in sums.items()}
        self.spectra = np.concatenate(spectra) if len(ids) and spectra[0] is not None else None
        if self.spectra is not None:
            has = np.isfinite(self.spectra).any(1)
            self.z, self.spectra = self.z[has], self.spectra[has]

    def nearest(self, z: np.ndarray, count: int) -> np.ndarray:
        """Mean spectra (N, n) of the `count` training galaxies nearest to redshifts (N,); where none of them was
        measured, the mean of all."""
        count = min(count, len(self.z))
        found = np.empty((len(z), self.spectra.shape[1]), "f4")
        for row, value in enumerate(z):
            place = np.searchsorted(self.z, value)
            first, last = max(place - count, 0), min(place + count, len(self.z))
            chosen = first + np.argsort(np.abs(self.z[first:last] - value), kind="stable")[:count]
            some = self.spectra[chosen]
            known = np.isfinite(some)
            total = np.where(known, some, 0).sum(0)
            found[row] = np.where(known.any(0), total / np.maximum(known.sum(0), 1), self.mean["spectrum"])
        return found


def measure(answers: Answers, sky: Sky, known: Known, ids: np.ndarray, s: Settings) -> dict:
    """modality -> (targetid (N,), method -> (N,) squared error of the hidden numbers, mean over those of a galaxy).

    Galaxies without the modality, or of which nothing was hidden, are left out.
    """
    parts: dict[str, list] = {}
    for block in answers.blocks(sky, ids):
        for modality, truth in block.truth.items():
            said = {"network": block.said[modality], MEAN: known.mean[modality], ZERO: np.float32(0)}
            if modality == "spectrum" and known.spectra is not None:
                z = sky.z.reindex(block.targetid).to_numpy(float)
                said |= {NEAREST: known.nearest(z, 1), near_name(s.neighbours): known.nearest(z, s.neighbours)}
            counted = block.hidden[modality] & np.isfinite(truth)
            has = counted.any(1)
            found = {name: _mean(values, truth, counted)[has] for name, values in said.items()}
            parts.setdefault(modality, []).append((block.targetid[has], found))
    return {
        modality: (
            np.concatenate([ids for ids, _ in some]),
            {name: np.concatenate([found[name] for _, found in some]) for name in some[0][1]},
        )
        for modality, some in parts.items()
    }


def _mean(values: np.ndarray, truth: np.ndarray, counted: np.ndarray) -> np.ndarray:
    each = np.where(counted, (values - np.nan_to_num(truth)) ** 2, 0)
    return each.sum(1, dtype=float) / np.maximum(counted.sum(1), 1)


def scores(errors: dict[str, np.ndarray], z: np.ndarray, s: Settings, seed: int) -> Iterator[tuple]:
    """(method, group, metric, value, interval, n): of all galaxies and of each bin of redshift, the mean squared error
    of each method and, of the network, the share of another's that it does without.

    Parameters
    ----------
    errors : method -> (N,), as `measure` gives
    z : (N,) known redshifts
    """
    edges = [-np.inf, *sorted(s.redshifts), np.inf]
    groups = {"all": np.ones(len(z), bool)}
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        name = f"z < {high:g}" if low == -np.inf else f"z > {low:g}" if high == np.inf else f"z {low:g} to {high:g}"
        groups[name] = (z >= low) & (z < high)
    for group, mask in groups.items():
        n = int(mask.sum())
        if n < LEAST:
            continue
        for method, values in errors.items():
            some = values[mask]
            drawn = statistics.bootstrap(lambda x: x.mean(-1), some, count=s.resamples, seed=seed)
            yield method, group, "mse", some.mean(), statistics.interval(drawn), n
        ours = errors["network"][mask]
        for method, values in errors.items():
            if method != "network":
                other = values[mask]
                drawn = statistics.bootstrap(_gain, ours, other, count=s.resamples, seed=seed)
                yield method, group, "explained", _gain(ours, other), statistics.interval(drawn), n


def _gain(ours: np.ndarray, other: np.ndarray) -> np.ndarray:
    return 1 - ours.mean(-1) / other.mean(-1)
