"""Do the numbers of results tables, ours and published ones, contradict each other?"""

import dataclasses
import types

from skyloom.core.errors import BadConfig
from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting


class Settings(AnalysisSettings):
    """Keys of an audit."""

    tables: list[reference("analysis")] = setting(["regression"], min_length=1)
    "analyses whose tables are audited, each for itself; those that a survey does not have are left out there"
    published: list[str] = setting([])
    "published tables, typed in, that are audited beside ours (columns: resources/published/README.md)"


def inputs(context: Context) -> dict[str, list[str]]:
    """The tables of those analyses that the survey has, and the published ones."""
    found = []
    for name in context.settings.tables:
        try:
            found.append(table_of(context, name))
        except Lacking:
            continue
    if not found:
        raise Lacking(f"has none of the tables {', '.join(context.settings.tables)}")
    return {"tables": found, "published": list(context.settings.published)}


def table_of(context: Context, name: str) -> str:
    """The file of role `table` that another analysis makes of the survey.

    Raises
    ------
    Lacking : it is not made of this survey.
    BadConfig : it makes no csv table, or one that has not a number a row, or is an audit.
    """
    other, where = context.config.analyses.get(name), f"analyses.{context.analysis.name}.tables"
    if other is not None and other.kind is KIND:
        raise BadConfig(f"{where}: '{name}' is an audit itself; leave it out")
    asking = dataclasses.replace(context.analysis, settings=types.SimpleNamespace(tables=name))
    (path,) = dataclasses.replace(context, analysis=asking).output_of("tables", "table")
    if not path.endswith(".csv"):
        raise BadConfig(f"{where}: '{name}' is of kind {other.kind_name}, which makes no csv table")
    if not other.kind.tidy:
        wanted = "an audit reads tables with a number a row (columns metric and value)"
        raise BadConfig(f"{where}: the table of '{name}' (kind {other.kind_name}) is wide; {wanted}; leave it out")
    return path


KIND = AnalysisKind(
    rule="audit",
    title="Do the results contradict each other?",
    settings=Settings,
    inputs=inputs,
    outputs={"table": "audit.csv", "checked": "audit-checked.csv"},
    run="skyloom.analysis.audit.audit:run",
    present="skyloom.analysis.audit.present:present",
    mem_mb=1000,
    runtime=10,
    tidy=False,
)
