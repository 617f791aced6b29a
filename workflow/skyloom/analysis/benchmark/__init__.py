"""Every table and figure of the papers' benchmarks on one page, ours and theirs side by side."""

from skyloom.analysis.benchmark.items import KINDS
from skyloom.settings import layout
from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting

PROTOCOL = "protocol"


class Settings(AnalysisSettings):
    """Keys of the page of the benchmark."""

    regression: reference("analysis") = setting("regression")
    "our own protocol"
    protocol: reference("analysis") = setting("published_protocol")
    "the published one: a regression with its settings"


def inputs(context: Context) -> dict[str, list[str]]:
    """The results of the first analysis of each kind that is made of the survey, and the published numbers."""
    context.output_of("regression", "table")
    found = {}
    for kind in KINDS:
        for analysis in context.config.analyses.values():
            made = context.made_of(analysis.name) if analysis.kind_name == kind else {}
            if made and kind not in found:
                found[kind] = [made[role] for role in analysis.kind.outputs]
    try:
        context.output_of(PROTOCOL, "predictions")
        outputs = context.config.analyses[context.settings.protocol].kind.outputs
        found[PROTOCOL] = [context.output_of(PROTOCOL, role)[0] for role in outputs]
    except Lacking:
        found[PROTOCOL] = found["regression"]
    return found | {"published": list(layout.PUBLISHED_TABLES)}


KIND = AnalysisKind(
    rule="page_benchmark",
    title="The papers' benchmarks, table by table",
    settings=Settings,
    inputs=inputs,
    outputs={"page": "benchmark.html", "table": "benchmark.csv"},
    run="skyloom.analysis.benchmark.page:build",
    present="skyloom.analysis.benchmark.present:present",
    data=("templates/*",),
    tidy=False,
)
