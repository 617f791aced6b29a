"""How right and how sure a model is when asked, on the test split: tables and figures."""

import logging
from pathlib import Path

import numpy as np
import pandas

from skyloom.analysis.common import statistics, tables
from skyloom.analysis.common.conformal import Recalibration
from skyloom.analysis.queries import Settings, baselines, checks, figures, sample_of, schema, states
from skyloom.analysis.queries.answers import SPLIT, Answers, Sky, read_answers
from skyloom.analysis.queries.certainty import crowding, drawn_from, pit_of
from skyloom.core.errors import BadInput
from skyloom.formats.part_columns import SCALARS
from skyloom.models import networks
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

BOOSTED = (*SCALARS, "sfh")
I_BAND, LEAST = 3, 10


def compare(job: Job) -> None:
    """Errors, intervals, baselines and gains of every query, what physics says of the answers, and the figures."""
    s: Settings = job.settings
    sky = Sky(job)
    answers = {
        role.removeprefix("query_"): read_answers(paths[0], SPLIT)
        for role, paths in job.inputs.items()
        if role.startswith("query_")
    }
    beside = {name: _beside(job, name, asked) for name, asked in answers.items()}
    network, card = networks.load(Path(job.inputs["model"][0]).parent)
    axes = network.axes
    errors: dict[tuple[str, str, str], np.ndarray] = {}
    rows = []
    for name, asked in answers.items():
        place = np.searchsorted(sky.ids[SPLIT], asked.targetid)
        for quantity, (truth, said) in _quantities(asked, sky, place).items():
            found = {asked.model: said}
            for other in beside[name]:
                if quantity in _quantities(other, sky, place):
                    found[other.model] = _quantities(other, sky, place)[quantity][1]
            train = sky.of(*_place_of(asked, quantity)[:1], "train")[:, _place_of(asked, quantity)[1]]
            found["median"] = baselines.middle(train, len(truth))
            if s.trees and quantity in BOOSTED:
                seen = [sky.given(asked, split) for split in ("train", SPLIT)]
                found["boosting"] = baselines.boosted(seen[0], train, seen[1][place], s, job.seed)
                log.info("%s: boosted %s", name, quantity)
            for method, values in found.items():
                error = np.nanmean(np.abs(values - truth), axis=1)
                errors[name, quantity, method] = error
                rows.append(_row(job, name, quantity, method, "mae", *_mean(error, s, job.seed)))
            rows += _sure(job, s, asked, name, quantity, truth)
    rows += _gains(job, s, errors, answers, sky)
    tables.write_csv(job.outputs["table"], rows)
    tables.write_csv(job.outputs["physics"], checks.rows(job, answers, sky, axes), checks.COLUMNS)
    scores = pandas.DataFrame(rows)
    truths = {m: sky.of(m, SPLIT) for m in sky.paths}
    figures.draw_queries(answers, truths, sky.ids[SPLIT], axes, scores, s, job.outputs["figure"])
    figures.draw_calibration(answers, truths, sky.ids[SPLIT], scores, job.outputs["figure_calibration"])
    schema.draw(network, card, job.outputs["figure_schema"])
    found = states.projected(network, {k: a.about["given"] for k, a in answers.items()}, truths, s, job.seed)
    states.draw(found, truths.get("scalars"), job.outputs["figure_states"])


def _beside(job: Job, name: str, asked: Answers) -> list[Answers]:
    """What other models answer to the same query."""
    found = []
    for path in job.inputs.get(f"beside_{name}", []):
        other = read_answers(path, SPLIT)
        if not np.array_equal(other.targetid, asked.targetid):
            raise BadInput(f"{path}: not of the galaxies of {job.one(f'query_{name}')}; delete it and rerun")
        found.append(other)
    return found


def _place_of(asked: Answers, quantity: str) -> tuple[str, list[int]]:
    column = asked.about["columns"].get(quantity)
    if column is not None:
        return column["modality"], column["places"]
    return quantity, [p for name in asked.of(quantity) for p in asked.about["columns"][name]["places"]]


