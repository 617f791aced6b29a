"""A classifier of real against simulated galaxies, and how far real ones lie from what was trained on.

An area under the curve of .5 says that nobody can tell them apart in the embedding; 1, that all can be told. Part of it
may be that the real galaxies are other ones (nearer, brighter), so it is measured too against the simulated galaxies
that are most alike in redshift and signal-to-noise. The votes that are scored are those of cross-validation.
"""

import dataclasses
import logging

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from skyloom.analysis.common import neighbours, tables
from skyloom.analysis.common.embeddings import Embedding, read_embedding
from skyloom.analysis.common.quality import signal_to_noise
from skyloom.analysis.domain_gap import Settings, figures
from skyloom.core.mixing import uniform
from skyloom.models.redshift import FLAGS
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

LEAST = FOLDS = 5
"""Galaxies of a kind below which nothing is measured, and folds of the cross-validation."""
ALIKE = {"redshift": 0.05, "signal-to-noise": 0.3}
"""Differences of ln(1 + z) and of ln(S/N) that count as much as each other."""


@dataclasses.dataclass(frozen=True)
class Gap:
    """What is drawn of an embedding: votes for "real" of real and simulated galaxies, and their distances in units of
    the distance beyond which `Settings.beyond` of the simulated ones lie."""

    name: str
    auc: float
    real: np.ndarray
    simulated: np.ndarray
    far: np.ndarray
    far_simulated: np.ndarray


def measure_gap(job: Job) -> None:
    """Write the table and the figure.

    Inputs: galaxies, embeddings (of real galaxies), reference (the same of the simulated survey), tokens; and for each
    embedding, numbered from 0, reference_galaxies, reference_tokens and, of a model that gives redshifts, predictions
    and reference_predictions.
    """
    rows, drawn = [], []
    for place in range(len(job.inputs["embeddings"])):
        real, simulated = (read_embedding(job.inputs[role][place]) for role in ("embeddings", "reference"))
        rows += [
            tables.row(job.survey, real.model, real.modality, "random forest", "", "all", metric, *values)
            for metric, values in _measure(job, place, real, simulated, drawn)
        ]
    tables.write_csv(job.outputs["table"], rows)
    figures.draw(drawn, job.outputs["figure"])


def _measure(job: Job, place: int, real: Embedding, simulated: Embedding, drawn: list[Gap]):
    """(metric, (value, interval, n)) of one embedding; nothing where there are too few galaxies."""
    settings: Settings = job.settings
    train = simulated.select(simulated.split == "train")
    held = simulated.select(simulated.split != "train")
    order = np.argsort(uniform(job.seed, held.targetid), kind="stable")[: settings.galaxies]
    held = held.select(np.isin(np.arange(len(held.targetid)), order))
    if min(len(real.targetid), len(held.targetid), len(train.targetid)) < LEAST:
        log.info("%s: fewer than %d galaxies: not measured", real.name, LEAST)
        return
    votes = forest(real.values, held.values, settings, job.seed)
    area, interval = auc(*votes, settings.resamples, job.seed)
    yield "AUC", (area, interval, len(real.targetid))
    alike = most_alike(*_covariates(job, place, real, held), settings.matched)
    if alike is not None:
        some = auc(*forest(real.values, held.values[alike], settings, job.seed), settings.resamples, job.seed)
        yield "AUC, matched", (*some, len(real.targetid))
    known, *asked = neighbours.standardise(train.values, real.values, held.values)
    far, usual = (neighbours.nearest(values, known, settings.neighbours)[0][:, -1] for values in asked)
    limit = np.quantile(usual, 1 - settings.beyond)
    yield "share beyond", share(far > limit)
    drawn.append(Gap(real.name, area, *votes, far / limit, usual / limit))
    if f"predictions_{place}" in job.inputs:
        for name, bits in (("misfit", FLAGS["misfit"]), ("flagged", ~0)):
            for role, who in (("predictions", "real"), ("reference_predictions", "simulated")):
                said = tables.read_parquet(job.one(f"{role}_{place}"), ["targetid", "flag"]).set_index("targetid")
                own = real if who == "real" else held
                flag = said["flag"].reindex(own.targetid).fillna(0).to_numpy(int)
                yield f"{name}, {who}", share((flag & bits) > 0)


