"""All checks over tables, and what they found."""

import logging
from collections.abc import Callable, Iterator

import pandas

from skyloom.analysis.audit import bins, counts, differences, findings, ranges, reading, training
from skyloom.analysis.audit.findings import Finding
from skyloom.analysis.common import tables
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

CHECKS: dict[str, Callable[[pandas.DataFrame], Iterator[Finding | None]]] = {
    "bins": bins.bins_against_pooled,
    "factor": counts.common_factor,
    "training": training.training_scores,
    "difference": differences.differences,
    "sum": counts.sums,
    "share": counts.shares,
    "mean": counts.means,
    "bounds": ranges.bounds,
    "interval": ranges.intervals,
    "repeat": ranges.repeats,
    "galaxies": ranges.galaxies,
}
"""Name -> check of a frame of `reading.read`. It yields something for every place that it looked at: a finding, or
None where all is well."""
OWN, PUBLISHED = "own", "published"
COLUMNS = ["survey", "of", *findings.COLUMNS]
CHECKED = ["survey", "of", "source", "check", "places", "findings"]


def run(job: Job) -> None:
    """Audit tables, each for itself: entries of one kind may have other settings, hence other numbers.

    Inputs: tables (csv, of other analyses), published (csv, typed in). Outputs: table (csv, COLUMNS: the findings) and
    checked (csv, CHECKED: how many places each check looked at). Cost: about 1 ms a row of a table, whatever the
    galaxies behind it.
    """
    rows, checked = [], []
    for of, paths in ((OWN, job.inputs["tables"]), (PUBLISHED, job.inputs.get("published", []))):
        for path in paths:
            frame = reading.read([path])
            for name, places in audit(frame).items():
                own = [place for place in places if place is not None]
                rows += [{"survey": job.survey, "of": of, "check": name} | vars(finding) for finding in own]
                source = reading.source_of(path)
                checked.append(dict(zip(CHECKED, [job.survey, of, source, name, len(places), len(own)], strict=True)))
                for finding in own if of == OWN else ():
                    log.warning("%s", finding.line())
    tables.write_csv(job.outputs["table"], pandas.DataFrame(rows, columns=COLUMNS))
    tables.write_csv(job.outputs["checked"], pandas.DataFrame(checked, columns=CHECKED))


def audit(frame: pandas.DataFrame) -> dict[str, list[Finding | None]]:
    """Check -> what it found at every place that it looked at."""
    return {name: list(check(frame)) for name, check in CHECKS.items()}