def _quantities(asked: Answers, sky: Sky, place: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Quantity -> (true, said), (N, n): each scalar for itself, a vector as a whole."""
    found = {}
    for modality in dict.fromkeys(c["modality"] for c in asked.about["columns"].values()):
        if modality not in sky.paths:  # the survey does not know
            continue
        truth = sky.of(modality, SPLIT)[place]
        if modality == "scalars":
            for name in asked.of(modality):
                where = asked.about["columns"][name]["places"]
                found[name] = (truth[:, where], asked.values[name][:, None])
        else:
            said, where = asked.all_of(modality)
            found[modality] = (truth[:, where], said)
    return found


def _row(job: Job, query, quantity, method, metric, value, ci=(np.nan, np.nan), n=0) -> dict:
    return tables.row(job.survey, method, query, "", quantity, SPLIT, metric, value, ci, n)


def _mean(values: np.ndarray, s: Settings, seed: int) -> tuple[float, tuple[float, float], int]:
    known = values[np.isfinite(values)]
    if not len(known):
        return np.nan, (np.nan, np.nan), 0
    drawn = statistics.bootstrap(lambda x: x.mean(-1), known, count=s.resamples, seed=seed)
    return float(known.mean()), statistics.interval(drawn), len(known)


def _sure(job: Job, s: Settings, asked: Answers, name: str, quantity: str, truth: np.ndarray) -> list[dict]:
    """Whether the intervals hold, whether PIT is uniform, and whether answers crowd where training galaxies do."""
    rows, model = [], asked.model
    single = quantity in asked.about["columns"] and asked.values[quantity].ndim == 1
    ends = [
        asked.values[quantity + end][:, None] if single else asked.all_of(quantity, end)[0]
        for end in ("_lower", "_upper")
    ]
    inside = ((truth >= ends[0]) & (truth <= ends[1])).astype(float)
    inside[~np.isfinite(truth)] = np.nan
    coverage = _row(job, name, quantity, model, "coverage", *_mean(np.nanmean(inside, axis=1), s, job.seed))
    rows.append(coverage | {"method": f"{asked.about['level']:g}"})
    width = np.nanmean(ends[1] - ends[0], axis=1)
    rows.append(_row(job, name, quantity, model, "width", *_mean(width, s, job.seed)))
    if single and f"{quantity}_quantiles" in asked.values:
        known = np.isfinite(truth[:, 0])
        pit = pit_of(truth[known, 0], asked.values[f"{quantity}_quantiles"][known], asked.about["levels"])
        rows.append(_row(job, name, quantity, model, "pit_ks", Recalibration.of(pit).shift, n=len(pit)))
        rng = np.random.default_rng(job.seed)
        drawn = drawn_from(asked.values[f"{quantity}_quantiles"][known], asked.about["levels"], rng)
        for metric, values in (("crowding", asked.values[quantity][known]), ("crowding_of_draws", drawn)):
            rows.append(_row(job, name, quantity, model, metric, crowding(values, truth[known, 0]), n=len(values)))
    return rows


def _gains(job: Job, s: Settings, errors: dict, answers: dict[str, Answers], sky: Sky) -> list[dict]:
    """1 - MAE of one query over that of another, on the same galaxies, with its paired interval: of the model, and of
    boosting, which says what there is to gain for another kind of network."""
    rows = []
    for gain in s.gains:
        if gain.better not in answers or gain.worse not in answers:
            continue
        place = np.searchsorted(sky.ids[SPLIT], answers[gain.better].targetid)
        counted = slice(None)
        if gain.brighter is not None:
            counted = sky.of("lsst", SPLIT)[place, I_BAND] < gain.brighter
        for method in (answers[gain.better].model, "boosting"):
            better, worse = (errors.get((q, gain.of, method)) for q in (gain.better, gain.worse))
            if better is None or worse is None:
                continue
            better, worse = better[counted], worse[counted]
            if len(better) < LEAST:
                log.info("%s of %s: %d galaxies, too few", gain.better, gain.of, len(better))
                continue
            drawn = statistics.bootstrap(
                lambda a, b: 1 - a.mean(-1) / b.mean(-1), better, worse, count=s.resamples, seed=job.seed
            )
            value, n = 1 - better.mean() / worse.mean(), len(better)
            pair = f"{gain.better}/{gain.worse}"
            row = _row(job, pair, gain.of, method, "gain", value, statistics.interval(drawn), n)
            rows.append(row | {"method": sample_of(gain)})
    return rows
