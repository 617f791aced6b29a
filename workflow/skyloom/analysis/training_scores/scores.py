"""R2 of training galaxies beside that of test galaxies, the gap between them, and the naive score that is no score.

Counterpart of Table 4 of the AstroCLIP benchmark (Information 2026, 17(5), 422), which scored a kNN with distance
weights on its own training points.
"""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas
from threadpoolctl import threadpool_limits

from skyloom.analysis.common import bygroup, statistics, tables
from skyloom.analysis.common.predictors.choices import Choices, read_choices
from skyloom.analysis.common.predictors.sources import LEAST, Source, read_samples, sources
from skyloom.analysis.common.significance import holm, resamples_for, two_sided
from skyloom.analysis.common.traits import describe_all
from skyloom.analysis.training_scores import Settings, figures, left_out
from skyloom.figures import style
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

COLUMNS = [*tables.COLUMNS, "kind", "trained"]
"""The tidy table, and what a model is."""
NOTHING = (np.nan, np.nan)
Key = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class Predicted:
    """Predictions (N, P) of the training galaxies by a source and method; `naive` ones of a kNN that finds itself."""

    traits: Mapping
    values: np.ndarray
    naive: np.ndarray | None = None


def score_training(job: Job) -> None:
    """Score the training split by leave-one-out kNN and cross-validated MLP, with what the regression chose.

    Inputs: galaxies, splits, embeddings (as of the regression), predictions (its, which say what it chose). Outputs:
    table (csv, COLUMNS), figure (png).

    For each embedding the MLP is trained `folds` times on at most `galaxies` galaxies: 0.1 ms of one core a galaxy,
    fold and 10 epochs (20,000 galaxies, 5 folds, 30 epochs: 50 s). Neighbours are sought once for each choice among
    all training galaxies, about 3 s of 20,000.
    """
    settings: Settings = job.settings
    made = read_choices(job.one("predictions"))
    tests = {found.name: found for found in bygroup.read_predictions(job.one("predictions"))}
    properties = [name for name in made.settings.properties if name in tests]
    if not properties:
        log.warning("%s: no predictions: nothing is scored", job.one("predictions"))
        tables.write_csv(job.outputs["table"], [], COLUMNS)
        return style.nothing("no property is known of enough galaxies", job.outputs["figure"])
    samples = read_samples(job.one("galaxies"), job.one("splits"), made.settings)
    labels = samples["train"][properties].to_numpy(float)
    scored = _some(len(labels), settings.galaxies, job.seed)
    found: dict[Key, Predicted] = {}
    for source in sources(samples, describe_all(job.inputs["embeddings"]), made.settings, crossed=False):
        found |= predict(source, labels, scored, properties, made, settings, job.seed)
        log.info("%s-%s predicted", source.model, source.modality)
    with threadpool_limits(1):
        rows = list(score(job.survey, found, labels, properties, tests, settings, job.seed))
    table = pandas.DataFrame(rows, columns=COLUMNS)
    tables.write_csv(job.outputs["table"], table)
    figures.draw(table, properties, {key[0]: got.traits for key, got in found.items()}, job.outputs["figure"])


def _some(n: int, most: int, seed: int) -> np.ndarray:
    """Which (n,) of n galaxies are scored: at most `most`, at random."""
    chosen = np.ones(n, bool)
    if n > most:
        log.info("%d of %d training galaxies are scored", most, n)
        chosen[np.random.default_rng(seed).permutation(n)[most:]] = False
    return chosen


