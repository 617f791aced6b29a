"""What properties are predicted from: magnitudes, and embeddings read one at a time."""

import dataclasses
import itertools
import logging
from collections.abc import Iterator, Sequence

import numpy as np
import pandas

from skyloom.analysis.common import neighbours, tables
from skyloom.analysis.common.embeddings import open_embedding
from skyloom.analysis.common.predictors import PHOTOMETRY, TRUTH, WITH_REDSHIFT, PredictorSettings
from skyloom.analysis.common.traits import Described

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
REDSHIFT = "best_z"
"""Column of the samples: the redshift that was put in, or else that of the catalogue."""
LEAST = 2
"""Galaxies that a split must have, and labels of a property in it, for a score."""
BASELINE = {"baseline": True, "photometry": True}
"""Traits of what is read from the catalogue."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Features of one model.

    Attributes
    ----------
    model, modality : names; "a->b" are queries in modality a among training galaxies in b
    traits : of the model
    features : split -> (n, d)
    rows : split -> (n,) numbers of its galaxies among those of the split
    widths : how many leading columns to try
    whitened : how many whitened principal components kNN tries, 0 for the features themselves
    standardise : each column by its mean and deviation in the training split
    few_shot : an MLP is trained on it
    given : properties that are among the features, and not predicted
    """

    model: str
    modality: str
    traits: dict
    features: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    widths: tuple[int, ...]
    whitened: tuple[int, ...] = (0,)
    standardise: bool = True
    few_shot: bool = True
    given: tuple[str, ...] = ()

    @property
    def methods(self) -> list[str]:
        """What predicts from it."""
        return ["knn", "mlp"] if self.few_shot else ["knn"]

    def candidates(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Width and features, standardised by the training split."""
        for width in self.widths:
            cut = [self.features[split][:, :width] for split in SPLITS]
            cut = neighbours.standardise(*cut) if self.standardise else cut
            yield width, dict(zip(SPLITS, cut, strict=True))


def read_samples(galaxies: str, splits: str, settings: PredictorSettings) -> dict[str, pandas.DataFrame]:
    """Split -> its galaxies by rising targetid, with properties, their truth and magnitudes, if the catalogue has them,
    and REDSHIFT."""
    there = tables.column_names(galaxies)
    wanted = [*settings.properties, *map(true_name, settings.properties), *settings.photometry, "z", true_name("z")]
    names = [name for name in dict.fromkeys(wanted) if name in there]
    found = tables.read_galaxies(galaxies, splits, names).sort_index()
    redshifts = [found[name] for name in (true_name("z"), "z") if name in found]
    if redshifts:
        found[REDSHIFT] = redshifts[0].fillna(redshifts[-1])
    return {split: found[found["split"] == split] for split in SPLITS}


def sources(
    samples: dict[str, pandas.DataFrame],
    described: Sequence[Described],
    settings: PredictorSettings,
    crossed: bool = True,
) -> Iterator[Source]:
    """Columns of the catalogue, every embedding, and (`crossed`) queries in one modality among another if a model has
    one space.

    `samples` : split -> its galaxies by targetid. An embedding lives no longer than its turn; each source holds the
    galaxies that it has, so that a sparse modality takes none from the others. One with fewer than LEAST galaxies in a
    split is left out with a line in the log.
    """
    yield from filter(_enough, _columns(samples, settings))
    for place in described:
        yield from filter(_enough, [_embedding(samples, place, settings)])
    for query, reference in itertools.permutations(described, 2) if crossed else ():
        if query.model == reference.model and query.shared_space:
            yield from filter(_enough, [_crossed(samples, query, reference)])


def _enough(source: Source) -> bool:
    short = [split for split in SPLITS if len(source.rows[split]) < LEAST]
    for split in short[:1]:
        name = f"{source.model}-{source.modality}"
        log.info("%s: %d galaxies in the %s split: left out", name, len(source.rows[split]), split)
    return not short


def _columns(samples: dict[str, pandas.DataFrame], settings: PredictorSettings) -> Iterator[Source]:
    """Magnitudes; magnitudes and the redshift; and what was put in, which is noiseless where the labels are not."""
    magnitudes = settings.photometry
    truth = [true_name(name) for name in settings.properties]
    for name, columns, given in (
        (PHOTOMETRY, magnitudes, ()),
        (WITH_REDSHIFT, [*magnitudes, REDSHIFT], ("z",)),
        (TRUTH, [column for column in truth if column in samples["train"]], ()),
    ):
        missing = [column for column in columns if column not in samples["train"]]
        if not magnitudes and name != TRUTH or missing or not columns:
            log.info("no baseline %s: the catalogue has no %s", name, ", ".join(missing) or "column to take it from")
            continue
        values = {split: sample[columns].to_numpy(float) for split, sample in samples.items()}
        rows = {split: np.flatnonzero(np.isfinite(found).all(axis=1)) for split, found in values.items()}
        features = {split: values[split][rows[split]] for split in SPLITS}
        log.info("%s: %s", name, ", ".join(f"{len(rows[s])} of {len(values[s])} galaxies of {s}" for s in SPLITS))
        modality = PHOTOMETRY if name == WITH_REDSHIFT else name
        yield Source(name, modality, BASELINE | {"kind": name}, features, rows, (len(columns),), given=given)


def true_name(name: str) -> str:
    """The column with the truth of a property."""
    return f"{name}_true"


def _embedding(samples: dict[str, pandas.DataFrame], place: Described, settings: PredictorSettings) -> Source:
    features, rows = _read(samples, place, SPLITS)
    width = features["train"].shape[1]
    widths, whitened = (width,), tuple(n for n in settings.whitened if n <= width) or (0,)
    if place.ordered:
        widths, whitened = tuple(sorted({min(width, c) for c in settings.components})), (0,)
    return Source(place.model, place.modality, place.traits, features, rows, widths, whitened)


def _crossed(samples: dict[str, pandas.DataFrame], query: Described, reference: Described) -> Source:
    features, rows = _read(samples, query, SPLITS[1:])
    train, members = _read(samples, reference, SPLITS[:1])
    features, rows = train | features, members | rows
    name, width = f"{query.modality}->{reference.modality}", features["train"].shape[1]
    return Source(query.model, name, query.traits, features, rows, (width,), standardise=False, few_shot=False)


def _read(samples: dict[str, pandas.DataFrame], place: Described, splits: Sequence[str]) -> tuple[dict, dict]:
    """Features and rows of the galaxies of `splits` that the table has; nothing else of it is read."""
    file = open_embedding(place.path)
    features, rows = {}, {}
    for split in splits:
        targetid = samples[split].index.to_numpy()
        rows[split] = np.flatnonzero(np.isin(targetid, file.targetid))
        features[split] = file.of(targetid[rows[split]])
        if len(rows[split]) < len(targetid):
            log.info("%s: %d of %d galaxies of %s", place.name, len(rows[split]), len(targetid), split)
    return features, rows
