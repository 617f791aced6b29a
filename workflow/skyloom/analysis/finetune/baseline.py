"""The baseline: gradient boosting of magnitudes and colours, on the galaxies that the fine-tuned models learn from."""

import itertools
import logging

import numpy as np
import pandas
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from skyloom.analysis.common import tables
from skyloom.analysis.finetune import PHOTOMETRY, Settings
from skyloom.analysis.finetune.methods import Method, Task
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

LEAVES, RATES, AT_LEAST = (7, 15, 31), (0.05, 0.1), 10
"""What is tried: leaves of a tree and learning rates; and galaxies in a leaf at least."""
LEAST = 50
"""Labelled training galaxies without which there is no baseline."""


def features(table: pandas.DataFrame) -> np.ndarray:
    """Columns (n, f) and the differences of any two of them, (n, f (f + 1) / 2)."""
    columns = [table[name].to_numpy(float) for name in table]
    return np.stack(columns + [a - b for a, b in itertools.combinations(columns, 2)], 1)


def boosted(job: Job, task: Task) -> Method | None:
    """What magnitudes say of the test galaxies; None where the catalogue has none, or too few galaxies teach it.

    Intervals are as wide as the errors of the validation galaxies are (split conformal), the same for all.
    """
    settings: Settings = job.settings
    names = [name for name in settings.photometry if name in tables.column_names(job.one("galaxies"))]
    rows = {split: task.of(split) for split in ("train", "validation", "test")}
    if not names or len(rows["train"]) < LEAST or not len(rows["validation"]) or not len(rows["test"]):
        log.info("%s: no photometry baseline: columns %s, %s", task.label, names, {s: len(r) for s, r in rows.items()})
        return None
    table = tables.read_galaxies(job.one("galaxies"), columns=names)
    seen = {split: features(table.loc[found]) for split, found in rows.items()}
    truth = {split: task.truth.loc[found].to_numpy() for split, found in rows.items()}
    best, said, of_validation = np.inf, None, None
    for leaves, rate in itertools.product(LEAVES, RATES):
        options = {"max_iter": settings.trees, "learning_rate": rate, "max_leaf_nodes": leaves}
        options |= {"min_samples_leaf": AT_LEAST, "early_stopping": False, "random_state": job.seed}
        make = HistGradientBoostingClassifier if task.classes else HistGradientBoostingRegressor
        model = make(**options).fit(seen["train"], truth["train"])
        steps = model.staged_predict_proba if task.classes else model.staged_predict
        losses = [_loss(task, model, got, truth["validation"]) for got in steps(seen["validation"])]
        count = int(np.argmin(losses)) + 1
        if losses[count - 1] < best:
            best = losses[count - 1]
            said, of_validation = (
                next(itertools.islice(steps(seen[s]), count - 1, None)) for s in ("test", "validation")
            )
            classes = model.classes_ if task.classes else None
    log.info("%s: photometry, %d features, loss %.4g (validation)", task.label, seen["test"].shape[1], best)
    if task.classes:
        found = {"value": classes[said.argmax(1)], "probability": said.max(1)}
    else:
        error = np.sort(np.abs(of_validation - truth["validation"]))
        place = int(np.ceil((len(error) + 1) * task.level))
        reach = error[place - 1] if place <= len(error) else np.nan
        found = {"value": said, "lower": said - reach, "upper": said + reach}
    frame = pandas.DataFrame(found, index=pandas.Index(rows["test"], name="targetid")).astype(float)
    return Method(PHOTOMETRY, PHOTOMETRY, "", "boosting", frame)


def _loss(task: Task, model, got: np.ndarray, truth: np.ndarray) -> float:
    """Mean squared error, or cross-entropy."""
    if not task.classes:
        return float(np.mean((got - truth) ** 2))
    place = np.searchsorted(model.classes_, truth).clip(max=len(model.classes_) - 1)
    chance = np.where(model.classes_[place] == truth, got[np.arange(len(truth)), place], 0)
    return float(-np.log(chance.clip(min=1e-12)).mean())
