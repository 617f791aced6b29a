"""The job: outliers of every source of a regression, property by property and galaxy by galaxy."""

import logging

import pandas
from threadpoolctl import threadpool_limits

from skyloom.analysis.common import bygroup, tables, traits
from skyloom.analysis.common.predictors import BASELINES
from skyloom.analysis.outliers import Settings, figures
from skyloom.analysis.outliers.flags import GALAXIES, flags_of, galaxies_of
from skyloom.analysis.outliers.rows import multiplicity_rows, overlap_rows, pooled_rows, rate_rows
from skyloom.figures import style
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)


def count(job: Job) -> None:
    """Outliers of each source and property, how many properties coincide, and how alike the outliers of two models are.

    Inputs: predictions (of a regression), embeddings (tables, for traits). Outputs: table (csv, bygroup.COLUMNS;
    `group` is the number of properties in which a galaxy is an outlier, "2+" for two or more), galaxies (parquet,
    GALAXIES), figure (png).

    About a microsecond a galaxy and source, a fifth of that a pair of sources, and five a galaxy and source for the
    bootstrap of 1,000 resamples.
    """
    settings: Settings = job.settings
    predicted = [p for p in bygroup.read_predictions(job.one("predictions")) if p.name in settings.properties]
    predicted.sort(key=lambda p: settings.properties.index(p.name))
    names = [p.name for p in predicted]
    targetid, found = flags_of(predicted, settings.whisker, settings.least)
    rows, members = [], []
    for flags in found:
        rows += [*rate_rows(job.survey, flags, names), *multiplicity_rows(job.survey, flags)]
        members.append(galaxies_of(job.survey, flags, names, targetid))
    with threadpool_limits(1):  # sums over threads round as their number says
        rows += pooled_rows(job.survey, found, settings, job.seed)
    rows += overlap_rows(job.survey, found, names, settings.methods)
    log.info("%d sources, %d galaxies, properties %s", len(found), len(targetid), ", ".join(names) or "none")
    table = pandas.DataFrame(rows, columns=bygroup.COLUMNS)
    members = pandas.concat(members, ignore_index=True) if members else pandas.DataFrame(columns=GALAXIES)
    tables.write_csv(job.outputs["table"], table)
    tables.write_parquet(job.outputs["galaxies"], members)
    known = {e.model: e.traits for e in traits.describe_all(job.inputs["embeddings"])}
    palette = style.Palette({name: {"baseline": True} for name in BASELINES} | known)
    figures.draw(table, settings.methods, palette, job.outputs["figure"])
