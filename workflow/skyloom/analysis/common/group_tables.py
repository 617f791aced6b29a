"""R2 by group of galaxies as a table of the report."""

import pandas

from skyloom.analysis.common.blocks import Table, method_name
from skyloom.analysis.common.bygroup import SOURCE
from skyloom.figures import style


def group_table(table: pandas.DataFrame, metric: str = "r2", title: str = "R2 in each group") -> Table:
    """A line for each model, method and property, a column for each group; folded."""
    rows = table[table["metric"] == metric]
    groups = list(dict.fromkeys(rows["group"].astype(str)))
    lines = []
    for (model, modality, method, name), found in rows.groupby([*SOURCE, "property"], sort=False):
        cells = {str(row["group"]): _cell(row) for _, row in found.iterrows()}
        who = [style.pretty(model), style.pretty(modality), method_name(method), style.label(name)]
        lines.append([*who, *(cells.get(group, "") for group in groups)])
    note = "95 % bootstrap intervals over galaxies. A group narrower in a property than all galaxies has a lower R2."
    return Table(["model", "input", "method", "property", *groups], lines, title, note, folded=True)


def _cell(row: pandas.Series) -> str:
    if pandas.isna(row["value"]):
        return ""
    return f"{row['value']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}] ({row['n']:,})"
