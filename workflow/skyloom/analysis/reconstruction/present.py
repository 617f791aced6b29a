"""What the report says: are lines in their places, how wide and high, is it more than a redshift tells, is it real?"""

from collections.abc import Iterator

import pandas

from skyloom.analysis.common.blocks import (
    ONCE,
    Claim,
    Figure,
    Scores,
    Shown,
    Table,
    claim,
    in_order,
    read_csv,
    scored,
    with_interval,
)
from skyloom.analysis.reconstruction import Settings, published
from skyloom.analysis.reconstruction.errors import NEAREST, near_name
from skyloom.figures import style

RECONSTRUCTION = "reconstruction"
FIGURES = ("figure_low", "figure_high", "figure_lines", "figure_draws")
CONTROLS = ("other observed spectra", "spectra of other galaxies, redshift known")
METRICS = {
    "recovered": "in their places",
    "recovered_by_chance": "by chance",
    "centre_bias": "centre, bias [A]",
    "centre_scatter": "centre, scatter [A]",
    "width_observed": "width observed [A]",
    "width_ratio": "width, ratio",
    "height_ratio": "height, ratio",
    "height_ratio_in_place": "height in place, ratio",
}


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table, lines = read_csv(paths["table"]), read_csv(paths["lines"])
    found = [*claims(table, lines, settings), *(Figure(paths[name]) for name in FIGURES[:3])]
    found += [line_table(lines), beside_published(lines), error_table(table), classifiers(table)]
    if table["property"].eq("draws").any():
        found.append(Figure(paths["figure_draws"]))
    return [block for block in found if block]


def claims(table: pandas.DataFrame, lines: pandas.DataFrame, settings: Settings) -> Iterator[Claim]:
    """Places, widths and heights of lines by query; better than the redshift alone; draws that fool."""
    drawn = lines[lines["drawn"] == RECONSTRUCTION]
    for query in dict.fromkeys(drawn["query"]):
        wide = drawn[drawn["query"] == query].set_index(["property", "metric"])
        yield from _places(query, wide)
        yield from _sizes(query, wide)
    yield from _worth(table, settings)
    draws = table[(table["metric"] == "auc") & table["property"].isin(["draws", "draws, redshift known"])]
    if len(draws):
        worst = draws.loc[draws["value"].idxmax()]
        yield claim(
            f"Classifiers are fooled by drawn spectra: area under the curve at most {settings.fooled:g}",
            f"worst of {len(draws)}: {style.pretty(worst['modality'])}, {worst['method']}, {worst['property']}:"
            f" {with_interval(worst)}, n = {worst['n']:,}; {_controls(table)}",
            worst["value"] <= settings.fooled,
            worst["ci_high"] <= settings.fooled or worst["ci_low"] > settings.fooled,
        )


def _places(query: str, wide: pandas.DataFrame) -> Iterator[Claim]:
    """Every line is in its place more often than chance has it."""
    names = [name for name, metric in wide.index if metric == "recovered"]
    if not names:
        return
    rows = [(name, wide.loc[name, "recovered"], wide.loc[name, "recovered_by_chance"]["value"]) for name in names]
    yield claim(
        f"{style.pretty(query)}: lines are drawn in their places, each more often than by chance",
        "; ".join(f"{name} {with_interval(r)}, by chance {chance:.2f}, n = {r['n']:,}" for name, r, chance in rows),
        all(row["value"] > chance for _, row, chance in rows),
        all(row["ci_low"] > chance or row["ci_high"] < chance for _, row, chance in rows),
    )


def _sizes(query: str, wide: pandas.DataFrame) -> Iterator[Claim]:
    """The paper's finding: too wide, too low."""
    for metric, text, above in (
        ("width_ratio", "widths of lines are overestimated, as published", True),
        ("height_ratio", "heights of lines are underestimated, as published", False),
    ):
        names = [name for name, m in wide.index if m == metric]
        if not names:
            continue
        rows = [wide.loc[name, metric] for name in names]
        yield claim(
            f"{style.pretty(query)}: {text}",
            "drawn over observed, median: "
            + "; ".join(f"{n} {with_interval(r)}, n = {r['n']:,}" for n, r in zip(names, rows, strict=True)),
            all((row["value"] > 1) == above for row in rows),
            all(row["ci_low"] > 1 or row["ci_high"] < 1 for row in rows),
        )


def _worth(table: pandas.DataFrame, settings: Settings) -> Iterator[Claim]:
    """Spectra are drawn better than from the redshift alone."""
    gains = table[(table["metric"] == "explained") & (table["property"] == "spectrum, all")]
    names = (NEAREST, near_name(settings.neighbours))
    for query in dict.fromkeys(gains["modality"]):
        rows = gains[(gains["modality"] == query) & gains["method"].isin(names)]
        if len(rows):
            least = rows.loc[rows["value"].idxmin()]
            yield claim(
                f"{style.pretty(query)}: spectra are drawn better than by who knows the redshift alone",
                "mean squared error lower by "
                + "; ".join(f"{with_interval(r)} of that of the {r['method']}" for _, r in rows.iterrows())
                + f"; n = {least['n']:,}; {ONCE}",
                least["value"] > 0,
                least["ci_low"] > 0 or least["ci_high"] < 0,
            )


