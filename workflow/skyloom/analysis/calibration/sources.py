"""Where posteriors come from: density heads on embeddings, pairs and magnitudes, and models that give them themselves.

Of the galaxies that it is given, a hashed share choose the epochs of a head and the others train it.
"""

import dataclasses
import itertools
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas

from skyloom.analysis.calibration import PHOTOMETRY, Settings, heads
from skyloom.analysis.common.densities import BLOCK, Family, Grids
from skyloom.analysis.common.embeddings import EmbeddingFile, open_embedding
from skyloom.analysis.common.posteriors import PosteriorFile
from skyloom.analysis.common.traits import Described
from skyloom.core.mixing import uniform
from skyloom.figures import style

log = logging.getLogger(__name__)

LEAST = 20
"""Labels that a property must have among the galaxies that train a head, and among those that choose its epochs."""
BASELINE = {"kind": PHOTOMETRY, "baseline": True, "photometry": True}
Z = "z"
_SALT = zlib.crc32(b"calibration")  # splits are drawn with the same function of the same number


@dataclasses.dataclass(frozen=True)
class Answer:
    """One way of asking a source: all of a pair, or one of the two alone.

    Attributes
    ----------
    source : MODEL-MODALITY, two of them joined by "+", "photometry", or a model that gives posteriors itself
    given : the modalities it is given, joined by "+"
    traits : of the model; a pair is a kind of its own
    properties : what it has posteriors of
    block : galaxies asked at once
    saw_labels : it was trained on the labels of the whole training split
    """

    source: str
    given: str
    traits: Mapping
    properties: Sequence[str]
    block: int
    saw_labels: bool
    _asked: "_Asked"

    def has(self, targetid: np.ndarray) -> np.ndarray:
        """Whether (n,) it can answer for these galaxies."""
        return self._asked.has(targetid)

    def families(self, targetid: np.ndarray) -> list[Family]:
        """The densities of these galaxies, a family a property; it has them all."""
        return self._asked.families(targetid)


class _Asked(Protocol):
    def has(self, targetid: np.ndarray) -> np.ndarray: ...

    def families(self, targetid: np.ndarray) -> list[Family]: ...


def answers(
    samples: dict[str, pandas.DataFrame],
    described: Sequence[Described],
    paired: Mapping[str, Described],
    predictions: Sequence[str],
    properties: Sequence[str],
    settings: Settings,
    seed: int,
) -> Iterator[Answer]:
    """All ways of asking all sources: photometry, embeddings, pairs, models of `predictions`.

    `samples` : split -> its galaxies by targetid with properties and magnitudes. `paired` : name -> embedding. A head
    lives no longer than its turn. A source with fewer than LEAST labels to train or to choose on is left out, and so is
    a property; both are said in the log.
    """
    magnitudes = _Magnitudes.read(samples, settings)
    singles: list[tuple] = [(magnitudes,)] if magnitudes else []
    singles += [(_Columns(place),) for place in described]
    pairs = [tuple(magnitudes if n == PHOTOMETRY else _Columns(paired[n]) for n in pair) for pair in settings.pairs]
    for parts in (*singles, *(pair for pair in pairs if all(pair))):
        yield from _asked_head(parts, samples["train"], properties, settings, seed)
    for path in predictions:
        file = PosteriorFile(path)
        yield Answer(file.name, file.given, file.traits, [Z], file.block, True, _AskedModel(file))


class _Columns:
    """Columns of an embedding."""

    def __init__(self, place: Described):
        self.name, self.modality, self.traits = place.name, place.modality, place.traits
        self.file: EmbeddingFile = open_embedding(place.path)
        self.width = self.file.width

    def has(self, targetid: np.ndarray) -> np.ndarray:
        return np.isin(targetid, self.file.targetid)

    def of(self, targetid: np.ndarray) -> np.ndarray:
        return self.file.of(targetid)


