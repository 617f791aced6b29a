"""Scores of all embeddings and baselines of a survey, and who is better than whom.

What is chosen (k, metric, components, epochs) is chosen on the validation split by R2, property by property; the test
split is only scored. Each model is scored on the galaxies that it has; two models are compared on those that both have.
How many these are stands in every line (column n).

Predicting takes what its searches and trainings take; scoring 20 predictions of 20,000 galaxies, 5 properties, with all
differences, about 10 s of one core (tests/bench/bench_bootstrap.py).
"""

import itertools
import logging
from collections.abc import Sequence

import numpy as np
import pandas

from skyloom.analysis.common import tables
from skyloom.analysis.common.predictors import BASELINES
from skyloom.analysis.common.predictors.choices import write_predictions
from skyloom.analysis.common.predictors.predict import Prediction, predict
from skyloom.analysis.common.predictors.sources import LEAST, SPLITS, read_samples, sources
from skyloom.analysis.common.traits import describe_all, place_of
from skyloom.analysis.regression import Settings, figures
from skyloom.analysis.regression.probes import probed
from skyloom.analysis.regression.scorer import Scorer
from skyloom.figures import style
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

COLUMNS = [*tables.COLUMNS, "kind", "trained"]
"""The tidy table, and what a model is: its kind, and whether it was trained (empty for differences)."""
PREDICTIONS = ("targetid", "model", "modality", "method", "property", "truth", "prediction")
"""Columns of the table of predictions."""


def regress(job: Job) -> None:
    """Score all embeddings and baselines of a survey.

    Inputs: galaxies (targetid, properties, magnitudes), splits, embeddings (tables MODEL-MODALITY.parquet), predictions
    (what models themselves answer that are asked for properties). Outputs:
    table (csv, COLUMNS), predictions (parquet), figure_predictions,
    figure_scores and figure_cross (png).

    Where no property of the settings is known of the survey's galaxies, tables are empty and figures say so.

    Raises
    ------
    BadInput : a file is not what it should be.
    """
    settings: Settings = job.settings
    samples = read_samples(job.one("galaxies"), job.one("splits"), settings)
    properties = _known(samples, settings.properties, job.one("galaxies"))
    if not properties:  # of images alone, or of few galaxies: only the catalogue can tell
        return _nothing(job)
    labels = {split: sample[properties].to_numpy(float) for split, sample in samples.items()}
    predictions = []
    for source in sources(samples, describe_all(job.inputs["embeddings"]), settings):
        if set(properties) <= set(source.given):
            continue
        asked = {split: np.where(np.isin(properties, source.given), np.nan, own) for split, own in labels.items()}
        predictions += [predict(source, asked, properties, settings, job.seed, method) for method in source.methods]
        log.info("%s-%s predicted", source.model, source.modality)
    predictions += [probed(path, samples, properties) for path in job.inputs.get("predictions", [])]
    predictions.sort(key=_place)
    rows = Scorer(job.survey, properties, labels, settings, job.seed).rows(predictions)
    table = pandas.DataFrame(rows, columns=COLUMNS)
    frame = prediction_frame(predictions, samples["test"].index.to_numpy(), labels["test"], properties)
    tables.write_csv(job.outputs["table"], table)
    write_predictions(job.outputs["predictions"], frame, settings, predictions, properties)
    traits = {got.model: got.traits for got in predictions}
    figures.draw_predictions(frame, table, traits, job.outputs["figure_predictions"])
    figures.draw_scores(table, properties, traits, job.outputs["figure_scores"])
    figures.draw_cross(frame, table, traits, job.outputs["figure_cross"])


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
    write_predictions(job.outputs["predictions"], pandas.DataFrame(frame), job.settings)
    for role in ("figure_predictions", "figure_scores", "figure_cross"):
        style.nothing(words, job.outputs[role])


def _place(got: Prediction) -> tuple:
    own = BASELINES.index(got.model) if got.modality in BASELINES else len(BASELINES)
    return own, place_of(got.modality), style.rank(got.traits), got.model, got.method


def prediction_frame(predictions: list[Prediction], targetid, truth: np.ndarray, properties) -> pandas.DataFrame:
    """Test predictions in long form: targetid, model, modality, method, property, truth, prediction."""
    parts = []
    for got, (p, name) in itertools.product(predictions, enumerate(properties)):
        rows = got.rows["test"]
        part = {"targetid": targetid[rows], "model": got.model, "modality": got.modality, "method": got.method}
        part |= {"property": name, "truth": truth[rows, p], "prediction": got.values["test"][:, p]}
        parts.append(pandas.DataFrame(part))
    return pandas.concat(parts, ignore_index=True)
