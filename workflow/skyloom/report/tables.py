"""The tables of the report: tidy rows turned into columns and lines of text."""

from collections.abc import Iterable

import numpy as np
import pandas

from skyloom.analysis.common import tables as tidy
from skyloom.figures import style

INPUTS = ["photometry", "image", "hsc_image", "spectrum"]
METRICS = {"sigma_nmad": "sigma_NMAD", "bias": "bias", "outliers_0.15": "|dz| > 0.15", "outliers_0.05": "|dz| > 0.05"}
# Published sSFR is the benchmark's own ("legacy") quantity; it stands in the column of ours, marked.
PUBLISHED_AS = {"ssfr_legacy": "log_ssfr"}


def score_table(table: pandas.DataFrame | None) -> dict | None:
    """R2 on the test split: a line for each model and method, a column for each property; best of an input marked."""
    if table is None:
        return None
    scores = table[(table["metric"] == "r2") & (table["split"] == "test")]
    scores = scores.assign(input=scores["modality"].str.split("->").str[0])
    properties = list(dict.fromkeys(scores["property"]))
    best = set(scores.groupby(["input", "property"])["value"].idxmax().dropna())
    lines = []
    for (modality, model, method), rows in by_input(scores):
        cells = {row["property"]: scored(row, best=i in best) for i, row in rows.iterrows()}
        lines.append(
            {"name": [modality, style.pretty(model), method_name(method)], "cells": in_order(cells, properties)}
        )
    n = {p: int(scores[scores["property"] == p]["n"].iloc[0]) for p in properties}
    return {"columns": [f"{style.label(p)}, n = {n[p]}" for p in properties], "lines": lines}


def photoz_table(table: pandas.DataFrame | None) -> dict | None:
    """Redshift statistics of every model on the test split."""
    if table is None:
        return None
    rows = table[(table["property"] == "z") & (table["split"] == "test") & table["metric"].isin(METRICS)]
    lines = []
    for (modality, model, method), group in by_input(rows):
        cells = {row["metric"]: scored(row, best=False, digits=4) for _, row in group.iterrows()}
        lines.append({"name": [modality, style.pretty(model), method_name(method)], "cells": in_order(cells, METRICS)})
    return {"columns": list(METRICS.values()), "lines": lines} if lines else None


def difference_table(table: pandas.DataFrame | None) -> dict | None:
    """Paired differences of R2; a difference whose interval excludes 0 is marked."""
    if table is None:
        return None
    rows = table[table["metric"] == "delta_r2"]
    properties = list(dict.fromkeys(rows["property"]))
    lines = []
    for (modality, model, method), group in rows.groupby(["modality", "model", "method"], sort=False):
        cells = {
            row["property"]: scored(row, best=row["ci_low"] > 0 or row["ci_high"] < 0, sign=True)
            for _, row in group.iterrows()
        }
        lines.append({"name": [modality, model, method_name(method)], "cells": in_order(cells, properties)})
    return {"columns": [style.label(p) for p in properties], "lines": lines} if lines else None


def by_input(rows: pandas.DataFrame) -> list[tuple[tuple[str, str, str], pandas.DataFrame]]:
    """Rows grouped by (modality, model, method): photometry, images, spectra; baselines before trained models."""

    def place(group) -> tuple:
        (modality, model, method), _ = group
        source = modality.split("->")[0]
        return INPUTS.index(source) if source in INPUTS else len(INPUTS), style.rank(model), modality, model, method

    return sorted(rows.groupby(["modality", "model", "method"]), key=place)


def scored(row: pandas.Series, best: bool, digits: int = 2, sign: bool = False) -> dict:
    """A cell of a score table: value and interval apart, and whether it is set in bold."""
    value, _, interval = with_interval(row, digits, sign).partition(" [")
    return {"value": value, "interval": interval and f"[{interval}", "best": bool(best)}


def in_order(cells: dict[str, dict], names: Iterable[str]) -> list[dict]:
    """The cells of these names; an empty one where there is none."""
    return [cells.get(p, {"value": "", "interval": "", "best": False}) for p in names]


def choice_table(table: pandas.DataFrame | None) -> dict | None:
    """What was chosen on the validation split."""
    if table is None:
        return None
    rows = table[table["metric"].str.startswith("chosen_")]
    properties = list(dict.fromkeys(rows["property"]))
    lines = []
    for (modality, model, method, metric), group in rows.groupby(["modality", "model", "method", "metric"], sort=False):
        values = group.set_index("property")["value"]
        cells = [f"{values[p]:g}" if p in values.index else "" for p in properties]
        lines.append([modality, style.pretty(model), method_name(method), metric.removeprefix("chosen_"), *cells])
    columns = ["input", "model", "method", "what", *map(style.label, properties)]
    return {"columns": columns, "lines": lines} if lines else None


