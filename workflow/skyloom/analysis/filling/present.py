"""What the report says of spectra that were filled in."""

import pandas

from skyloom.analysis.common.blocks import Figure, Scores, Shown, claim, in_order, read_csv, scored, with_interval
from skyloom.analysis.filling import Settings
from skyloom.analysis.filling.scores import AT_LINES, CHI2, DELTA, HIDDEN, NETWORK, SMOOTHED
from skyloom.figures import style

METRICS = {
    (HIDDEN, CHI2): "all that was hidden",
    (HIDDEN, SMOOTHED): "the same, smoothed",
    (AT_LINES, CHI2): "at lines",
    (AT_LINES, SMOOTHED): "at lines, smoothed",
}


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"])
    return [*claims(table), *filter(None, [error_table(table)]), Figure(paths["figure"])]


def claims(table: pandas.DataFrame) -> list:
    """The network's smoothed errors are below those of each other method."""
    found = []
    own = table[(table["method"] == NETWORK) & (table["metric"] == SMOOTHED)].set_index("property")
    others = table[table["metric"] == SMOOTHED].set_index(["method", "property"])
    for _, row in table[(table["metric"] == SMOOTHED.replace(CHI2, DELTA)) & (table["property"] == HIDDEN)].iterrows():
        numbers = f"{own.loc[HIDDEN, 'value']:.2f} against {others.loc[(row['method'], HIDDEN), 'value']:.2f}"
        found.append(
            claim(
                f"{style.pretty(row['model'])} fills in what is hidden of spectra better than: {row['method']}",
                f"median smoothed error {numbers} (noise alone: 1), median difference {with_interval(row)}, "
                f"n = {row['n']:,}",
                row["value"] < 0,
                row["ci_high"] < 0 or row["ci_low"] > 0,
            )
        )
    return found


def error_table(table: pandas.DataFrame) -> Scores | None:
    """Errors by method."""
    rows = table[table["metric"].isin([CHI2, SMOOTHED])]
    lines = []
    for method, own in rows.groupby("method", sort=False):
        cells = {METRICS[row["property"], row["metric"]]: scored(row, False) for _, row in own.iterrows()}
        lines.append(((method,), in_order(cells, list(METRICS.values()))))
    note = "Median over test galaxies of the mean squared error in units of the noise: the truth itself would have 1."
    if not lines:
        return None
    return Scores(("filled in by",), list(METRICS.values()), lines, "Errors of what was filled in", note)
