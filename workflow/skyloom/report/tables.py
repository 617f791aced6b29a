"""The tables of the report that belong to no analysis: counts, cuts, quarantine, models."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pandas

from skyloom.analysis.common import tables as tidy
from skyloom.analysis.common.blocks import Table, cell, grid, read_csv
from skyloom.core.errors import BadInput
from skyloom.settings.names import MODALITIES, SPLITS


def counts(splits_paths: list, quarantined: pandas.DataFrame | None, shared_paths: list = ()) -> list[tuple[str, str]]:
    """Galaxies in each split, rows put aside, and the test galaxies whose image overlaps one of the training split."""
    found = []
    for path in splits_paths:
        sizes = tidy.read_parquet(path, ["split"])["split"].value_counts()
        found.append(("galaxies", f"{sizes.sum():,}"))
        found += [(f"{name} split", f"{sizes.get(name, 0):,}") for name in SPLITS]
    for path in shared_paths:
        measured = json.loads(Path(path).read_text(encoding="utf-8"))
        if measured["shared_sky"] is not None:
            words = f"of test galaxies share sky with training ones on images of {measured['side_arcsec']:.0f} arcsec"
            found.append((words, f"{100 * measured['shared_sky']:.1f} %"))
    if quarantined is not None:
        found.append(("quarantined", f"{len(quarantined):,}"))
    return found


def below_each_other(paths: list) -> pandas.DataFrame | None:
    """csv tables as one; a table in a folder of a modality says so in a column of its own. None without tables."""
    frames = []
    for path in paths:
        frame, folder = read_csv(path), Path(path).parent.name
        frames.append(frame.assign(modality=folder) if folder in MODALITIES else frame)
    return pandas.concat(frames, ignore_index=True) if frames else None


def quarantine(frame: pandas.DataFrame | None) -> Table | None:
    """Quarantined rows by reason."""
    if frame is None:
        return None
    by = [c for c in ("modality", "reason") if c in frame]
    if not by or frame.empty:
        return grid(frame)
    return grid(frame.groupby(by).size().rename("rows").reset_index())


def model_card(path: str | os.PathLike) -> dict:
    """What a model.json says, flat, under the name of its folder."""
    try:
        card = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not a readable model card (JSON): {error}") from error
    shown = [card.get("config", {}).get("kind"), *(card.get(key) for key in ("parameters", "steps", "validation_loss"))]
    cells = ["" if value is None else f"{value:,}" if isinstance(value, int) else cell(value) for value in shown]
    return {"name": Path(path).parent.name, "path": str(path), "cells": cells, "settings": sorted(flatten(card))}


def flatten(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as (dotted name, text)."""
    if isinstance(value, dict) and value:
        for key in value:
            yield from flatten(value[key], f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value if isinstance(value, str) else json.dumps(value)
