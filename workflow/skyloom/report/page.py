"""One self-contained HTML page: what was run, on which data, with which numbers, and whether the numbers hold.

Every verdict is computed from the tables. Sections whose tables or figures are not given are left out.
"""

import itertools
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pandas

from skyloom.analysis.common import tables as tidy
from skyloom.core import provenance
from skyloom.core.errors import BadInput
from skyloom.core.files import write_text
from skyloom.figures.html import environment, figure
from skyloom.report import tables as shape
from skyloom.report.checks import regression_checks, retrieval_checks
from skyloom.settings.layout import MODALITIES

log = logging.getLogger(__name__)

TEMPLATES = Path(__file__).parent / "templates"


def build_report(
    survey: str, config: dict, tables: dict, figures: dict, cards: list, out_path: str | os.PathLike
) -> None:
    """Write the report of a survey.

    Parameters
    ----------
    survey : its name
    config : the run's configuration (all of it), shown as it is
    tables : name -> path or list of paths (shown one below the other), any of flow, splits (parquet), quarantine,
        regression, retrieval, redshift, published (csv); other names are listed among the files only
    figures : name -> PNG path, any with a caption, and loss curves under the names `loss-MODEL`
    cards : paths of model.json files
    out_path : the HTML file; needs no network, no script, no other file
    """
    tables = {name: [paths] if isinstance(paths, str | os.PathLike) else list(paths) for name, paths in tables.items()}
    frames = {name: _csv(paths) for name, paths in tables.items() if paths and str(paths[0]).endswith(".csv")}
    files = [*itertools.chain(*tables.values()), *figures.values(), *cards]
    regression, retrieval = frames.get("regression"), frames.get("retrieval")
    context = {
        "survey": survey,
        "mock": _is_mock(survey, config),
        "settings": sorted(flatten(config)),
        "counts": counts(tables.get("splits", []), frames),
        "flow": shape.grid(frames.get("flow")),
        "quarantine": shape.quarantine(frames.get("quarantine")),
        "models": [model_card(path) for path in cards],
        "checks": [*regression_checks(regression), *retrieval_checks(retrieval)],
        "scores_table": shape.score_table(regression),
        "photoz": shape.photoz_table(regression),
        "differences": shape.difference_table(regression),
        "choices": shape.choice_table(regression),
        "retrieval": shape.retrieval_table(retrieval),
        "redshift": shape.grid(frames.get("redshift")),
        "published": shape.published_table(survey, frames.get("published"), regression),
        "references": shape.references(frames.get("published")),
        "published_photoz": shape.published_photoz(survey, frames.get("published"), regression),
        "figures": {name: figure(name, path) for name, path in figures.items() if not name.startswith("loss-")},
        "losses": [figure(name, figures[name]) for name in figures if name.startswith("loss-")],
        "files": [str(path) for path in files if path not in tables.get("published", [])],  # committed, not made
        "provenance": provenance_rows(files),
    }
    write_text(out_path, environment(TEMPLATES).get_template("report.html").render(context))
    log.info("%s: %d checks, %d figures", out_path, len(context["checks"]), len(figures))


def counts(splits_paths: list, frames: dict) -> list[tuple[str, str]]:
    """Galaxies in each split and how many were scored."""
    found = []
    for path in splits_paths:
        sizes = tidy.read_parquet(path, ["split"])["split"].value_counts()
        found.append(("galaxies", f"{sizes.sum():,}"))
        found += [(f"{name} split", f"{sizes.get(name, 0):,}") for name in ("train", "validation", "test")]
    if frames.get("quarantine") is not None:
        found.append(("quarantined", f"{len(frames['quarantine']):,}"))
    if frames.get("redshift") is not None:
        found.append(("real spectra with a redshift estimate", f"{len(frames['redshift']):,}"))
    return found


def model_card(path: str | os.PathLike) -> dict:
    """What a model.json says, flat, under the name of its folder."""
    try:
        card = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not a readable model card (JSON): {error}") from error
    shown = [card.get("config", {}).get("kind"), *(card.get(key) for key in ("parameters", "steps", "validation_loss"))]
    cells = ["" if value is None else f"{value:,}" if isinstance(value, int) else shape.cell(value) for value in shown]
    return {"name": Path(path).parent.name, "path": str(path), "cells": cells, "settings": sorted(flatten(card))}


def flatten(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as (dotted name, text)."""
    if isinstance(value, dict) and value:
        for key in value:
            yield from flatten(value[key], f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)


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


def _is_mock(survey: str, config: dict) -> bool:
    return config.get("surveys", {}).get(survey, {}).get("kind", survey) == "mock"


def _csv(paths: list) -> pandas.DataFrame:
    """Tables below each other; a table in a folder of a modality says so in a column of its own."""
    frames = []
    for path in paths:
        try:
            frame = pandas.read_csv(path)
        except (pandas.errors.ParserError, pandas.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise BadInput(f"{path}: not a readable csv table: {str(error).strip()}") from error
        folder = Path(path).parent.name
        frames.append(frame.assign(modality=folder) if folder in MODALITIES else frame)
    return pandas.concat(frames, ignore_index=True)
