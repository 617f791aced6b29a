"""One self-contained HTML page: what was run, on which data, with which numbers, and whether the numbers hold.

It walks what the analyses of the configuration declare, those of the survey first, then those of surveys embedded with
its models; each says itself what it shows (`AnalysisKind.present`). Every verdict is computed from the tables.
"""

import dataclasses
import itertools
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from skyloom.analysis.common import blocks
from skyloom.analysis.common.captions import caption
from skyloom.core import provenance
from skyloom.core.files import write_text
from skyloom.figures.html import environment, figure
from skyloom.report import tables
from skyloom.settings import kinds, layout
from skyloom.settings.config import Analysis, Config, load

log = logging.getLogger(__name__)

TEMPLATES = Path(__file__).parent / "templates"


@dataclasses.dataclass(frozen=True)
class Part:
    """A section of the page: an analysis of a survey. `place`: 0 opens the page with real data, 1 with simulated."""

    anchor: str
    title: str
    blocks: list
    place: int = 2


def build_report(survey: str, config: Mapping, files: Mapping[str, list[str]], out_path: str | os.PathLike) -> None:
    """Write the report of a survey.

    Parameters
    ----------
    survey : its name
    config : the run's configuration (all of it), shown as it is
    files : role -> paths, as `layout.report_files` has them
    out_path : the HTML file; needs no network, no script, no other file

    Raises
    ------
    BadInput : a file is not what it should be.
    """
    loaded = load(config)
    parts = [part for name in loaded.shown(survey) for part in sections(name, survey, loaded, files["published"])]
    parts.sort(key=lambda part: part.place)  # else in the order of surveys and analyses
    claims = [block for part in parts for block in part.blocks if block.shape == "claim"]
    quarantined = tables.below_each_other(files["quarantine"])
    paths = [*itertools.chain(*(given for role, given in files.items() if role != "published"))]
    context = {
        "survey": survey,
        "simulated": loaded.surveys[survey].kind.simulated,
        "settings": sorted(tables.flatten(dict(config))),
        "counts": tables.counts(files["splits"], quarantined, files.get("shared", [])),
        "flow": _grid(tables.below_each_other(files["flow"])),
        "quarantine": tables.quarantine(quarantined),
        "models": [tables.model_card(path) for path in files["cards"]],
        "losses": [figure(path, f"Loss during training: {Path(path).parent.name}.") for path in files["losses"]],
        "claims": claims,
        "parts": [dataclasses.replace(p, blocks=[b for b in p.blocks if b.shape != "claim"]) for p in parts],
        "files": [str(path) for path in paths],
        "provenance": provenance_rows([*paths, *files["published"]]),
    }
    write_text(out_path, environment(TEMPLATES).get_template("report.html").render(context))
    log.info("%s: %d claims, %d analyses", out_path, len(claims), len(parts))


def sections(name: str, survey: str, config: Config, published: list[str]) -> Iterator[Part]:
    """What the analyses of the survey `name` show in the report of `survey`, in the order of the configuration."""
    hosts = config.hosts(name) or [name]
    simulated = {key: other.kind.simulated for key, other in config.surveys.items()}
    made_up = all(simulated[host] for host in hosts)
    about = config.surveys[name].settings.about
    shown = blocks.Shown(name, simulated[name], ", ".join(hosts), made_up, tuple(published), about)
    own = [analysis for analysis in config.analyses_of(name) if analysis.kind.default]
    for analysis in own:
        title = analysis.kind.title
        if sum(other.kind is analysis.kind for other in own) > 1:
            title += f" ({analysis.name})"
        if name != survey:
            title += f", {name}"
        place = (1 if simulated[name] else 0) if analysis.kind.opens else 2
        yield Part(f"{name}-{analysis.name}", title, list(present(analysis, name, shown)), place)


def present(analysis: Analysis, name: str, shown: blocks.Shown) -> Iterator[object]:
    """The blocks of an analysis, figures with their pictures and captions."""
    outputs = layout.outputs(analysis, name)
    declared = {path: analysis.kind.outputs[role] for role, path in outputs.items()}
    give = kinds.load(analysis.kind.present) if analysis.kind.present else blocks.default
    for block in give(outputs, analysis.settings, shown):
        if block.shape == "figure":
            text = block.caption or caption(analysis.kind_name, declared.get(block.path, block.path))
            block = Picture(**figure(block.path, text))
        yield block


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure as the page holds it."""

    uri: str
    caption: str
    path: str
    shape: str = "figure"


def provenance_rows(paths: list) -> list[dict]:
    """Hash, rule, code and seed of every artefact behind the report, and the raw files they come from."""
    records, inputs = {}, {}
    for path in paths:
        records |= provenance.chain(path)
    for record in records.values():
        inputs |= record["inputs"]
    rows = []
    for path in dict.fromkeys([*map(str, paths), *sorted(records), *sorted(inputs)]):
        record = records.get(path, {})
        digest = record.get("sha256") or inputs.get(path) or provenance.digest(path)
        row = {"path": path, "sha256": digest, "code": record.get("params", {}).get("code", "")}
        rows.append(row | {key: record.get(key, "") for key in ("rule", "version", "seed")})
    return rows


def _grid(frame) -> blocks.Table | None:
    return None if frame is None else blocks.grid(frame, rows=200)
