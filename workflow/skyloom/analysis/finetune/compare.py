"""Scores of every way to a label on the same test galaxies, and the differences of any two of them."""

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas
from threadpoolctl import threadpool_limits

from skyloom.analysis.common import statistics, tables
from skyloom.analysis.finetune import Settings, figures
from skyloom.analysis.finetune.baseline import boosted
from skyloom.analysis.finetune.methods import Method, Task, read_tasks
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

COLUMNS = [*tables.COLUMNS, "encoder", "learned_from"]
"""The tidy table; `method` is what of the encoder learned; the encoder, and how many galaxies taught it."""
PREDICTIONS = ("targetid", "model", "modality", "method", "property", "truth", "prediction")
SURE = ("lower", "upper", "probability")


def compare(job: Job) -> None:
    """Score all models that learn labels, beside boosted photometry.

    Inputs: galaxies, splits, tables, predictions, cards, encoders. Outputs: table (csv, COLUMNS), predictions
    (parquet: the test galaxies, PREDICTIONS and SURE), figure, figure_predictions. A label that is known of fewer than
    `least` test galaxies is left out with a line in the log.
    """
    settings: Settings = job.settings
    rows, parts, drawn = [], [], []
    for task in read_tasks(job):
        test = task.of("test")
        if len(test) < settings.least:
            log.warning("%s: known of %d test galaxies: left out", task.label, len(test))
            continue
        with threadpool_limits(1):  # sums do not depend on how many cores there are
            learned = len(task.of("train"))
            baseline = boosted(job, task)
            task.methods += [baseline] if baseline else []
            rows += scored(job.survey, task, test, learned, settings.resamples, job.seed)
        parts += [_frame(task, method, test) for method in task.methods]
        drawn.append((task, test))
    table = pandas.DataFrame(rows, columns=COLUMNS)
    tables.write_csv(job.outputs["table"], table)
    empty = pandas.DataFrame({name: pandas.Series(dtype="str") for name in (*PREDICTIONS, *SURE)})
    tables.write_parquet(job.outputs["predictions"], pandas.concat(parts, ignore_index=True) if parts else empty)
    figures.draw_scores(table, job.outputs["figure"])
    figures.draw_predictions(drawn, job.outputs["figure_predictions"])


def _frame(task: Task, method: Method, test: np.ndarray) -> pandas.DataFrame:
    said = method.said.loc[test]
    found = {"targetid": test, "model": method.model, "modality": method.modality, "method": method.way}
    found |= {"property": task.label, "truth": task.words(task.truth.loc[test].to_numpy()).astype(str)}
    found |= {"prediction": task.words(said["value"].to_numpy()).astype(str)}
    return pandas.DataFrame(found | {name: said[name].to_numpy() if name in said else np.nan for name in SURE})


def accuracy(truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Share of classes that are right, along the last axis."""
    return (truth == said).mean(-1)


def balanced(truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Mean over the classes of the share that is right, along the last axis; classes without galaxies do not count."""
    shares = []
    for place in np.unique(truth[np.isfinite(truth)]):
        own = truth == place
        with np.errstate(invalid="ignore"):
            shares.append(((said == place) & own).sum(-1) / own.sum(-1))
    return np.nanmean(shares, axis=0)


def mean_error(truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    """Mean absolute error, along the last axis."""
    return np.abs(truth - said).mean(-1)


def metrics(task: Task) -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Name -> score; differences are those of the first."""
    if task.classes:
        return {"accuracy": accuracy, "balanced_accuracy": balanced}
    return {"r2": statistics.r2, "mae": mean_error}


def scored(
    survey: str, task: Task, test: np.ndarray, learned: int, resamples: int, seed: int
) -> Iterator[dict] | Sequence[dict]:
    """Rows of the table: scores of each method with 95 % intervals, how often its intervals hold (`coverage`) or how
    much surer it is than right (`overconfidence`), and the differences of all pairs, first minus second."""
    truth = task.truth.loc[test].to_numpy()
    values = [method.said.loc[test, "value"].to_numpy() for method in task.methods]
    found = []
    for method, said in zip(task.methods, values, strict=True):
        more = {"encoder": method.encoder, "learned_from": learned}
        start = (survey, method.model, method.modality, method.way, task.label, "test")
        for name, score in metrics(task).items():
            drawn = statistics.bootstrap(score, truth, said, count=resamples, seed=seed)
            line = tables.row(*start, name, score(truth, said), statistics.interval(drawn), len(test))
            found.append(line | more)
        found.append(tables.row(*start, *_sure(task, method, truth, test), len(test)) | more)
    name, score = next(iter(metrics(task).items()))
    for first, second in itertools.combinations(range(len(values)), 2):
        one, other = task.methods[first], task.methods[second]

        def gain(truth, a, b):
            return score(truth, a) - score(truth, b)

        drawn = statistics.bootstrap(gain, truth, values[first], values[second], count=resamples, seed=seed)
        start = (survey, f"{one.model} - {other.model}", _both(one.modality, other.modality), _both(one.way, other.way))
        value = gain(truth, values[first], values[second])
        line = tables.row(*start, task.label, "test", f"delta_{name}", value, statistics.interval(drawn), len(test))
        found.append(line | {"encoder": "", "learned_from": learned})
    return found


def _both(first: str, second: str) -> str:
    return first if first == second else f"{first} - {second}"


def _sure(task: Task, method: Method, truth: np.ndarray, test: np.ndarray) -> tuple[str, float, tuple[float, float]]:
    said = method.said.loc[test]
    if task.classes:
        gap = said["probability"].to_numpy() - (said["value"].to_numpy() == truth)
        spread = 1.96 * gap.std(ddof=1) / np.sqrt(len(gap))
        return "overconfidence", float(gap.mean()), (gap.mean() - spread, gap.mean() + spread)
    inside = ((said["lower"] <= truth) & (truth <= said["upper"])).to_numpy()
    if said["lower"].isna().any():
        return "coverage", float("nan"), (float("nan"),) * 2
    return "coverage", float(inside.mean()), statistics.exact_interval(int(inside.sum()), len(inside))