def _controls(table: pandas.DataFrame) -> str:
    rows = table[(table["metric"] == "auc") & table["property"].isin([*CONTROLS, "reconstruction"])]
    found = rows.groupby("property", sort=False)["value"].agg(["min", "max"])
    return "; ".join(f"{name} {row['min']:.2f} to {row['max']:.2f}" for name, row in found.iterrows())


def line_table(lines: pandas.DataFrame) -> Scores | None:
    """A line of the table for each query, what is compared, and emission line."""
    found = []
    for (query, drawn, name), some in lines.groupby(["query", "drawn", "property"], sort=False):
        cells = {row["metric"]: scored(row, False) for _, row in some.iterrows() if row["metric"] in METRICS}
        n = int(some.loc[some["metric"] == "observed", "value"].iloc[0])
        found.append(((style.pretty(query), drawn, name, f"{n:,}"), in_order(cells, METRICS)))
    note = (
        "n: galaxies in which the line is observed and was hidden. Widths (full, at half maximum) and heights of lines"
        " in their places, medians; height in place: of all n, with centre and width as observed. The averaging widens"
        " what is observed and what is drawn alike; where a network sees arcsinh of flux over noise, flux is compared."
        " Below 10 lines nothing is said."
    )
    heads = ("query", "drawn", "line", "n")
    return Scores(heads, list(METRICS.values()), found, "Lines", note) if found else None


def beside_published(lines: pandas.DataFrame) -> Table | None:
    """Ratios of ours beside those of the single galaxies that were published."""
    drawn = lines[lines["drawn"] == RECONSTRUCTION].set_index(["query", "property", "metric"])
    found = []
    for query in dict.fromkeys(query for query, _, _ in drawn.index):
        for name, one in published.LINES.items():
            for metric, pair in (("width", one.width), ("height", one.height)):
                key = (query, name, f"{metric}_ratio")
                if pair and key in drawn.index:
                    ends = [drawn.loc[query, name, f"{metric}_{end}"]["value"] for end in ("observed", "reconstructed")]
                    said = f"{pair[0]:g} to {pair[1]:g}, {pair[1] / pair[0]:.2g} times"
                    ours = f"{ends[0]:.3g} to {ends[1]:.3g}, {with_interval(drawn.loc[key])} times"
                    found.append([name, metric, said, style.pretty(query), ours])
    note = f"Published: {published.SOURCE}. Ours: medians of many; other galaxies, so no comparison of like with like."
    columns = ["line", "of it", "published", "our query", "ours [95 %]"]
    return Table(columns, found, title="Lines beside those published", note=note) if found else None


def error_table(table: pandas.DataFrame) -> Scores | None:
    """Mean squared errors: a line a query and method, a column a modality and bin of redshift."""
    rows = table[table["metric"] == "mse"]
    groups = list(dict.fromkeys(rows["property"]))
    best = rows.groupby(["modality", "property"])["value"].min()
    found = []
    for (query, method), some in rows.groupby(["modality", "method"], sort=False):
        cells = {
            r["property"]: scored(r, r["value"] <= best[query, r["property"]] + 1e-12, 3) for _, r in some.iterrows()
        }
        found.append(((style.pretty(query), method), in_order(cells, groups)))
    note = (
        "Mean squared error of the hidden numbers in the network's own units, of a galaxy, then of all;"
        " noise, which nothing can draw, is part of it. Baselines know training galaxies, and the redshift where named."
    )
    return Scores(("query", "drawn by"), groups, found, "Errors of what was hidden", note) if found else None


def classifiers(table: pandas.DataFrame) -> Scores | None:
    """Areas under the curve."""
    rows = table[table["metric"] == "auc"]
    methods = list(dict.fromkeys(rows["method"]))
    found = []
    for (query, what), some in rows.groupby(["modality", "property"], sort=False):
        cells = {r["method"]: scored(r, False) for _, r in some.iterrows()}
        found.append(((style.pretty(query), what, f"{int(some['n'].iloc[0]):,}"), in_order(cells, methods)))
    note = (
        "Area under the curve of classifiers that tell these from observed spectra, five folds by galaxy: .5 is"
        " indistinguishable. Those of other galaxies, with the redshift known, say how well a wrong redshift is found"
        " out; a reconstruction without noise must be found out. Intervals are of galaxies, for the classifiers as they"
        " were trained: of 25 made-up pairs of alike samples 21 had .5 inside."
    )
    return (
        Scores(
            ("query", "told from observed", "pairs"),
            methods,
            found,
            "Drawn or observed?",
            note,
        )
        if found
        else None
    )
