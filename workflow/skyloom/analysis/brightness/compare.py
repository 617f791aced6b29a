"""R2 of the brighter and the fainter half of the test galaxies, and their difference, bright minus faint throughout."""

import logging

import numpy as np
import pandas

from skyloom.analysis.brightness import Settings, words
from skyloom.analysis.common import bygroup, group_figures, tables
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)


def compare(job: Job) -> None:
    """Score both halves.

    Inputs: galaxies (targetid and the columns of `by`), predictions. Outputs: table (csv, `bygroup.COLUMNS`), figure.
    A column that the catalogue does not have, or knows of too few galaxies, is left out with a line in the log. Cost:
    that of the bootstrap.
    """
    settings: Settings = job.settings
    galaxies = tables.read_known(job.one("galaxies"), settings.by).astype(float)
    rows, names = [], []
    for predicted in bygroup.read_predictions(job.one("predictions")):
        for column in settings.by:
            groups = halves(galaxies[column].reindex(predicted.targetid), *words(column))
            if min(map(len, groups.values())) < settings.least:
                log.info("%s, %s: fewer than %d galaxies in a half: left out", predicted.name, column, settings.least)
                continue
            names += [name for name in groups if name not in names]
            options = {"resamples": settings.resamples, "seed": job.seed, "least": settings.least}
            found = bygroup.scored(job.survey, predicted, groups, differences=[tuple(groups)], **options)
            rows += [row for row in found if row["group"] != bygroup.ALL or column == settings.by[0]]
    table = pandas.DataFrame(rows, columns=bygroup.COLUMNS)
    tables.write_csv(job.outputs["table"], table)
    group_figures.draw_by_group(table, names, "", job.outputs["figure"])


def halves(values: pandas.Series, bright: str, faint: str) -> dict[str, np.ndarray]:
    """Targetids of the galaxies up to the median of `values` (by targetid) and beyond it; unknown ones in neither."""
    known = values[np.isfinite(values)]
    middle = known.median()
    return {bright: known.index[known <= middle].to_numpy(), faint: known.index[known > middle].to_numpy()}
