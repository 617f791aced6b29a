"""Rows of the tidy table: every source scored on the same resamples of the galaxies, so that any two are paired."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from skyloom.analysis.common import statistics, tables
from skyloom.analysis.common.predictors import BASELINES
from skyloom.analysis.common.predictors.predict import Prediction
from skyloom.analysis.common.predictors.sources import LEAST
from skyloom.analysis.common.significance import holm, resamples_for, two_sided
from skyloom.analysis.regression import Settings, redshifts
from skyloom.analysis.regression.probes import METHOD
from skyloom.figures import style

SCORED = ("validation", "test")
NOTHING = (np.nan, np.nan)


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two predictions to compare: `first`, `second` are their places among all."""

    name: str
    modality: str
    method: str
    first: int
    second: int


class Scorer:
    """Scores of all predictions, a bootstrap for each property and split.

    Parameters
    ----------
    survey : its name;  properties: P names;  labels: split -> (N, P);  settings, seed : of the job
    """

    def __init__(self, survey: str, properties: list[str], labels: Mapping, settings: Settings, seed: int):
        self.survey, self.properties, self.labels = survey, properties, labels
        self.settings, self.seed = settings, seed

    def rows(self, predictions: Sequence[Prediction]) -> list[dict]:
        """What was chosen, R2 (and redshift statistics) on validation and test, source by source, then the differences
        of pairs of models on the test galaxies that both have."""
        pairs = list(self._pairs(predictions))
        own: dict[tuple[int, int], list] = {}
        compared: dict[tuple[int, int], list] = {}
        with threadpool_limits(1):  # sums do not depend on how many cores there are
            for p, split in itertools.product(range(len(self.properties)), SCORED):
                self._score(predictions, pairs if split == "test" else [], p, split, own, compared)
        return [*self._of_sources(predictions, own), *self._of_pairs(pairs, compared)]

    def _score(self, predictions, pairs, p: int, split: str, own: dict, compared: dict) -> None:
        """Fill `own` (source, property) and `compared` (pair, property) with (split, metric, value, interval, n); of a
        difference the bootstrap values are in place of the interval.

        Intervals are of the first `resamples` values, so that they do not depend on how many differences there are.
        """
        truth = self.labels[split][:, p]
        values = _lines([(got.rows[split], got.values[split][:, p]) for got in predictions], len(truth))
        known = np.isfinite(values) & np.isfinite(truth)
        places, extra = {}, []
        for number, pair in enumerate(pairs):
            both = known[pair.first] & known[pair.second]
            if both.sum() < LEAST:
                continue
            place = []
            for m in (pair.first, pair.second):  # lines of their own only where the two know different galaxies
                same = np.array_equal(both, known[m])
                place.append(m if same else len(values) + len(extra))
                extra += [] if same else [np.where(both, values[m], np.nan)]
            places[number] = (*place, both)
        every = np.concatenate([values, np.reshape(extra, (-1, len(truth)))])
        count = resamples_for(len(pairs) * len(self.properties), self.settings.resamples)
        draws = statistics.bootstrap_r2_of_many(truth, every, None, count, self.seed)[:, 0]
        score = [_r2(truth, row) for row in every]
        trainings = [got.again if split == "test" else () for got in predictions]
        again = [
            _lines([(got.rows[split], further[:, p]) for further in more], len(truth))
            for got, more in zip(predictions, trainings, strict=True)
        ]
        of_z = self._of_redshifts(truth, values, known) if self.properties[p] == "z" else {}
        for m, got in enumerate(predictions):
            n = int(known[m].sum())
            if got.chosen[p] is not None and n:
                found = [("r2", score[m], self._interval(draws[m])), *_over_seeds("r2", truth, score[m], again[m])]
                own.setdefault((m, p), []).extend((split, *some, n) for some in (*found, *of_z.get(m, [])))
        for number, (a, b, both) in places.items():
            others = [[np.where(both, line, np.nan) for line in again[m]] for m in _ends(pairs[number])]
            difference = score[a] - score[b]
            found = [("delta_r2", difference, draws[a] - draws[b])]
            found += _over_seeds("delta_r2", truth, difference, *others)
            compared[number, p] = [(split, *some, int(both.sum())) for some in found]

    def _of_redshifts(self, truth: np.ndarray, values: np.ndarray, known: np.ndarray) -> dict[int, list[tuple]]:
        draws = redshifts.bootstrap(truth, values, self.settings.resamples, self.seed)
        found: dict[int, list[tuple]] = {}
        for m, (metric, function) in itertools.product(np.flatnonzero(known.any(axis=1)), redshifts.metrics().items()):
            value = function(truth[known[m]], values[m, known[m]])
            found.setdefault(int(m), []).append((metric, value, self._interval(draws[metric][m])))
        return found

    def _interval(self, draws: np.ndarray) -> tuple[float, float]:
        draws = draws[: self.settings.resamples]
        return statistics.interval(draws) if np.isfinite(draws).any() else NOTHING

    def _of_sources(self, predictions: Sequence[Prediction], own: Mapping) -> Iterator[dict]:
        for m, got in enumerate(predictions):
            is_a = {"kind": got.traits.get("kind", ""), "trained": not style.untrained(got.traits)}
            for p, name in enumerate(self.properties):
                if (m, p) not in own:
                    continue
                key = (self.survey, got.model, got.modality, got.method, name)
                scores = (tables.row(*key, *some) for some in own[m, p])
                for row in (*self._choices(key, got, p), *scores):
                    yield row | is_a

    def _choices(self, key: tuple, got: Prediction, p: int) -> Iterator[dict]:
        # Only what had an alternative is worth a row.
        n, whole = len(got.rows["validation"]), got.modality not in BASELINES and "->" not in got.modality
        if whole and (got.traits.get("ordered") or (got.method == "knn" and len(self.settings.whitened) > 1)):
            yield tables.row(*key, "validation", "chosen_components", got.chosen[p]["components"], n=n)
        for name in ("k", "epochs"):
            if name in got.chosen[p] and len(getattr(self.settings, name)) > 1:
                yield tables.row(*key, "validation", f"chosen_{name}", got.chosen[p][name], n=n)

    def _pairs(self, predictions: Sequence[Prediction]) -> Iterator[Pair]:
        """The pairs of `differences` in every modality and method that both have; a baseline has a modality of its
        own, and few-shot predictions of a probe are its own."""
        place = {(got.model, got.modality, got.method): m for m, got in enumerate(predictions)}
        own = {got.model: got.modality for got in predictions if got.modality in BASELINES}
        whole = [got.modality for got in predictions if "->" not in got.modality]
        modalities = [modality for modality in dict.fromkeys(whole) if modality not in BASELINES]
        for (a, b), modality, method in itertools.product(self.settings.differences, modalities, ("knn", "mlp")):
            keys = [(model, own.get(model, modality)) for model in (a, b)]
            few_shot = METHOD if method == "mlp" else method
            first, second = (place.get((*key, method), place.get((*key, few_shot))) for key in keys)
            if first is not None and second is not None:
                yield Pair(f"{a} - {b}", modality, method, first, second)

    def _of_pairs(self, pairs: Sequence[Pair], compared: Mapping) -> Iterator[dict]:
        """Rows delta_r2 with their p-values, as they are and corrected for the number of differences (Holm)."""
        order = sorted(compared)
        p_values = [two_sided(compared[key][0][3]) for key in order]
        for key, p, corrected in zip(order, p_values, holm(p_values), strict=True):
            pair, name = pairs[key[0]], self.properties[key[1]]
            (split, metric, value, draws, n), *seeds = compared[key]
            lines = [(split, metric, value, self._interval(draws), n), (split, "delta_r2_p", p, NOTHING, n)]
            lines += [(split, "delta_r2_p_holm", corrected, NOTHING, n), *seeds]
            for line in lines:
                row = tables.row(self.survey, pair.name, pair.modality, pair.method, name, *line)
                yield row | {"kind": "", "trained": ""}