def predict(
    source: Source,
    labels: np.ndarray,
    scored: np.ndarray,
    properties: Sequence[str],
    made: Choices,
    settings: Settings,
    seed: int,
) -> dict[Key, Predicted]:
    """Predictions by each method of the source that the regression has, of all N training galaxies (NaN: none).

    `labels`, `scored` : (N, P), (N,) of all training galaxies, of which the source has some.
    """
    found: dict[Key, Predicted] = {}
    rows = source.rows["train"]
    own, asked = labels[rows], scored[rows]
    for method in source.methods:
        key = (source.model, source.modality, method)
        chosen = [made.chosen.get(key, {}).get(name) for name in properties]
        if not any(chosen):
            continue
        if method == "knn":
            parts = left_out.knn(source, own, asked, chosen, made.settings)
            parts = parts if made.settings.weights == "distance" else parts[:1]  # others do not give labels back
        else:
            parts = (left_out.mlp(source, own, asked, chosen, properties, made.settings, settings.folds, seed),)
        whole = [np.full(labels.shape, np.nan) for _ in parts]
        for values, part in zip(whole, parts, strict=True):
            values[rows] = part
        found[key] = Predicted(source.traits, *whole)
    return found


def score(
    survey: str,
    found: Mapping[Key, Predicted],
    labels: np.ndarray,
    properties: Sequence[str],
    tests: Mapping[str, bygroup.Predicted],
    settings: Settings,
    seed: int,
) -> Iterator[dict]:
    """Rows `r2` of the splits test and train, `r2_gap` (train minus test) with its p-value as it is and corrected
    (Holm), and `r2_naive`, source by source. The two splits are resampled apart."""
    count = resamples_for(len(found) * len(properties), settings.resamples)
    most = settings.resamples
    scores: dict[tuple[Key, str], list] = {}
    for p, name in enumerate(properties):
        train = {key: got.values[:, p] for key, got in found.items()}
        naive = {key: got.naive[:, p] for key, got in found.items() if got.naive is not None}
        test = dict(zip(tests[name].sources, tests[name].values, strict=True))
        of_train = _bootstrapped(labels[:, p], train, count, seed + 1)
        of_naive = _bootstrapped(labels[:, p], naive, most, seed + 1)
        of_test = _bootstrapped(tests[name].truth, {key: test[key] for key in found if key in test}, count, seed)
        for key in found:
            if key in of_train and key in of_test:
                scores[key, name] = [of_test[key], of_train[key], of_naive.get(key)]
    gaps = {place: train[1] - test[1] for place, (test, train, _) in scores.items()}
    p_values = np.array([two_sided(draws) for draws in gaps.values()])
    significance = dict(zip(gaps, zip(p_values, holm(p_values), strict=True), strict=True))
    for (key, name), (test, train, naive) in sorted(scores.items(), key=lambda item: list(found).index(item[0][0])):
        traits = found[key].traits
        is_a = {"kind": traits.get("kind", ""), "trained": not style.untrained(traits)}
        p_value, corrected = significance[key, name]
        lines = [("test", "r2", test[0], _interval(test[1][:most]), test[2])]
        lines += [("train", "r2", train[0], _interval(train[1][:most]), train[2])]
        lines += [("train", "r2_gap", train[0] - test[0], _interval(gaps[key, name][:most]), train[2])]
        lines += [("train", "r2_gap_p", p_value, NOTHING, train[2])]
        lines += [("train", "r2_gap_p_holm", corrected, NOTHING, train[2])]
        lines += [("train", "r2_naive", naive[0], _interval(naive[1]), naive[2])] if naive else []
        for line in lines:
            yield tables.row(survey, *key, name, *line) | is_a


def _bootstrapped(truth: np.ndarray, values: Mapping[Key, np.ndarray], count: int, seed: int) -> dict[Key, tuple]:
    """R2, its bootstrap values (count,) and number of galaxies of each that has LEAST of them."""
    known = {key: np.isfinite(truth) & np.isfinite(line) for key, line in values.items()}
    keys = [key for key in values if known[key].sum() >= LEAST]
    if not keys:
        return {}
    draws = statistics.bootstrap_r2_of_many(truth, np.stack([values[key] for key in keys]), None, count, seed)[:, 0]
    found = {}
    for key, drawn in zip(keys, draws, strict=True):
        value = statistics.r2(truth[known[key]], values[key][known[key]])
        found[key] = (float(value), drawn, int(known[key].sum()))
    return found


def _interval(draws: np.ndarray) -> tuple[float, float]:
    return statistics.interval(draws) if np.isfinite(draws).any() else NOTHING