def retrieval_table(table: pandas.DataFrame | None) -> dict | None:
    """Retrieval metrics with chance beside them."""
    if table is None:
        return None
    chance = table[table["method"] == "chance"].set_index(["model", "modality", "metric"])["value"]
    lines = []
    for _, row in table[table["method"] != "chance"].iterrows():
        key = (row["model"], row["modality"], row["metric"])
        expected = f"{chance[key]:.4g}" if key in chance.index else ""
        lines.append(
            [row["model"], row["modality"], row["metric"].replace("_", " "), with_interval(row, 3), expected, row["n"]]
        )
    return {"columns": ["model", "pairing", "metric", "value [95 %]", "chance", "galaxies"], "lines": lines}


def published_table(survey: str, published: pandas.DataFrame | None, table: pandas.DataFrame | None) -> dict | None:
    """Published R2, each followed by ours for the same model, modality and method; every line says which survey."""
    if published is None:
        return None
    ours = pandas.DataFrame(columns=tidy.COLUMNS) if table is None else table
    ours = ours[(ours["metric"] == "r2") & (ours["split"] == "test")]
    ours = ours.set_index(["model", "modality", "method", "property"])["value"]
    rows = published[published["metric"] == "r2"].replace({"property": PUBLISHED_AS})
    properties = [p for p in style.LABELS if p in set(rows["property"])]
    lines = []
    for (model, modality, method), group in rows.groupby(["model", "modality", "method"], sort=False):
        name = [model, modality, method_name(method)]
        for (source, where), some in group.groupby(["source", "survey"], sort=False):
            values = some.set_index("property")["value"]
            lines.append({"ours": False, "cells": [source, where, *name, *_two_digits(values, properties)]})
        own = {p: ours[key] for p in properties if (key := (model, modality, method, p)) in ours.index}
        if own:
            lines.append({"ours": True, "cells": ["this run", survey, *name, *_two_digits(own, properties)]})
    columns = ["source", "survey", "model", "input", "method", *map(style.label, properties)]
    return {"columns": columns, "lines": lines}


def references(published: pandas.DataFrame | None) -> list[tuple[str, str]]:
    """Source and reference of everything published, each once."""
    if published is None:
        return []
    return list(published[["source", "reference"]].drop_duplicates().itertuples(index=False, name=None))


def _two_digits(values, properties: list[str]) -> list[str]:
    return [f"{values[p]:.2f}" if p in values else "" for p in properties]


def published_photoz(survey: str, published: pandas.DataFrame | None, table: pandas.DataFrame | None) -> dict | None:
    """Published photometric-redshift statistics, and ours from images and photometry."""
    if published is None:
        return None
    rows = published[published["metric"].isin(METRICS)]
    lines = [
        [row.source, row.survey, row.model, row.modality, METRICS[row.metric], f"{row.value:g}", row.reference]
        for row in rows.itertuples()
    ]
    if table is not None:
        own = table[
            (table["split"] == "test") & table["modality"].isin(["image", "photometry"]) & table["metric"].isin(METRICS)
        ]
        own = own[own["model"].isin(["astroclip", "photometry"])]
        for _, row in own.iterrows():
            name = ["this run", survey, row["model"], row["modality"], METRICS[row["metric"]], with_interval(row, 4)]
            lines.append([*name, method_name(row["method"])])
    columns = ["source", "survey", "model", "input", "metric", "value", "note"]
    return {"columns": columns, "lines": lines} if lines else None


def quarantine(frame: pandas.DataFrame | None) -> dict | None:
    """Quarantined rows by reason."""
    if frame is None:
        return None
    by = [c for c in ("modality", "reason") if c in frame]
    if not by or frame.empty:
        return grid(frame.head(20))
    return grid(frame.groupby(by).size().rename("rows").reset_index())


def grid(frame: pandas.DataFrame | None) -> dict | None:
    """A data frame as columns and lines of text."""
    if frame is None:
        return None
    return {
        "columns": [c.replace("_", " ") for c in frame],
        "lines": [[cell(v) for v in row] for row in frame.itertuples(index=False)],
    }


def cell(value: object) -> str:
    """A value as text: four significant decimals for fractions, nothing for a missing one."""
    if isinstance(value, float):
        return "" if not np.isfinite(value) else f"{value:.4f}" if value % 1 else f"{value:g}"
    return str(value)


def with_interval(row: pandas.Series, digits: int = 2, sign: bool = False) -> str:
    """`0.87 [0.85, 0.89]`, or the value alone where there is no interval."""
    form = f"{'+' if sign else ''}.{digits}f"
    if not np.isfinite(row["value"]):
        return "not defined"
    if not np.isfinite(row["ci_low"]):
        return format(row["value"], form)
    return f"{row['value']:{form}} [{row['ci_low']:{form}}, {row['ci_high']:{form}}]"


def method_name(method: str) -> str:
    """What a method is called in the tables."""
    return {"knn": "kNN", "mlp": "MLP"}.get(method, method)