def _r2(truth: np.ndarray, prediction: np.ndarray) -> float:
    """R2 on the galaxies that have both; NaN of fewer than LEAST."""
    known = np.isfinite(truth) & np.isfinite(prediction)
    return float(statistics.r2(truth[known], prediction[known])) if known.sum() >= LEAST else np.nan


def _lines(parts: list[tuple[np.ndarray, np.ndarray]], n: int) -> np.ndarray:
    """Each part, (rows, values) of some of n galaxies, as a line (n,) with NaN elsewhere."""
    found = np.full((len(parts), n), np.nan)
    for line, (rows, values) in zip(found, parts, strict=True):
        line[rows] = values
    return found


def _ends(pair: Pair) -> tuple[int, int]:
    return pair.first, pair.second


def _over_seeds(metric: str, truth: np.ndarray, first: float, again, less=None) -> list[tuple]:
    """Mean of several trainings, and their standard deviation (of a sample): R2 of the lines `again`, after the
    `first`; of a difference that of each two trainings of the same seed. Nothing where there is one training."""
    if not len(again) or (less is not None and len(less) != len(again)):
        return []
    further = [_r2(truth, line) for line in again]
    if less is not None:
        further = [a - _r2(truth, line) for a, line in zip(further, less, strict=True)]
    values = [first, *further]
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    return [(f"{metric}_seed_mean", mean, NOTHING), (f"{metric}_seed_std", deviation, NOTHING)]
