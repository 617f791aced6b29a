"""What the report says of a retrieval: chance and redshift beside every number, and whether they are beaten."""

from collections.abc import Iterator

import pandas

from skyloom.analysis.common.blocks import Claim, Figure, Shown, Table, claim, read_csv, with_interval
from skyloom.analysis.retrieval import Settings
from skyloom.analysis.retrieval.likeness import DIFFERENCE, RANDOM, RATIO, called
from skyloom.analysis.retrieval.narrow import ESTIMATED, KNOWN, NARROW
from skyloom.figures import style

FACTOR = 10
"""How many times better than chance a recall is claimed to be."""
PAIRING = ["model", "modality"]


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"])
    claimed = [*claims(table, max(settings.top)), *narrow_claims(table, max(settings.top), settings.narrow)]
    claimed += likeness_claims(table)
    beyond = [narrow_table(table, settings.narrow, settings.least), likeness_table(table, settings.narrow)]
    found = [*claimed, retrieval_table(table), *beyond]
    found += [Figure(paths["figure_likeness"]), Figure(paths["figure_recall"]), Figure(paths["figure"])]
    found += [Figure(paths["figure_spectra"])]
    return [block for block in found if block is not None]


def claims(table: pandas.DataFrame, k: int) -> Iterator[Claim]:
    """Recall@k of every pairing against FACTOR times chance, or against chance where so much more is not possible."""
    rows = table[table["metric"] == f"recall@{k}"].set_index(["model", "modality", "method"])
    for model, modality, method in rows.index:
        if method != "cosine" or (model, modality, "chance") not in rows.index:
            continue
        found, chance = rows.loc[(model, modality, method)], rows.loc[(model, modality, "chance")]["value"]
        factor = FACTOR if FACTOR * chance <= 1 else 1
        beyond = found["ci_low"] > factor * chance or found["ci_high"] < factor * chance
        asked = f"at least {factor} times chance" if factor > 1 else "above chance"
        holds = found["value"] >= factor * chance if factor > 1 else found["value"] > chance
        yield claim(
            f"Recall@{k} of {style.pretty(model)}, {style.pretty(modality)}, is {asked}",
            f"{with_interval(found, 3)}, chance {chance:.3f}: {found['value'] / chance:.1f} times, n = {found['n']:,}",
            holds,
            beyond,
        )


def narrow_claims(table: pandas.DataFrame, k: int, narrow: float) -> Iterator[Claim]:
    """The counterpart ranks above the middle among galaxies of its redshift: where redshift alone leaves it."""
    for (model, modality), rows in table[table["metric"].str.startswith(NARROW)].groupby(PAIRING, sort=False):
        own = rows.set_index(["metric", "method"])
        place = own.loc[(f"{NARROW}median_rank_fraction", "cosine")]
        recall = own.loc[(f"{NARROW}recall@{k}", "cosine")]
        chance = own.loc[(f"{NARROW}recall@{k}", "chance")]["value"]
        yield claim(
            f"Among galaxies of the same redshift (|dz|/(1 + z) < {narrow:g}) {style.pretty(model)}, "
            f"{style.pretty(modality)}, finds the counterpart beyond chance",
            f"median place {with_interval(place, 3)} of these, chance 0.5; recall@{k} {with_interval(recall, 3)}, "
            f"chance {chance:.3f}, n = {place['n']:,}",
            place["value"] < 0.5,
            place["ci_high"] < 0.5 or place["ci_low"] > 0.5,
        )


def likeness_claims(table: pandas.DataFrame) -> Iterator[Claim]:
    """What is found is more alike, in every known property, than random galaxies of the same redshift are."""
    for (model, modality), own in table[table["metric"] == RATIO].groupby(PAIRING, sort=False):
        numbers = [f"{called(row['property'])} {with_interval(row)}" for _, row in own.iterrows()]
        holds = (own["value"] < 1).all()
        yield claim(
            f"What {style.pretty(model)}, {style.pretty(modality)}, finds is physically more alike than random "
            "galaxies of the same redshift",
            f"ratio of the median differences: {', '.join(numbers)}, n = {own['n'].min():,}",
            holds,
            (own["ci_high"] < 1).all() if holds else (own["ci_low"] > 1).any(),
        )


