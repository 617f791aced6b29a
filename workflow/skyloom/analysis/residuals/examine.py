"""The job: residuals of every source of a regression, by property."""

import logging
from collections.abc import Iterator

import numpy as np
import pandas
from threadpoolctl import threadpool_limits

from skyloom.analysis.common import bygroup, statistics, tables, traits
from skyloom.analysis.common.predictors import BASELINES
from skyloom.analysis.common.significance import holm
from skyloom.analysis.residuals import Settings, figures
from skyloom.analysis.residuals.boxes import box_rows, quantile_interval
from skyloom.analysis.residuals.compare import (
    bin_names,
    compare,
    inner_edges,
    matched,
    net_interval,
    place,
    sign_test,
)
from skyloom.figures import style
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

ALL = bygroup.ALL
BINS = [*tables.COLUMNS[:6], "target", "error", *tables.COLUMNS[6:]]
"""The tidy table with the bin of the property and that of the error, from 1; "all" for all galaxies."""


def examine(job: Job) -> None:
    """Boxes of absolute residuals, bins of the property, and net counts of pairs of models.

    Inputs: predictions (of a regression), embeddings (tables, for traits), aligned and backbones (tables, pair by
    pair). Outputs: table (csv, a box a source), bins (csv, BINS), figure, figure_bins,
    figure_net (png).

    A source costs a sort of its residuals and one column of the bootstrap's matrix product: about 1.5 microseconds a
    galaxy, source and property with 1,000 resamples.
    """
    settings: Settings = job.settings
    pairs = pairs_of(job)
    boxes, bins, drawn = [], [], {}
    for predicted in bygroup.read_predictions(job.one("predictions")):
        if not np.isfinite(predicted.truth).any():
            continue
        with threadpool_limits(1):  # sums over threads round as their number says
            boxes += box_rows(job.survey, predicted, settings.whisker, settings.resamples, job.seed)
        bins += target_rows(job.survey, predicted, settings)
        bins += pair_rows(job.survey, predicted, pairs, settings)
        drawn[predicted.name] = predicted.truth[np.isfinite(predicted.truth)]
        log.info("%s: %d sources of %d galaxies", predicted.name, len(predicted.sources), len(predicted.targetid))
    boxes, bins = pandas.DataFrame(boxes, columns=tables.COLUMNS), pandas.DataFrame(bins, columns=BINS)
    bins = corrected(bins)
    tables.write_csv(job.outputs["table"], boxes)
    tables.write_csv(job.outputs["bins"], bins)
    known = {e.model: e.traits for e in traits.describe_all(job.inputs["embeddings"])}
    palette = style.Palette({name: {"baseline": True} for name in BASELINES} | known)
    figures.draw_boxes(boxes, settings.methods, palette, job.outputs["figure"])
    figures.draw_bins(drawn, bins, job.outputs["figure_bins"])
    figures.draw_net(bins, settings, job.outputs["figure_net"])


def pairs_of(job: Job) -> list[tuple[str, str, str | None]]:
    """(first, second, modality) of the settings (modality None: all), or each model with what it is built on."""
    if job.settings.pairs:
        return [(first, second, None) for first, second in job.settings.pairs]
    above, below = (map(traits.describe, job.inputs.get(role, [])) for role in ("aligned", "backbones"))
    return [(one.model, other.model, one.modality) for one, other in zip(above, below, strict=True)]


def target_rows(survey: str, predicted: bygroup.Predicted, settings: Settings) -> Iterator[dict]:
    """Bins of the property (from, to, count), and in each the median absolute error and the median of predicted minus
    true of every source: low values predicted too high and high ones too low are seen here."""
    truth = predicted.truth
    edges = inner_edges(truth, settings.bins)
    target = place(truth, edges)
    ends = [np.nanmin(truth), *edges, np.nanmax(truth)]
    residuals = predicted.values - truth
    for number, name in enumerate(bin_names(settings.bins)):
        inside = target == number
        key = (survey, ALL, ALL, "quantiles", predicted.name, "test")
        for metric, value in {"from": ends[number], "to": ends[number + 1], "count": inside.sum()}.items():
            yield _row(key, name, ALL, metric, value, n=inside.sum())
        for source, own in zip(predicted.sources, residuals[:, inside], strict=True):
            own = own[np.isfinite(own)]
            for metric, values in {"median_error": np.abs(own), "median_residual": own}.items():
                if len(own):
                    ci = quantile_interval(values, 0.5)
                    key = (survey, *source, predicted.name, "test")
                    yield _row(key, name, ALL, metric, np.median(values), ci, len(own))


def pair_rows(survey: str, predicted: bygroup.Predicted, pairs: list[tuple], settings: Settings) -> Iterator[dict]:
    """Net counts, the edges of their bins of errors (error_from, error_to), and how often the first model is closer.

    `closer` is the share of the galaxies with unlike errors whose error is smaller with the first model, with its exact
    binomial interval; `p_closer` is the exact test against one half.
    """
    target = place(predicted.truth, inner_edges(predicted.truth, settings.bins))
    names = [ALL, *bin_names(settings.bins)]
    errors = np.abs(predicted.values - predicted.truth)
    for a, b in matched(predicted.sources, pairs, settings.methods):
        first, modality, method = predicted.sources[a]
        both = (np.isfinite(errors[a]) & np.isfinite(errors[b])).sum()
        if both < settings.least:
            log.info("%s, %s - %s: %d galaxies: left out", predicted.name, first, predicted.sources[b][0], both)
            continue
        found = compare(errors[a], errors[b], target, settings.bins, settings.error_bins)
        key = (survey, f"{first} - {predicted.sources[b][0]}", modality, method, predicted.name, "test")
        for e in range(settings.error_bins):
            yield _row(key, ALL, e + 1, "error_from", found.edges[e], n=both)
            yield _row(key, ALL, e + 1, "error_to", found.edges[e + 1], n=both)
        for t, name in enumerate(names):
            for e in range(settings.error_bins):
                ci = net_interval(found.first_only[t, e], found.second_only[t, e])
                yield _row(key, name, e + 1, "net_count", found.net[t, e], ci, found.galaxies[t])
            closer, number = found.closer[t], found.closer[t] + found.further[t]
            if number:
                ci = statistics.exact_interval(int(closer), int(number))
                yield _row(key, name, ALL, "closer", closer / number, ci, number)
        yield _row(key, ALL, ALL, "p_closer", sign_test(found.closer[0], found.further[0]), n=both)


def corrected(bins: pandas.DataFrame) -> pandas.DataFrame:
    """The table with `p_holm` after it: every `p_closer` corrected for all of them."""
    tests = bins[bins["metric"] == "p_closer"]
    if not len(tests):
        return bins
    return pandas.concat([bins, tests.assign(metric="p_holm", value=holm(tests["value"]))], ignore_index=True)


def _row(key: tuple, target: str, error: object, metric: str, value: float, ci=(np.nan, np.nan), n=0) -> dict:
    return tables.row(*key, metric, value, ci, n) | {"target": target, "error": str(error)}
