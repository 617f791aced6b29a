"""Heads trained on galaxies of one domain, tested on galaxies of another: R2 lost, coverage of intervals lost.

In each shift the domains train as many galaxies each. Zero-shot: neighbours among the training galaxies of a domain.
Few-shot: a density of every property, corrected by a conformal step on galaxies of the validation split of the same
domain as those it learned from; in that domain its intervals of 90 % then hold, and what they miss in another is lost
by the shift. The encoder is the same for all: it has seen images and spectra of all training galaxies of its survey.

Cost, on one core: 0.5 ms a galaxy and source (the shifts within a survey, 128 columns; a domain has `galaxies` at most)
and 4 s at the start: 11 s for 2,800 galaxies, 3 embeddings, 2 properties; 77 s for 20,000, 8 embeddings, 5 properties.
"""

import logging
from collections.abc import Mapping

import numpy as np
import pandas
from threadpoolctl import threadpool_limits

from skyloom.analysis.common import neighbours, tables
from skyloom.analysis.common.embeddings import Embedding
from skyloom.analysis.domain_shift import Settings, figures, networks, scores
from skyloom.analysis.domain_shift.domains import Catalogue
from skyloom.analysis.domain_shift.plans import Plan, plans
from skyloom.analysis.domain_shift.scores import Answers
from skyloom.analysis.domain_shift.sources import Source, sources
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)


def measure_shift(job: Job) -> None:
    """Write the table (csv, `scores.COLUMNS`) and the figure.

    Inputs: galaxies (targetid, properties, magnitudes, ra, dec), splits, embeddings (tables MODEL-MODALITY.parquet);
    host_embeddings, host_galaxies, host_splits: of each embedding whose model comes from another survey the same of
    that one. Too few galaxies give a table without rows and a figure that says so.

    Raises
    ------
    BadInput : a file is not what it should be.
    """
    settings: Settings = job.settings
    rows, catalogues = [], {}
    for source in sources(job, catalogues):
        planned = list(plans(source, catalogues, settings, job.seed))
        features = _read(source, planned)
        for plan in planned:
            with threadpool_limits(1):  # sums over threads round as their number says
                found = answers(plan, source, features, catalogues, settings, job.seed)
                rows += scores.table_rows(job.survey, source, plan, found, settings, job.seed)
        log.info("%s-%s: %d shifts", source.model, source.modality, len({plan.shift.name for plan in planned}))
    table = pandas.DataFrame(rows, columns=scores.COLUMNS)
    tables.write_csv(job.outputs["table"], table, scores.COLUMNS)
    figures.draw(table, settings, job.outputs["figure"])


def _read(source: Source, planned: list[Plan]) -> dict[str, Embedding]:
    """Of each survey the rows of the galaxies that are asked for, read once."""
    wanted: dict[str, list[np.ndarray]] = {}
    for plan in planned:
        for survey, targetid in plan.asked():
            wanted.setdefault(survey, []).append(targetid)
    found = {}
    for survey, ids in wanted.items():
        ids, held = np.unique(np.concatenate(ids)), source.features[survey]
        split = np.full(len(ids), "")
        found[survey] = Embedding(source.model, source.modality, ids, split, held.of(ids), dict(source.traits))
    return found


def answers(
    plan: Plan,
    source: Source,
    features: Mapping[str, Embedding],
    catalogues: Mapping[str, Catalogue],
    settings: Settings,
    seed: int,
) -> list[Answers]:
    """What the heads of a plan say of each tested domain."""
    names = list(plan.properties)
    samples = [(d.survey, chosen[d.name]) for d, chosen in _asked(plan)]
    queries = np.concatenate([features[survey].of(ids) for survey, ids in samples])
    truth = np.concatenate([catalogues[survey].table.loc[ids, names].to_numpy(float) for survey, ids in samples])
    train = np.stack([features[d.survey].of(plan.train[d.name]) for d in plan.trained])
    labels = np.stack([catalogues[d.survey].table.loc[plan.train[d.name], names].to_numpy(float) for d in plan.trained])
    said = networks.fit(train, labels, queries, settings.plain(), seed)
    mean, pit = said.mean(), said.cdf(truth)  # (T, P, Q)
    ends = np.cumsum([0, *(len(ids) for _, ids in samples)])
    parts = [slice(*pair) for pair in zip(ends[:-1], ends[1:], strict=True)]
    tested, calibrating = parts[: len(plan.tested)], parts[len(plan.tested) :]
    checks = [pit[t][:, part] for t, part in enumerate(calibrating)]
    asked = queries[: ends[len(plan.tested)]]
    ordered = bool(source.traits.get("ordered"))
    near = np.array([knn(x, y, asked, ordered, settings) for x, y in zip(train, labels, strict=True)])
    return [
        Answers(domain.name, truth[part].T, near[:, :, part], mean[:, :, part], pit[:, :, part], checks)
        for domain, part in zip(plan.tested, tested, strict=True)
    ]


def _asked(plan: Plan):
    """Domains that are asked about, and where their galaxies stand: the tested ones, then those that calibrate."""
    return [*((d, plan.test) for d in plan.tested), *((d, plan.calibrate) for d in plan.trained)]


def knn(train: np.ndarray, labels: np.ndarray, queries: np.ndarray, ordered: bool, settings: Settings) -> np.ndarray:
    """The neighbours' means (P, Q) for queries (Q, d) among galaxies (n, d) with labels (n, P).

    `ordered` : the leading columns are the principal components already.
    """
    count = min(settings.whitened, train.shape[1])
    if ordered and count:
        train, queries = train[:, :count], queries[:, :count]
    space = neighbours.standardise(train, queries)
    if count and not ordered:
        space = neighbours.whiten(count, *space)
    distance, index = neighbours.nearest(space[1], space[0], settings.k)
    return np.stack([neighbours.average(distance, y[index], settings.weights) for y in labels.T])
