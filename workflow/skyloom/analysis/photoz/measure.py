"""Redshifts from images on the test split: scores of every method, calibration, hidden tokens and exposures."""

import itertools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas
from threadpoolctl import threadpool_limits

from skyloom.analysis.common import tables
from skyloom.analysis.common.published import read as read_published
from skyloom.analysis.photoz import Settings, certainty, figures, metrics, sweep_figures, sweeps
from skyloom.analysis.photoz.asking import redshifts, sample
from skyloom.analysis.photoz.certainty import Certainty
from skyloom.analysis.photoz.methods import Method, Sky, first_shown, read_method, read_sky, whole_image
from skyloom.analysis.photoz.photometry import photometry
from skyloom.models import networks
from skyloom.settings import kinds
from skyloom.settings.analysis import Job
from skyloom.tokens.store import Shards
from skyloom.training.numerics import reproducible

log = logging.getLogger(__name__)

COLUMNS = [
    *("survey", "method", "model", "given", "image_hidden", "spectrum_hidden", "bands", "group", "low", "high"),
    *("metric", "other", "value", "ci_low", "ci_high", "n"),
]


def measure_photoz(job: Job) -> None:
    """Write the tables and figures.

    Inputs: galaxies, splits, predictions, pictures (token shards of images for the baseline), models (weights and
    cards of those whose tokens can be hidden), tokens_{modality} for them, published.

    Cost on one core: 10 s for the baseline of 4,000 galaxies, a second for the scores of a method and 1,000 galaxies,
    and the network's own for each way to ask it (`sweeps`), 26 by default.
    """
    with threadpool_limits(1):
        _measure(job)


def _measure(job: Job) -> None:
    s: Settings = job.settings
    methods = [read_method(path) for path in job.inputs["predictions"]]
    sky = read_sky(job, methods)
    baseline = photometry(job.inputs["pictures"], sky.galaxies, s, job.seed)
    methods += [baseline] if baseline else []
    sky = read_sky(job, methods)
    certain = {method.name: certainty.judged(method, sky) for method in methods if method.density}
    rows = list(_scores(methods, sky, s, job.seed))
    rows += _finite(methods, sky)
    last = {name: list(found.values())[-1].width90 for name, found in certain.items()}
    rows += certainty.wider(methods, last, s, job.seed)
    scores = _written(job, "table", rows, COLUMNS)
    told = [row for m in methods if m.density for row in certainty.rows(m, certain[m.name], sky, s)]
    calibration = _written(job, "calibration", told, certainty.COLUMNS)
    masks, exposures = swept(job, sky)
    masks = _written(job, "masks", masks, sweeps.MASK_COLUMNS)
    exposures = _written(job, "exposure", exposures, sweeps.EXPOSURE_COLUMNS)
    _draw(job, methods, sky, certain, (scores, calibration, masks, exposures))


def _draw(job: Job, methods: list[Method], sky: Sky, certain: dict[str, dict[str, Certainty]], found: Sequence) -> None:
    scores, calibration, masks, exposures = found
    shown, known = first_shown(methods, job.settings.shown), sky.test["z_known"].to_numpy()
    said = shown.z.reindex(sky.test.index).to_numpy(float)
    published = figures.published_scatter(read_published([job.one("published")]))
    figures.draw_redshifts(shown, known, said, scores, published, job.outputs["figure"])
    figures.draw_bins(scores, job.settings, job.outputs["figure_bins"])
    sweep_figures.draw_masks(masks, published, job.outputs["figure_masks"])
    sweep_figures.draw_exposure(exposures, job.outputs["figure_exposure"])
    pits = {name: {stage: one.pit for stage, one in stages.items()} for name, stages in certain.items()}
    sweep_figures.draw_calibration(calibration, pits, job.settings, job.outputs["figure_calibration"])