def forest(real: np.ndarray, simulated: np.ndarray, settings: Settings, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Votes for "real" of real (n, d) and simulated (m, d) galaxies, each by a forest that was grown on the other folds
    of both; both kinds weigh the same."""
    model = RandomForestClassifier(
        settings.trees, min_samples_leaf=2, class_weight="balanced", random_state=seed % 2**32, n_jobs=1
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    values, kind = np.concatenate([real, simulated]), np.repeat([1, 0], [len(real), len(simulated)])
    votes = cross_val_predict(model, values, kind, cv=folds, method="predict_proba")[:, 1]
    return votes[: len(real)], votes[len(real) :]


def auc(real: np.ndarray, simulated: np.ndarray, resamples: int, seed: int) -> tuple[float, tuple[float, float]]:
    """Probability that a real galaxy (n,) has more votes than a simulated one (m,), ties half, and its 95 % interval
    by a bootstrap of both."""
    order = np.sort(simulated)
    below = np.searchsorted(order, real, "left") + np.searchsorted(order, real, "right")
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        some = np.sort(rng.choice(simulated, len(simulated)))
        drawn = rng.choice(real, len(real))
        both = np.searchsorted(some, drawn, "left") + np.searchsorted(some, drawn, "right")
        values.append(both.mean() / (2 * len(some)))
    return float(below.mean() / (2 * len(order))), tuple(np.quantile(values, [0.025, 0.975]))


def most_alike(real: np.ndarray, simulated: np.ndarray, count: int) -> np.ndarray | None:
    """Rows of the simulated galaxies (m, c) that are most alike the real ones (n, c), `count` for each; columns without
    any number on either side do not count. None where nothing is known to match by."""
    known = np.isfinite(real).any(axis=0) & np.isfinite(simulated).any(axis=0)
    if not known.any():
        return None
    real, simulated = (
        np.where(np.isfinite(x), x, np.nanmedian(x, axis=0)) for x in (real[:, known], simulated[:, known])
    )
    _, index = neighbours.nearest(real, simulated, min(count, len(simulated)))
    return np.unique(index)


def _covariates(job: Job, place: int, real: Embedding, held: Embedding) -> tuple[np.ndarray, np.ndarray]:
    """ln(1 + z) and ln(S/N) of real (n, 2) and simulated (m, 2) galaxies, in units of ALIKE; NaN where not known."""
    found = []
    for own, prefix in ((real, ""), (held, "reference_")):
        galaxies = job.inputs["galaxies" if not prefix else f"reference_galaxies_{place}"]
        predictions = job.inputs.get(f"{prefix}predictions_{place}")
        z = tables.read_parquet((predictions or galaxies)[0], ["targetid", "z"]).set_index("targetid")["z"]
        tokens = job.inputs["tokens" if not prefix else f"reference_tokens_{place}"]
        snr = signal_to_noise(tokens, own.targetid)
        snr = np.full(len(own.targetid), np.nan) if snr is None else snr
        columns = [np.log1p(z.reindex(own.targetid).to_numpy(float)), np.log(np.maximum(snr, 0.01))]
        found.append(np.stack(columns, 1) / np.array(list(ALIKE.values())))
    return found[0], found[1]


def share(mask: np.ndarray) -> tuple[float, tuple[float, float], int]:
    """A share, its 95 % interval (Wilson 1927), and of how many."""
    n, p, t = len(mask), mask.mean(), 1.96
    middle = (p + t * t / (2 * n)) / (1 + t * t / n)
    half = t * np.sqrt(p * (1 - p) / n + t * t / (4 * n * n)) / (1 + t * t / n)
    return float(p), (max(0.0, middle - half), min(1.0, middle + half)), n