def retrieval_table(table: pandas.DataFrame) -> Table:
    """Retrieval metrics in the whole gallery, with chance and redshift alone beside them."""
    rows = table[~table["metric"].str.startswith(NARROW) & ~table["metric"].isin([DIFFERENCE, RATIO])]
    beside = rows[rows["method"] != "cosine"].set_index(["model", "modality", "metric", "method"])["value"]
    lines = []
    for _, row in rows[rows["method"] == "cosine"].iterrows():
        keys = [(*row[[*PAIRING, "metric"]], method) for method in ("chance", KNOWN, ESTIMATED)]
        others = [f"{beside[key]:.4g}" if key in beside.index else "" for key in keys]
        lines.append([*_names(row), with_interval(row, 3), *others, row["n"]])
    note = (
        "Cosine similarity among all galaxies of the split that have both modalities; ties share their mean rank. "
        '"median abs dz" is the typical |dz|/(1 + z) between a galaxy and its nearest other galaxy. Redshift alone: of '
        "all galaxies ranked by |dz| from a redshift known to the width of a narrow bin, and from the redshift that "
        "the nearest other galaxies have."
    )
    columns = ["chance", "redshift alone, to a bin", "redshift alone, of neighbours", "galaxies"]
    return Table(["model", "pairing", "metric", "value [95 %]", *columns], lines, note=note)


def narrow_table(table: pandas.DataFrame, narrow: float, least: int) -> Table | None:
    """The metrics among galaxies of the same redshift; None without any."""
    rows = table[table["metric"].str.startswith(NARROW)]
    chance = rows[rows["method"] == "chance"].set_index(["model", "modality", "metric"])["value"]
    lines = []
    for _, row in rows[rows["method"] == "cosine"].iterrows():
        gallery = chance[(*row[PAIRING], f"{NARROW}median_gallery")]
        expected = f"{chance[tuple(row[[*PAIRING, 'metric']])]:.4g}"
        lines.append([*_names(row), with_interval(row, 3), expected, f"{gallery:.0f}", row["n"]])
    note = (
        f"Each query among the galaxies within |dz|/(1 + z) < {narrow:g} of it, if there are at least {least}; chance "
        "is for these numbers of candidates. The rank fraction is (rank - 1/2) / candidates."
    )
    columns = ["model", "pairing", "metric", "value [95 %]", "chance", "candidates (median)", "queries"]
    return Table(columns, lines, "Among galaxies of the same redshift", note) if lines else None


def likeness_table(table: pandas.DataFrame, narrow: float) -> Table | None:
    """Differences of what is found and of random pairs of the same redshift; None without any."""
    rows = table[table["metric"].isin([DIFFERENCE, RATIO])]
    lines = []
    for (model, modality, name), own in rows.groupby([*PAIRING, "property"], sort=False):
        cells = own.set_index(["metric", "method"])
        keys = [(DIFFERENCE, "cosine"), (DIFFERENCE, RANDOM), (RATIO, "cosine")]
        values = [with_interval(cells.loc[key], 3) if key in cells.index else "" for key in keys]
        lines.append([style.pretty(model), style.pretty(modality), called(name), *values, own["n"].iloc[0]])
    note = (
        "Median absolute difference between a galaxy and its nearest other galaxy, and between it and a random one "
        f"within |dz|/(1 + z) < {narrow:g}, in the property's units (dex, mag); the ratio has a paired bootstrap "
        "interval."
    )
    columns = ["model", "pairing", "property", "found [95 %]", "same redshift [95 %]", "ratio [95 %]", "queries"]
    return Table(columns, lines, "Physical likeness of what is found", note) if lines else None


def _names(row: pandas.Series) -> list[str]:
    metric = row["metric"].removeprefix(NARROW).replace("_", " ")
    return [style.pretty(row["model"]), style.pretty(row["modality"]), metric]
