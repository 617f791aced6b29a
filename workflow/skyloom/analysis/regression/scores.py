"""Scores of all embeddings and baselines of a survey, and who is better than whom.

What is chosen (k, metric, components, epochs) is chosen on the validation split by R2, property by property; the test
split is only scored. Each model is scored on the galaxies that it has; two models are compared on those that both have.
How many these are stands in every line (column n).
"""

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas

from skyloom.analysis.common import statistics, tables
from skyloom.analysis.common.traits import describe_all, place_of
from skyloom.analysis.regression import BASELINES, Settings, figures
from skyloom.analysis.regression.predict import Prediction, predict
from skyloom.analysis.regression.probes import METHOD, probed
from skyloom.analysis.regression.sources import LEAST, REDSHIFT, SPLITS, sources, true_name
from skyloom.figures import style
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

OUTLIERS = (0.15, 0.05)
"""|dz| limits of the outlier rate: photometric, and spectroscopic redshifts."""
COLUMNS = [*tables.COLUMNS, "kind", "trained"]
"""The tidy table, and what a model is: its kind, and whether it was trained (empty for differences)."""
PREDICTIONS = ("targetid", "model", "modality", "method", "property", "truth", "prediction")
"""Columns of the table of predictions."""


def regress(job: Job) -> None:
    """Score all embeddings and baselines of a survey.

    Inputs: galaxies (targetid, properties, magnitudes), splits, embeddings (tables MODEL-MODALITY.parquet), predictions
    (what models themselves answer that are asked for properties). Outputs:
    table (csv, COLUMNS), predictions (parquet), figure_predictions and figure_scores (png).

    Where no property of the settings is known of the survey's galaxies, tables are empty and figures say so.

    Raises
    ------
    BadInput : a file is not what it should be.
    """
    settings: Settings = job.settings
    samples = _samples(job, settings)
    properties = _known(samples, settings.properties, job.one("galaxies"))
    if not properties:  # of images alone, or of few galaxies: only the catalogue can tell
        return _nothing(job)
    labels = {split: sample[properties].to_numpy(float) for split, sample in samples.items()}
    predictions = []
    for source in sources(samples, describe_all(job.inputs["embeddings"]), settings):
        if set(properties) <= set(source.given):
            continue
        asked = {split: np.where(np.isin(properties, source.given), np.nan, own) for split, own in labels.items()}
        predictions += [predict(source, asked, settings, job.seed, method) for method in source.methods]
        log.info("%s-%s predicted", source.model, source.modality)
    predictions += [probed(path, samples, properties) for path in job.inputs.get("predictions", [])]
    predictions.sort(key=_place)
    scorer = Scorer(job.survey, properties, labels, settings, job.seed)
    rows = [*itertools.chain.from_iterable(map(scorer.score, predictions)), *scorer.compare(predictions)]
    table = pandas.DataFrame(rows, columns=COLUMNS)
    frame = prediction_frame(predictions, samples["test"].index.to_numpy(), labels["test"], properties)
    tables.write_csv(job.outputs["table"], table)
    tables.write_parquet(job.outputs["predictions"], frame)
    traits = {got.model: got.traits for got in predictions}
    figures.draw_predictions(frame, table, traits, job.outputs["figure_predictions"])
    figures.draw_scores(table, properties, traits, job.outputs["figure_scores"])


def _samples(job: Job, settings: Settings) -> dict[str, pandas.DataFrame]:
    """Split -> its galaxies by rising targetid, with properties, their truth and magnitudes, if the catalogue has them,
    and REDSHIFT."""
    path = job.one("galaxies")
    there = tables.column_names(path)
    wanted = [*settings.properties, *map(true_name, settings.properties), *settings.photometry, "z", true_name("z")]
    names = [name for name in dict.fromkeys(wanted) if name in there]
    galaxies = tables.read_galaxies(path, job.one("splits"), names).sort_index()
    redshifts = [galaxies[name] for name in (true_name("z"), "z") if name in galaxies]
    if redshifts:
        galaxies[REDSHIFT] = redshifts[0].fillna(redshifts[-1])
    return {split: galaxies[galaxies["split"] == split] for split in SPLITS}


def _known(samples: dict[str, pandas.DataFrame], names: Sequence[str], path: str) -> list[str]:
    """The properties that at least LEAST galaxies of each split have; the others are named in the log."""
    known = []
    for name in names:
        counts = [int(np.isfinite(s[name]).sum()) if name in s else 0 for s in samples.values()]
        if min(counts) >= LEAST:
            known.append(name)
        else:
            log.info("%s: %s is known of %s galaxies (%s): left out", path, name, counts, ", ".join(SPLITS))
    return known


def _nothing(job: Job) -> None:
    """Results without a property: the tables with their columns and no rows."""
    words = f"no property is known of {LEAST} galaxies in each of {', '.join(SPLITS)}"
    log.warning("%s: %s: nothing is scored", job.one("galaxies"), words)
    tables.write_csv(job.outputs["table"], pandas.DataFrame([], columns=COLUMNS))
    kinds = {"targetid": "int64", "truth": "float64", "prediction": "float64"}
    frame = {name: pandas.Series(dtype=kinds.get(name, "str")) for name in PREDICTIONS}
    tables.write_parquet(job.outputs["predictions"], pandas.DataFrame(frame))
    for role in ("figure_predictions", "figure_scores"):
        style.nothing(words, job.outputs[role])