def _written(job: Job, role: str, rows: Sequence[dict], columns: list[str]) -> pandas.DataFrame:
    """The rows as a table, written and with the survey in front."""
    frame = pandas.DataFrame([{"survey": job.survey, **row} for row in rows], columns=columns)
    tables.write_csv(job.outputs[role], frame)
    return frame


def _scores(methods: list[Method], sky: Sky, s: Settings, seed: int) -> Iterator[dict]:
    """Scores of every method and group, and the differences of pairs of methods."""
    test = sky.test
    known = test["z_known"].to_numpy()
    groups = metrics.groups(known, test["spectype"].to_numpy(), s.edges, s.least)
    said = {method.name: metrics.counted(method.z.reindex(test.index)) for method in methods}
    found = metrics.scored(said, known, groups, s.resamples, seed)
    by_name = {method.name: method for method in methods}
    for (name, group), (values, draws) in found.items():
        low, high, mask = groups[group]
        about = by_name[name].columns() | {"group": group, "low": low, "high": high}
        for row in metrics.rows(values, draws, int(mask.sum())):
            yield about | row
    for one, other in pairs(methods, s):
        for group, (low, high, mask) in groups.items():
            (value, draws), (value_other, draws_other) = found[one, group], found[other, group]
            about = by_name[one].columns() | {"group": group, "low": low, "high": high, "other": other}
            for row in metrics.difference(value, value_other, (draws, draws_other), int(mask.sum())):
                yield about | row


def pairs(methods: list[Method], s: Settings) -> list[tuple[str, str]]:
    """What is compared galaxy by galaxy: what the settings say, and the whole image with all others of images."""
    names = [method.name for method in methods]
    whole = whole_image(methods)
    wanted = [tuple(pair) for pair in s.differences]
    if whole is not None:
        wanted += [(whole.name, method.name) for method in methods if method.of_images and method is not whole]
    return [pair for pair in dict.fromkeys(wanted) if set(pair) <= set(names)]


def _finite(methods: list[Method], sky: Sky) -> Iterator[dict]:
    """The share of the scored galaxies of which each method says a finite redshift."""
    for method in methods:
        share = float(np.isfinite(method.z.reindex(sky.test.index).to_numpy(float)).mean())
        yield method.columns() | {"group": metrics.ALL, "metric": "finite", "value": share, "n": len(sky.scored)}


def swept(job: Job, sky: Sky) -> tuple[list[dict], list[dict]]:
    """Rows of the tables of masks and of exposures, of every model whose tokens can be hidden."""
    s: Settings = job.settings
    masks, exposures = [], []
    for card_path in (path for path in job.inputs.get("models", ()) if path.endswith("model.json")):
        network, card = networks.load(Path(card_path).parent)
        keys = kinds.find("model", card["config"]["kind"], card_path).hides
        image = sweeps.image_of(keys)
        if image is None or sweeps.SPECTRUM not in keys:
            continue
        shards = {name: Shards(job.inputs[f"tokens_{name}"]) for name in keys}
        targetid = sample(sky.of("test").index.to_numpy(), shards, s.galaxies, job.seed)
        if len(targetid) < s.least:
            log.info("%s: %d test galaxies with image and spectrum, too few", card["name"], len(targetid))
            continue
        by_mask, by_exposure = sweeps.mask_ways(image, s.shares), sweeps.exposure_ways(image, s.exposures)
        ways = list(dict.fromkeys(itertools.chain(by_mask.values(), by_exposure.values())))
        with reproducible(1):
            said = redshifts(network, keys, ways, shards, targetid, job.seed)
        for held in shards.values():
            held.close()
        known = sky.galaxies.loc[targetid, "z_known"].to_numpy()
        about = {"model": card["name"]}
        found = {key: said[way] for key, way in by_mask.items()}
        masks += [about | row for row in sweeps.mask_rows(found, known, s, job.seed)]
        found = {key: said[way] for key, way in by_exposure.items()}
        exposures += [about | row for row in sweeps.exposure_rows(found, known, s, job.seed)]
    return masks, exposures
