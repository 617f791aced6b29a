"""The page: items in the papers' order, our figures, and published numbers beside ours."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas

from skyloom.analysis.benchmark import PROTOCOL
from skyloom.analysis.benchmark.beside import COLUMNS, beside, kinds_of, read_published
from skyloom.analysis.benchmark.items import BENCHMARK, ITEMS, NAMES, Item
from skyloom.analysis.common import tables
from skyloom.analysis.common.blocks import method_name, read_csv
from skyloom.analysis.common.captions import caption
from skyloom.core.files import write_text
from skyloom.figures import style
from skyloom.figures.html import environment, figure
from skyloom.settings import kinds
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

TEMPLATES = Path(__file__).parent / "templates"


def build(job: Job) -> None:
    """Write the page and the table of numbers side by side.

    Inputs: for each kind of analysis (and `protocol`) its outputs in the order of its KIND, published (tables of 2026
    and 2024). Outputs: page (html, opens offline), table (csv, `beside.COLUMNS`).
    """
    files = {role: _by_role(role, paths) for role, paths in job.inputs.items() if role != "published"}
    regression = read_csv(files["regression"]["table"])
    known = kinds_of(regression) | kinds_of(read_csv(files[PROTOCOL]["table"]))
    published = dict(zip(NAMES, map(read_published, job.inputs["published"]), strict=True))
    rows, sections = [], []
    for item in ITEMS:
        lines = []
        number = item.number.removeprefix("Table ")
        if item.paper in published and item.number.startswith("Table") and item.kind in files:
            theirs = published[item.paper]
            theirs = theirs[theirs["table"] == number]
            lines = list(beside(theirs, read_csv(files[item.kind]["table"]), known))
            rows += [{"survey": job.survey, "paper": item.paper, "table": number} | line for line in lines]
        sections.append(_section(item, files.get(item.kind), lines))
    table = pandas.DataFrame(rows, columns=COLUMNS)
    tables.write_csv(job.outputs["table"], table)
    missing = [f"{s['number']} ({s['why']})" for s in sections if s["why"]]
    context = {"survey": job.survey, "sections": sections, "names": NAMES, "missing": missing, "main": BENCHMARK}
    write_text(job.outputs["page"], environment(TEMPLATES).get_template("benchmark.html").render(context))
    log.info("%d numbers beside published ones, %d items without ours", table["ours"].notna().sum(), len(missing))


def _by_role(kind: str, paths: Sequence[str]) -> dict[str, str]:
    outputs = kinds.find("analysis", "regression" if kind == PROTOCOL else kind, "analyses").outputs
    return dict(zip(outputs, paths, strict=True))


def _section(item: Item, files: dict[str, str] | None, lines: list[dict]) -> dict:
    figures = []
    if files is not None:
        for role in item.roles:
            kind = "regression" if item.kind == PROTOCOL else item.kind
            name = kinds.find("analysis", kind, "analyses").outputs[role]
            figures.append(figure(files[role], caption(kind, name)))
    why = item.why or ("" if files is not None else f"no analysis of kind {item.kind} is made of this survey")
    return {
        "paper": item.paper,
        "number": item.number,
        "title": item.title,
        "figures": figures,
        "lines": [_line(line) for line in lines],
        "source": Path(files["table"]).name if files and "table" in files else "",
        "why": why,
    }


def _line(line: dict) -> dict:
    own = line.get("ours")
    ours = ""
    if own is not None:
        ours = number(own)
        if np.isfinite(line["ci_low"]):
            ours += f" [{number(line['ci_low'])}, {number(line['ci_high'])}]"
    note = [f"{line['n']:,.0f}" if own is not None and line["n"] else ""]
    if own is not None and line["our_property"] != line["property"]:
        note.append(style.label(line["our_property"]))
    return {
        "who": ", ".join(filter(None, (style.pretty(line["model"]), line["modality"], method_name(line["method"])))),
        "what": ", ".join(
            filter(None, (style.label(line["property"]), line["group"], line["metric"].replace("_", " ")))
        ),
        "published": number(line["published"]) + ("" if line["confidence"] == "H" else f" ({line['confidence']})"),
        "ours": ours,
        "n": ", ".join(filter(None, note)),
        "model": style.pretty(line.get("our_model", "")),
    }


def number(value: float) -> str:
    """Whole numbers as they are, others with three decimals at most."""
    value = float(value)
    return f"{value:,.0f}" if value == round(value) and abs(value) >= 10 else f"{value:.3f}".rstrip("0").rstrip(".")