def _place(got: Prediction) -> tuple:
    own = BASELINES.index(got.model) if got.modality in BASELINES else len(BASELINES)
    return own, place_of(got.modality), style.rank(got.traits), got.model, got.method


class Scorer:
    """Rows of the tidy table.

    Parameters
    ----------
    survey : its name;  properties: P names;  labels: split -> (N, P);  settings, seed : of the job
    """

    def __init__(self, survey: str, properties: list[str], labels: Mapping, settings: Settings, seed: int):
        self.survey, self.properties, self.labels = survey, properties, labels
        self.settings, self.seed = settings, seed

    def score(self, got: Prediction) -> Iterator[dict]:
        """R2 (and redshift statistics) on validation and test, and what was chosen."""
        is_a = {"kind": got.traits.get("kind", ""), "trained": not style.untrained(got.traits)}
        for p, name in enumerate(self.properties):
            if got.chosen[p] is None:
                continue
            key = (self.survey, got.model, got.modality, got.method, name)
            for row in (*self._choices(key, got, p), *self._scores(key, got, p)):
                yield row | is_a

    def _choices(self, key: tuple, got: Prediction, p: int) -> Iterator[dict]:
        # Only what had an alternative is worth a row.
        n, whole = len(got.rows["validation"]), got.modality not in BASELINES and "->" not in got.modality
        if whole and (got.traits.get("ordered") or (got.method == "knn" and len(self.settings.whitened) > 1)):
            yield tables.row(*key, "validation", "chosen_components", got.chosen[p]["components"], n=n)
        for name in ("k", "epochs"):
            if name in got.chosen[p] and len(getattr(self.settings, name)) > 1:
                yield tables.row(*key, "validation", f"chosen_{name}", got.chosen[p][name], n=n)

    def _scores(self, key: tuple, got: Prediction, p: int) -> Iterator[dict]:
        count, seed = self.settings.resamples, self.seed
        for split, values in got.values.items():
            truth = self.labels[split][got.rows[split], p]
            known = np.isfinite(truth)
            truth, prediction, n = truth[known], values[known, p], known.sum()
            drawn = statistics.bootstrap_r2(truth, prediction, count, seed)
            yield tables.row(*key, split, "r2", statistics.r2(truth, prediction), statistics.interval(drawn), n)
            for name, function in redshift_metrics().items() if key[-1] == "z" else ():
                drawn = statistics.bootstrap(function, truth, prediction, count=count, seed=seed)
                yield tables.row(*key, split, name, function(truth, prediction), statistics.interval(drawn), n)

    def compare(self, predictions: list[Prediction]) -> Iterator[dict]:
        """Rows delta_r2 of model A minus model B on the test galaxies that both have, with paired intervals."""
        by_key = {(p.model, p.modality, p.method): p for p in predictions}
        modalities = dict.fromkeys(
            p.modality for p in predictions if "->" not in p.modality and p.modality not in BASELINES
        )
        own = {p.model: p.modality for p in predictions if p.modality in BASELINES}
        for (a, b), modality, method in itertools.product(self.settings.differences, modalities, ("knn", "mlp")):
            first, second = (_of(by_key, m, own.get(m, modality), method) for m in (a, b))
            if first is None or second is None:
                continue
            rows, *places = np.intersect1d(first.rows["test"], second.rows["test"], return_indices=True)
            for p, name in enumerate(self.properties):
                truth = self.labels["test"][rows, p]
                pair = [got.values["test"][place, p] for got, place in zip((first, second), places, strict=True)]
                known = np.isfinite(truth) & np.isfinite(pair).all(axis=0)
                if known.sum() < LEAST:
                    continue
                pair = [values[known] for values in pair]
                value, ci = statistics.difference_r2(truth[known], *pair, self.settings.resamples, self.seed)
                key = (self.survey, f"{a} - {b}", modality, method, name)
                yield tables.row(*key, "test", "delta_r2", value, ci, known.sum()) | {"kind": "", "trained": ""}


def _of(by_key: Mapping, model: str, modality: str, method: str) -> Prediction | None:
    """The predictions of a model; few-shot ones of a probe are its own."""
    return by_key.get((model, modality, method)) or by_key.get((model, modality, METHOD if method == "mlp" else method))


def redshift_metrics() -> dict:
    """Statistics of redshifts, by the name of their metric."""
    metrics = {"bias": statistics.bias, "sigma_nmad": statistics.sigma_nmad}
    for limit in OUTLIERS:
        metrics[f"outliers_{limit}"] = lambda t, p, limit=limit, axis=-1: statistics.outlier_rate(t, p, limit, axis)
    return metrics


def prediction_frame(predictions: list[Prediction], targetid, truth: np.ndarray, properties) -> pandas.DataFrame:
    """Test predictions in long form: targetid, model, modality, method, property, truth, prediction."""
    parts = []
    for got, (p, name) in itertools.product(predictions, enumerate(properties)):
        rows = got.rows["test"]
        part = {"targetid": targetid[rows], "model": got.model, "modality": got.modality, "method": got.method}
        part |= {"property": name, "truth": truth[rows, p], "prediction": got.values["test"][:, p]}
        parts.append(pandas.DataFrame(part))
    return pandas.concat(parts, ignore_index=True)
