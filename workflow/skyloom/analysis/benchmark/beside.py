"""Published numbers and ours in the same lines."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas

from skyloom.analysis.common.blocks import read_csv

KEYS = ["model", "modality", "method", "property", "group", "metric"]
COLUMNS = [
    *("survey", "paper", "table", *KEYS, "published", "confidence"),
    *("ours", "ci_low", "ci_high", "n", "our_model", "our_property"),
]
SAME = {
    **{"few neighbours": "Few", "moderate": "Moderate", "many neighbours": "Many"},
    **{"low z (bright)": "Low-z (Bright)", "high z (faint)": "High-z (Faint)"},
    "low z (bright) - high z (faint)": "Low-z (Bright) - High-z (Faint)",
}
"""Our names of groups -> the paper's."""


def beside(published: pandas.DataFrame, ours: pandas.DataFrame, kinds: Mapping[str, str]) -> Iterator[dict]:
    """A line for each published number of a table: KEYS, `published`, and ours where there is one.

    Parameters
    ----------
    published : rows of one table of ``resources/published``
    ours : a table of an analysis (`alike`)
    kinds : our models -> their kind. A published model is the first of ours that has its kind; of a difference
        `a - b`, both

    A published sSFR is the benchmark's own ("legacy"); where ours has none, log sSFR stands there (`our_property`).
    """
    found = alike(ours)
    found["kind"] = [_kind(str(model), kinds) for model in found["model"]]
    by_key = {}
    for row in found.to_dict("records"):
        by_key.setdefault(tuple(_text(row[name]) for name in ("kind", *KEYS[1:])), row)
    for row in published.fillna("").to_dict("records"):
        line = {name: _text(row[name]) for name in KEYS}
        line |= {"published": row["value"], "confidence": row["confidence"]}
        for name in dict.fromkeys((line["property"], line["property"].replace("ssfr_legacy", "log_ssfr"))):
            key = tuple({**line, "property": name}[part] for part in KEYS)
            own = by_key.get((key[0].replace("astroclip_v1", "astroclip"), *key[1:]))
            if own is not None and np.isfinite(own["value"]):
                line |= {"ours": own["value"], "our_model": _text(own["model"]), "our_property": name}
                line |= {part: own[part] for part in ("ci_low", "ci_high", "n")}
                break
        yield line


def alike(ours: pandas.DataFrame) -> pandas.DataFrame:
    """A table of ours with the published names of groups and metrics."""
    found = ours.copy()
    if "group" not in found:
        found["group"] = ""
    found["group"] = found["group"].map(_text).map(lambda name: "" if name == "all" else SAME.get(name, name))
    found["property"] = found["property"].map(_text)
    cluster = found["property"].str.extract(r"^cluster=(-?\d+)$")[0]
    inside = cluster.notna()
    found.loc[inside, "group"] = cluster[inside]
    means = found["metric"].str.startswith("mean_") & inside
    found.loc[inside, "property"] = ""
    found.loc[means, "property"] = found.loc[means, "metric"].str.removeprefix("mean_")
    found.loc[means, "metric"] = "mean"
    natural = found[means & (found["property"] == "log_z_mw")].copy()  # the paper's means are natural logarithms
    natural[["property", "value"]] = "ln_z_mw", 0.0
    natural["value"] = found.loc[natural.index, "value"] * np.log(10)
    found = pandas.concat([found, natural], ignore_index=True)
    found = found[found["method"] != "hdbscan"]  # on components: the paper's is on whole embeddings
    found["method"] = found["method"].replace("hdbscan_raw", "hdbscan")
    share = found["metric"] == "share"
    found.loc[share, ["value", "ci_low", "ci_high"]] *= 100
    return found


def kinds_of(regression: pandas.DataFrame) -> dict[str, str]:
    """Models of a table of a regression -> their kind; those that were not trained are a kind of their own."""
    rows = regression.dropna(subset=["kind"]).drop_duplicates("model")
    trained = rows["trained"].astype(str).isin(["True", "true"])
    baseline = rows["kind"].isin(["photometry", "pca"])
    return dict(zip(rows["model"], np.where(trained | baseline, rows["kind"], rows["model"]), strict=True))


def read_published(path: str) -> pandas.DataFrame:
    """Published numbers, with the columns that are texts as texts."""
    return read_csv(path).astype({"table": str})


def _kind(model: str, kinds: Mapping[str, str]) -> str:
    return " - ".join(kinds.get(part, part) for part in model.split(" - ")).replace("nan", "")


def _text(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:g}"
    return "" if value is None else str(value)
