"""Whether the numbers that a model gives belong to one galaxy: the table of `physics`, for every query."""

import numpy as np

from skyloom.analysis.queries import physics
from skyloom.analysis.queries.answers import SPLIT, Answers, Sky, read_draws
from skyloom.models.mosaic import BANDS
from skyloom.settings.analysis import Job

COLUMNS = ["survey", "query", "check", "unit", "of", "median", "mad", "n"]
FORMED = "mass formed, less stellar mass"
SMOOTH = "difference of neighbouring bins of a history"
DRAWN = 1000
"""Test galaxies at most whose draws are checked."""


def rows(job: Job, answers: dict[str, Answers], sky: Sky, axes: dict) -> list[dict]:
    """Lines of COLUMNS: residuals of answers, of draws where a query has any, and of the true galaxies beside them."""
    found = _physics(job, answers, sky, axes)
    for name in answers:
        found += _drawn(job, name, sky, axes)
    return found


def _line(job: Job, query: str, check: str, unit: str, of: str, values: np.ndarray) -> dict:
    """A row of the table of checks: median and scatter of residuals."""
    known = values[np.isfinite(values)]
    median = np.median(known) if len(known) else np.nan
    spread = 1.4826 * np.median(np.abs(known - median)) if len(known) else np.nan
    values = [job.survey, query, check, unit, of, median, spread, len(known)]
    return dict(zip(COLUMNS, values, strict=True))


def _drawn(job: Job, query: str, sky: Sky, axes: dict) -> list[dict]:
    """Whether histories and masses that were drawn together belong together, and histories are smooth."""
    targetid, draws = read_draws(job.one(f"query_{query}"), ("sfh", "log_mstar"), SPLIT, DRAWN)
    bins = len(axes.get("sfh", ())) - 1
    if (
        not draws
        or draws["sfh"].shape[1] < 2
        or draws["sfh"].shape[2] != bins
        or not {"scalars", "sfh"} <= set(sky.paths)
    ):
        return []  # nothing was drawn, or parts of histories, or nobody knows the truth
    history, mass = draws["sfh"], draws["log_mstar"][:, :, 0]
    place = np.searchsorted(sky.ids[SPLIT], targetid)
    true = sky.of("sfh", SPLIT)[place]
    own = physics.log_formed(true, axes["sfh"]) - sky.of("scalars", SPLIT)[place, 2]
    formed = physics.log_formed(history.reshape(-1, history.shape[2]), axes["sfh"]).reshape(mass.shape)
    return [
        _line(job, query, FORMED, "dex", "drawn together, less true", (formed - mass - own[:, None]).ravel()),
        _line(
            job, query, FORMED, "dex", "drawn apart, less true", (formed - physics.apart(mass) - own[:, None]).ravel()
        ),
        _line(job, query, SMOOTH, "dex", "drawn", physics.roughness(history).ravel()),
        _line(job, query, SMOOTH, "dex", "true", physics.roughness(true)),
    ]


def _physics(job: Job, answers: dict[str, Answers], sky: Sky, axes: dict) -> list[dict]:
    """Residuals of the two checks, for every query that says what they need, and of the true galaxies."""
    rows = []
    for name, asked in answers.items():
        place = np.searchsorted(sky.ids[SPLIT], asked.targetid)
        whole = {m: sky.of(m, SPLIT)[place] for m in ("scalars", "sfh", "sed", "lsst") if m in sky.paths}
        if {"scalars", "sfh"} <= set(whole) and "sfh" in axes:
            mass, history = _filled(asked, whole, "scalars")[:, 2], _filled(asked, whole, "sfh")
            formed = [
                physics.log_formed(h, axes["sfh"]) - m
                for h, m in ((history, mass), (whole["sfh"], whole["scalars"][:, 2]))
            ]
            rows.append(_line(job, name, FORMED, "dex", "predicted less true", formed[0] - formed[1]))
        given = asked.about["given"].get("lsst", [])
        if {"scalars", "sed", "lsst"} <= set(whole) and "sed" in axes and len(given) == whole["lsst"].shape[1]:
            some = slice(0, 400)
            z, sed = _filled(asked, whole, "scalars")[some, 0], _filled(asked, whole, "sed")[some]
            seen = whole["lsst"][some]
            predicted = physics.light_residual(sed, z, axes["sed"], seen)
            true = physics.light_residual(whole["sed"][some], whole["scalars"][some, 0], axes["sed"], seen)
            for band, (p, t) in zip(BANDS, zip(predicted.T, true.T, strict=True), strict=True):
                check = f"spectrum through {band}, less given magnitude"
                rows += [_line(job, name, check, "mag", of, v) for of, v in (("predicted", p), ("true spectrum", t))]
    return rows


def _filled(asked: Answers, whole: dict[str, np.ndarray], modality: str) -> np.ndarray:
    """A modality's numbers (N, size): the answer where it is asked for, else what was given."""
    values = whole[modality].copy()
    if asked.of(modality):
        said, places = asked.all_of(modality)
        values[:, places] = said
    return values
