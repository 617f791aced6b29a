"""What the report says of clusters: the tables of the benchmark, with published numbers beside ours."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas

from skyloom.analysis.clusters import RAW, Settings
from skyloom.analysis.clusters.figures import SEEN
from skyloom.analysis.common.blocks import Figure, Shown, Table, Text, read_csv, with_interval
from skyloom.analysis.common.published import read as read_published
from skyloom.figures import style

MEAN, COUNT, LN = "mean_", "count", "ln_"
SKY = "position"
"""The property of published clusters that are not of embeddings."""
SHOWN = 6
"""Clusters of HDBSCAN that have a column of their own."""


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    ours = read_csv(paths["table"])
    if ours.empty:
        return [Text("Too few galaxies for clusters.", warns=True)]
    ours = ours.assign(source="this run", survey=survey.name)
    table = pandas.concat([_published(survey), ours]) if survey.published else ours
    kmeans = table[table["method"] == "kmeans"]
    found = [chosen_table(ours), Figure(paths["figure_kmeans"])]
    found += [means_table(kmeans), information_table(kmeans, settings.permutations)]
    found += [Figure(paths["figure_hdbscan"]), frequency_table(table, settings)]
    return [block for block in found if block is not None]


def chosen_table(ours: pandas.DataFrame) -> Table:
    """The number of clusters of each embedding, why it was chosen, and how good and steady they are."""
    lines = []
    for (model, modality), rows in ours[ours["method"] == "kmeans"].groupby(["model", "modality"], sort=False):
        by_metric = rows.set_index("metric")
        k = by_metric.loc["chosen_k", "value"]
        below = rows[rows["metric"] == "below_chord"].set_index("property")["value"].sort_values(ascending=False)
        next_best = below.drop(f"k={k:.0f}").head(1)
        why = f"{below[f'k={k:.0f}']:.3f} (next {next_best.index[0].removeprefix('k=')}: {next_best.iloc[0]:.3f})"
        scores = [
            with_interval(by_metric.loc[metric]) if metric in by_metric.index else ""
            for metric in ("silhouette", "stability")
        ]
        lines.append([style.pretty(model), style.pretty(modality), f"{k:.0f}", why, *scores, rows["n"].iloc[0]])
    columns = ["model", "modality", "k", "below the chord", "silhouette", "stability [95 %]", "galaxies"]
    note = (
        "k is the elbow of the inertia: the point farthest below the chord from its first to its last point, both axes "
        "scaled to 0..1. Stability: mean adjusted Rand index between fits on bootstrap resamples of the galaxies, each "
        "labelling all of them; 1: the same clusters, 0: as alike as random labels."
    )
    return Table(columns, lines, "k-means: how many clusters, and how steady", note)


def means_table(kmeans: pandas.DataFrame) -> Table | None:
    """Mean properties and counts by cluster, in original units, as Tables 7 and 9 of the benchmark."""
    rows = kmeans[kmeans["property"].str.startswith("cluster=")]
    means = [
        m for m in dict.fromkeys(rows["metric"]) if m != COUNT and rows[rows["metric"] == m]["value"].notna().any()
    ]
    means = _in_order_of_ours(kmeans, means, "metric")
    lines, marked = [], []
    for (modality, *_), own in _embeddings(rows):
        grid = own.pivot(index="property", columns="metric", values="value")
        for cluster in dict.fromkeys(own["property"]):
            cells = [_number(grid.loc[cluster].get(m, np.nan)) for m in means]
            if own["source"].iloc[0] == "this run":
                marked.append(len(lines))
            name = _names(own, modality)
            lines.append([*name, cluster.removeprefix("cluster="), *cells, f"{grid.loc[cluster].get(COUNT):,.0f}"])
    columns = ["source", "survey", "model", "input", "cluster"]
    columns += [*(f"mean {style.label(m.removeprefix(MEAN))}" for m in means), "galaxies"]
    note = "Ours are numbered by size; of a property count galaxies of which it is known. " + _beside(kmeans)
    return Table(columns, lines, "Mean properties and counts of the k-means clusters", note, marked=marked)


def information_table(kmeans: pandas.DataFrame, permutations: int) -> Table | None:
    """AMI of cluster labels and binned properties, with the p of permutations, as Tables 8 and 10 of the benchmark."""
    rows = kmeans[kmeans["metric"].isin(["ami", "ami_p"])]
    properties = _in_order_of_ours(rows, list(dict.fromkeys(rows["property"])), "property")
    lines, marked = [], []
    for (modality, *_), own in _embeddings(rows):
        values = own.pivot(index="property", columns="metric", values="value").reindex(columns=["ami", "ami_p"])
        if own["source"].iloc[0] == "this run":
            marked.append(len(lines))
        cells = []
        for name in properties:
            ami, p = values.loc[name] if name in values.index else (np.nan, np.nan)
            cells.append("" if np.isnan(ami) else f"{ami:.3f}" + ("" if np.isnan(p) else f" (p = {p:.3f})"))
        lines.append([*_names(own, modality), *cells])
    columns = ["source", "survey", "model", "input", *map(style.label, properties)]
    note = (
        f"p: the share of permuted labels with as much information, of {permutations}; it is never below "
        f"{1 / (1 + permutations):.3f}. " + _beside(kmeans)
    )
    title = "Adjusted mutual information of clusters and binned properties"
    return Table(columns, lines, title, note, marked=marked) if lines else None


def frequency_table(table: pandas.DataFrame, settings: Settings) -> Table | None:
    """Galaxies in each cluster of HDBSCAN, noise first, as Tables 11 and 12 of the benchmark."""
    rows = table[table["method"].isin(SEEN) & (table["metric"] == COUNT)]
    lines, marked = [], []
    for (modality, _, _, _, method), own in _embeddings(rows, ["method"]):
        counts = own.set_index(own["property"].str.removeprefix("cluster=").astype(int))["value"].sort_index()
        noise, counts = counts.get(-1, 0), counts[counts.index >= 0]
        cells = [f"{c:,.0f}" for c in counts.head(SHOWN)] + [""] * (SHOWN - len(counts))
        rest = f"{counts.iloc[SHOWN:].sum():,.0f} in {len(counts) - SHOWN}" if len(counts) > SHOWN else ""
        if own["source"].iloc[0] == "this run":
            marked.append(len(lines))
        name = [*_names(own, modality), SEEN[method]]
        lines.append([*name, f"{noise:,.0f}", *cells, rest, f"{noise + counts.sum():,.0f}"])
    columns = ["source", "survey", "model", "input", "HDBSCAN sees", "noise (-1)", *map(str, range(SHOWN)), "others"]
    note = (
        f"Components: the leading {settings.hdbscan_components}, clusters of at least {settings.min_cluster_size}. "
        f"Whole embedding, as published: all its columns, standardised, of at most {settings.raw_galaxies:,} galaxies, "
        f"clusters of at least {settings.raw_min_cluster_size}. " + _beside(rows[rows["method"] == RAW])
    )
    return Table([*columns, "galaxies"], lines, "Frequencies of the HDBSCAN clusters", note, marked=marked)


def _published(survey: Shown) -> pandas.DataFrame:
    """The published rows about clusters of embeddings, in the form of ours: natural logarithms become decimal ones, and
    HDBSCAN is on whole embeddings."""
    rows = read_published(survey.published)
    rows = rows[rows["method"].isin(["kmeans", "hdbscan"]) & (rows["property"] != SKY)].drop(columns="reference")
    natural = (rows["metric"] == "mean") & rows["property"].str.startswith(LN)
    of = rows["property"].where(~natural, "log_" + rows["property"].str.removeprefix(LN))
    return rows.assign(
        method=rows["method"].replace("hdbscan", RAW),
        property=of.where(rows["group"] == "", "cluster=" + rows["group"]),
        metric=rows["metric"].where(rows["metric"] != "mean", MEAN + of),
        value=rows["value"].where(~natural, rows["value"] / np.log(10)),
    )


def _embeddings(rows: pandas.DataFrame, more: Sequence[str] = ()) -> Iterator[tuple[tuple, pandas.DataFrame]]:
    """Rows of each embedding: by input, what is published first."""
    order = {name: place for place, name in enumerate(_in_order_of_ours(rows, list(rows["modality"]), "modality"))}
    rows = rows.iloc[np.argsort(rows["modality"].map(order), kind="stable")]
    return iter(rows.groupby(["modality", "source", "survey", "model", *more], sort=False))


def _in_order_of_ours(rows: pandas.DataFrame, names: list[str], column: str) -> list[str]:
    """Names as they come in our rows, then those that only published ones have."""
    ours = rows[rows["source"] == "this run"][column]
    return [name for name in dict.fromkeys([*ours, *names]) if name in set(names)]


def _names(own: pandas.DataFrame, modality: str) -> list[str]:
    first = own.iloc[0]
    return [first["source"], first["survey"], style.pretty(first["model"]), style.pretty(modality)]


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def _beside(rows: pandas.DataFrame) -> str:
    if (rows["source"] == "this run").all():
        return ""
    return "Published lines (others than this run's) are of other galaxies: no line beats another."
