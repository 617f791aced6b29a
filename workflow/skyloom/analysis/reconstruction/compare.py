"""What a model draws up again beside what is there: tables and figures, on the test split."""

import logging

import numpy as np
import torch

from skyloom.analysis.common import tables
from skyloom.analysis.reconstruction import Settings, errors, figures, fooling, line_figures, recovery
from skyloom.analysis.reconstruction.answers import SPLIT, Answers, Sky, Spectra, model_folder
from skyloom.models import networks
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

SPECTRUM = "spectrum"
LINE_COLUMNS = ["survey", "model", "query", "drawn", "property", "metric", "value", "ci_low", "ci_high", "n"]
RECONSTRUCTION, DRAW = "reconstruction", "one draw"


@torch.inference_mode()
def compare(job: Job) -> None:
    """Errors beside baselines, lines, classifiers, and the figures."""
    s: Settings = job.settings
    network, card = networks.load(model_folder(job))
    sky = Sky(job, network)
    asked = [Answers(paths[0], network) for role, paths in job.inputs.items() if role.startswith("query_")]
    ids = sky.some(SPLIT, s.galaxies)
    known = errors.Known(sky, s.galaxies)
    log.info("%d test galaxies, %d training galaxies", len(ids), len(known.z))
    rows, line_rows, spectra, pairs, worth = [], [], {}, {}, {}
    for answers in asked:
        found = errors.measure(answers, sky, known, ids, s)
        worth[answers.query] = {m: (some, each["network"]) for m, (some, each) in found.items()}
        for modality, (some, each) in found.items():
            z = sky.z.reindex(some).to_numpy(float)
            for method, group, metric, value, ci, n in errors.scores(each, z, s, job.seed):
                rows.append(_row(job, answers, method, f"{modality}, {group}", metric, value, ci, n))
        if SPECTRUM in answers.drawn and SPECTRUM in sky.shards:
            some = spectra[answers.query] = answers.lists(sky, ids)
            pairs[answers.query] = measured(network.wavelength, some, s, job.seed)
            for drawn, lines in pairs[answers.query].items():
                for name, pair in lines.items():
                    for metric, value, ci, n in recovery.scores(pair, s, job.seed):
                        line = [job.survey, answers.model, answers.query, drawn, name, metric, value, *ci, n]
                        line_rows.append(dict(zip(LINE_COLUMNS, line, strict=True)))
            log.info("%s: lines", answers.query)
            for what, method, value, ci, n in fooling.scores(network.wavelength, some, s, job.seed):
                rows.append(_row(job, answers, method, what, "auc", value, ci, n))
            log.info("%s: classifiers", answers.query)
    tables.write_csv(job.outputs["table"], rows)
    tables.write_csv(job.outputs["lines"], line_rows, LINE_COLUMNS)
    whole = {answers.query: answers.hidden[SPECTRUM] == 1 for answers in asked}
    line_figures.draw(pairs, whole, network, s, job.outputs["figure_lines"])
    low, high = first_low(asked), first_high(asked)
    chosen = _low(low, sky, worth, s)
    figures.draw_low(network, card, low, sky, chosen, s, job.outputs["figure_low"])
    some, faint = _high(high, spectra, pairs, s)
    figures.draw_high(high, sky, some, faint, s, job.outputs["figure_high"])
    drawing = next((answers for answers in asked if answers.samples), None)
    of = np.empty(0, "i8") if drawing is None else _spread(spectra[drawing.query], s.shown)
    figures.draw_draws(drawing, sky, of, s, job.outputs["figure_draws"])


def measured(wavelength: np.ndarray, spectra: Spectra, s: Settings, seed: int) -> dict[str, dict]:
    """What is compared (the reconstruction, and one draw where there are draws) -> line -> `recovery.Pairs`."""
    compared = {RECONSTRUCTION: spectra.said} | ({DRAW: spectra.draw} if spectra.draw is not None else {})
    lines = {name: line for name, line in s.lines.items() if line}
    return {
        what: {name: recovery.measure(wavelength, spectra, values, line, s, seed) for name, line in lines.items()}
        for what, values in compared.items()
    }


def _row(job: Job, answers: Answers, method, of, metric, value, ci=(np.nan, np.nan), n=0) -> dict:
    return tables.row(job.survey, answers.model, answers.query, method, of, SPLIT, metric, value, ci, n)


def first_low(asked: list[Answers]) -> Answers | None:
    """The first query that draws images of which a part was shown, those with a part of the spectrum before others."""
    parts = [a for a in asked if "hsc_image" in a.drawn and 0 < a.hidden["hsc_image"] < 1]
    return min(parts, key=lambda a: not (SPECTRUM in a.drawn and 0 < a.hidden[SPECTRUM] < 1), default=None)


def first_high(asked: list[Answers]) -> Answers | None:
    """The first query that draws spectra of which nothing was shown."""
    return next((a for a in asked if SPECTRUM in a.drawn and a.hidden[SPECTRUM] == 1), None)


def _low(answers: Answers | None, sky: Sky, worth: dict, s: Settings) -> np.ndarray:
    """Galaxies below the redshift asked for, at equal steps through the errors of what is drawn (one: the median)."""
    if answers is None:
        return np.empty(0, "i8")
    ids, each = worth[answers.query][SPECTRUM if SPECTRUM in worth[answers.query] else "hsc_image"]
    if "hsc_image" in worth[answers.query]:
        has = np.isin(ids, worth[answers.query]["hsc_image"][0])
        ids, each = ids[has], each[has]
    near = sky.z.reindex(ids).to_numpy(float) < s.low
    ids, each = ids[near], each[near]
    places = ((np.arange(s.shown) + 0.5) * len(ids) / s.shown).astype(int)
    return ids[np.argsort(each, kind="stable")[np.unique(places)]] if len(ids) else ids


def _high(answers: Answers | None, spectra: dict, pairs: dict, s: Settings) -> tuple[np.ndarray, str]:
    """The galaxies of highest redshift in which the line of shortest wavelength that is observed in any is observed,
    and that line's name."""
    if answers is None:
        return np.empty(0, "i8"), ""
    some = spectra[answers.query]
    lines = pairs[answers.query][RECONSTRUCTION]
    for name in sorted(lines, key=lambda name: s.lines[name].wavelength):
        rows = lines[name].rows
        if len(rows):
            rows = rows[np.argsort(-some.z[rows], kind="stable")][: s.shown]
            return some.targetid[rows], name
    return np.empty(0, "i8"), ""


def _spread(spectra: Spectra, count: int) -> np.ndarray:
    """Galaxies at equal steps through the redshifts."""
    order = np.argsort(spectra.z, kind="stable")
    places = ((np.arange(count) + 0.5) * len(order) / count).astype(int)
    return spectra.targetid[order[np.unique(places)]]
