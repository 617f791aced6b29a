"""What the report says of the parents: do both archives agree, the table, the check, who disagrees."""

import pandas

from skyloom.analysis.common.blocks import (
    Cell,
    Claim,
    Figure,
    Scores,
    Shown,
    Table,
    Text,
    claim,
    grid,
    in_order,
    read_csv,
)
from skyloom.analysis.parents import Settings

METRICS = {"agree": 3, "outliers": 3, "bias": 6, "sigma_nmad": 6, "largest": 3}
"""What is shown of each group, with so many digits."""
TEXT = (
    "The models learn from DESI's redshifts; those in the files of the HSC images, compiled from other surveys, are "
    "compared with them here and used for nothing else. Where they differ, one is of another object or another line."
)


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table, scores, wrong = (read_csv(paths[name]) for name in ("table", "scores", "disagreeing"))
    found = [claims(scores, settings, survey), Text(TEXT), parents(table, settings), check(scores, settings)]
    found += [Figure(paths["figure"])]
    if len(wrong):
        found.append(grid(wrong, "Redshifts that disagree, the largest differences first", folded=True))
    return [block for block in found if block is not None]


def claims(scores: pandas.DataFrame, settings: Settings, survey: Shown) -> Claim | None:
    """In how many galaxies the archives agree."""
    rows = scores[scores["group"] == "all"].set_index("metric")
    if "agree" not in rows.index:
        return None
    row = rows.loc["agree"]
    count, n = round(row["value"] * row["n"]), int(row["n"])
    text = f"{survey.name}: HSC's files and DESI agree about at least {settings.expected:.0%} of the redshifts, within"
    text = f"{text} {settings.agree:g} in |dz|/(1+z); models learn from DESI's"
    numbers = f"{count:,} of {n:,}: {row['value']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
    certain = row["ci_low"] >= settings.expected or row["ci_high"] < settings.expected
    return claim(text, numbers, row["value"] >= settings.expected, certain)


def parents(table: pandas.DataFrame, settings: Settings) -> Table:
    """A line for each data set, beside what is published of the like."""
    share = f"{settings.percentile:g}th percentile"
    of_numbers = ["rows", f"z, {share}", "z, largest", f"i, {share}"]
    heads = ["data set", "data", *of_numbers, "published: of", *of_numbers]
    lines = [
        [_text(row["dataset"]), _text(row["data_type"]), *_numbers(row, ""), _text(row["published_dataset"])]
        + _numbers(row, "published_")
        for row in table.to_dict("records")
    ]
    note = (
        "Rows of the redshift catalogue count as they are, sky and repeated observations too; which of them the "
        "published number counts is not said. Magnitudes are i_cmodel_mag of HSC. Published: Himes et al. 2025, of "
        "real galaxies."
    )
    return Table(heads, lines, "The sample and its parents", note)


def _numbers(row: dict, prefix: str) -> list[str]:
    count, *others = (row[f"{prefix}{name}"] for name in ("count", "z_percentile", "z_max", "i_percentile"))
    return ["" if pandas.isna(count) else f"{count:,.0f}", *map(_number, others)]


def _number(value: float) -> str:
    return "" if pandas.isna(value) else f"{value:.3f}"


def _text(value) -> str:
    return "" if pandas.isna(value) else str(value)


def check(scores: pandas.DataFrame, settings: Settings) -> Scores | None:
    """A line for each group."""
    lines = []
    for group, some in scores.groupby("group", sort=False):
        cells = {row.metric: _cell(row) for row in some.itertuples()}
        lines.append(((group, f"{int(some['n'].iloc[0]):,}"), in_order(cells, METRICS)))
    note = (
        f"dz is the redshift of HSC's files less that of DESI, by 1 + z of DESI. Agree: |dz| below {settings.agree:g}, "
        f"outliers: above {settings.outlier:g}, with exact 95 % intervals; bias (median) and sigma_NMAD with those of "
        "a bootstrap; the largest dz."
    )
    return (
        Scores(("galaxies", "n"), tuple(METRICS), lines, "Redshifts of HSC's files against DESI's", note)
        if lines
        else None
    )


def _cell(row) -> Cell:
    form = f".{METRICS[row.metric]}f"
    if not row.ci_high >= row.ci_low:
        return Cell(f"{row.value:{form}}")
    return Cell(f"{row.value:{form}}", f"[{row.ci_low:{form}}, {row.ci_high:{form}}]")