class _Magnitudes:
    """Columns of magnitudes; a galaxy that lacks one has none."""

    name, modality, traits = PHOTOMETRY, PHOTOMETRY, BASELINE

    def __init__(self, table: pandas.DataFrame):
        self.table, self.width = table, table.shape[1]

    @classmethod
    def read(cls, samples: dict[str, pandas.DataFrame], settings: Settings) -> "_Magnitudes | None":
        names = settings.photometry
        missing = [name for name in names if name not in samples["train"]]
        if not names or missing:
            log.info("no photometry baseline: the catalogue has no column %s", ", ".join(missing) or "to take it from")
            return None
        return cls(pandas.concat([sample[names] for sample in samples.values()]).dropna().astype(np.float32))

    def has(self, targetid: np.ndarray) -> np.ndarray:
        return np.isin(targetid, self.table.index.to_numpy())

    def of(self, targetid: np.ndarray) -> np.ndarray:
        return self.table.loc[targetid].to_numpy()


def _inputs(parts: Sequence, targetid: np.ndarray, given: Sequence[bool]) -> heads.Inputs:
    """Columns of the parts that are given, of galaxies that have one of them at least."""
    widths = [part.width for part in parts]
    values = np.zeros((len(targetid), sum(widths)), np.float32)
    there = np.zeros((len(targetid), len(parts)), bool)
    ends = np.cumsum(widths)
    for p, part in enumerate(parts):
        if given[p]:
            there[:, p] = part.has(targetid)
            values[there[:, p], ends[p] - widths[p] : ends[p]] = part.of(targetid[there[:, p]])
    return heads.Inputs(values, there, widths)


def _asked_head(parts, train: pandas.DataFrame, properties, settings: Settings, seed: int) -> Iterator[Answer]:
    name = "+".join(part.name for part in parts)
    targetid = train.index.to_numpy()
    any_part = np.logical_or.reduce([part.has(targetid) for part in parts])
    labels = train[list(properties)].to_numpy(float)
    targetid, labels = (x[any_part & np.isfinite(labels).any(axis=1)] for x in (targetid, labels))
    drawn = uniform(seed ^ _SALT, targetid)
    few = np.argsort(drawn, kind="stable")[: settings.galaxies]
    few.sort()
    targetid, labels, chooses = targetid[few], labels[few], drawn[few] < settings.chosen_on * drawn[few].max(initial=0)
    counts = [np.isfinite(labels[some]).sum(axis=0) for some in (~chooses, chooses)]
    known = np.flatnonzero(np.min(counts, axis=0) >= LEAST)
    for p in set(range(len(properties))) - set(known.tolist()):
        log.info("%s: %d labels of %s to train on, %d to choose on, %d needed: left out",
                 name, counts[0][p], properties[p], counts[1][p], LEAST)  # fmt: skip
    if not len(known):
        return
    everything = _inputs(parts, targetid, [True] * len(parts))
    head = heads.train(everything, labels[:, known], chooses, settings.plain(), seed)
    names = [properties[p] for p in known]
    log.info("%s: %d galaxies train, %d choose; epochs %s", name, (~chooses).sum(), chooses.sum(), head.epochs.tolist())
    for given in heads.ways(len(parts)):
        modalities = "+".join(part.modality for part, there in zip(parts, given, strict=True) if there)
        yield Answer(name, modalities, _traits(parts), names, BLOCK, False, _AskedHead(head, parts, given))


def _traits(parts: Sequence) -> Mapping:
    """Of a pair: a kind of its own, trained if both are."""
    if len(parts) == 1:
        return parts[0].traits
    traits = {"kind": "+".join(str(part.traits.get("kind") or part.name) for part in parts)}
    return traits | {"trained": not any(style.untrained(part.traits) for part in parts)}


@dataclasses.dataclass(frozen=True)
class _AskedHead:
    head: heads.Head
    parts: Sequence
    given: Sequence[bool]

    def has(self, targetid: np.ndarray) -> np.ndarray:
        """All that are given: with one of a pair missing it is another way of asking."""
        return np.logical_and.reduce([part.has(targetid) for part in itertools.compress(self.parts, self.given)])

    def families(self, targetid: np.ndarray) -> list[Family]:
        return self.head.mixtures(_inputs(self.parts, targetid, self.given))


@dataclasses.dataclass(frozen=True)
class _AskedModel:
    file: PosteriorFile

    def has(self, targetid: np.ndarray) -> np.ndarray:
        return np.isin(targetid, self.file.targetid)

    def families(self, targetid: np.ndarray) -> list[Family]:
        return [Grids(self.file.grid, self.file.of(targetid))]
