"""Counts: common factors (check 2), sums, shares, and means of the same galaxies in different clusters (check 5)."""

from collections.abc import Iterator

import numpy as np
import pandas
from scipy.special import zeta

from skyloom.analysis.audit.findings import IMPOSSIBLE, UNLIKELY, Finding, found
from skyloom.analysis.audit.reading import BETWEEN, KEY, SOURCE, WHOLE, known, partitions

CHANCE = 1e-3
"""Of a false alarm about common factors in a file."""
LEAST = 3
"""Different counts without which a common factor says nothing."""


def counts_of(frame: pandas.DataFrame, metric: str = "count") -> Iterator[pandas.DataFrame]:
    """The rows of each list of counts, by group; in older tables of ours groups are properties, such as `cluster=0`."""
    rows = frame[(frame["metric"] == metric) & frame["value"].notna() & (frame["group"] != WHOLE[1])]
    named = (rows["group"] == "") & rows["property"].str.contains("=", regex=False)
    rows = rows.assign(group=rows["group"].where(~named, rows["property"]), property=rows["property"].mask(named, ""))
    names = ["table", *(name for name in KEY if name != "group")]
    yield from (own for _, own in rows[rows["group"] != ""].groupby(names, sort=False))


def chance_of(factor: int, numbers: int) -> float:
    """How often the greatest common divisor of so many large random integers is `factor` or more.

    It is m with probability m^-k / zeta(k) (Cesaro 1881).
    """
    return float(zeta(numbers, factor) / zeta(numbers))


def common_factor(frame: pandas.DataFrame) -> Iterator[Finding | None]:
    """Lists of counts, and of galaxies in groups that are scored, that have a factor in common.

    Equal counts (quantile bins) count once. The chance is that of one such list among all of the file.
    """
    lists = {}
    for own in counts_of(frame):
        lists.setdefault(_different(own["value"]), own.iloc[0])
    scored = frame[(frame["metric"] == "r2") & ~frame["group"].isin(WHOLE)]
    scored = scored[known(scored["n"]) & ~scored["group"].str.contains(BETWEEN, regex=False)]
    for _, own in scored.groupby(["table", *(name for name in KEY if name != "group")], sort=False):
        lists.setdefault(_different(own["n"]), own.iloc[0])
    lists = {numbers: row for numbers, row in lists.items() if len(numbers) >= LEAST}
    for numbers, row in lists.items():
        factor = int(np.gcd.reduce(numbers))
        chance = chance_of(factor, len(numbers))
        if factor == 1 or chance * len(lists) > CHANCE:
            yield None
            continue
        what = f"{len(numbers)} different counts have the factor {factor} in common (chance {chance:.1g}): counted"
        yield found(row, UNLIKELY, f"{what} {factor} times, or in steps of {factor}", factor, 1, ["group"])


def _different(values: pandas.Series) -> tuple[int, ...]:
    whole = values[(values > 0) & (values == values.round())]
    return tuple(sorted({int(value) for value in whole}))


def sums(frame: pandas.DataFrame) -> Iterator[Finding | None]:
    """Counts by group that do not add up to the number of galaxies that is stated with them.

    Fewer may be because of galaxies that are in none of the groups (outliers in no property): that is found only where
    another list of the same table is complete.
    """
    lists = []
    for own in counts_of(frame):
        n = own["n"].unique()
        if len(own) > 1 and len(n) == 1 and known(own["n"]).all() and not (own["value"] == n[0]).all():
            lists.append((own, n[0], bool(partitions(own["value"].to_numpy(), n[0]))))
    full = {(*own.iloc[0][["source", "table", "method", "property"]], n) for own, n, complete in lists if complete}
    for own, n, complete in lists:
        row, total = own.iloc[0], own["value"].sum()
        if complete or (total < n and (*row[["source", "table", "method", "property"]], n) not in full):
            yield None
            continue
        times = f", {total / n:g} times as many" if total > n and total % n == 0 else ""
        what = f"the counts add up to {total:,.0f}{times}, and {n:,.0f} galaxies are stated"
        yield found(row, IMPOSSIBLE, what, total, n, ["group"])


def shares(frame: pandas.DataFrame) -> Iterator[Finding | None]:
    """Shares that are not their count over the sum of counts, and lists of shares that do not add up to one."""
    counts = {_key(own): own.set_index("group") for own in counts_of(frame)}
    for own in counts_of(frame, "share"):
        one = 100.0 if (own["unit"] == "%").any() or own["value"].max() > 1 else 1.0
        beside = counts.get(_key(own))
        if beside is None or not beside.index.is_unique:
            off = abs(own["value"].sum() - one) > own["step"].sum() + 1e-9
            what = f"the shares add up to {own['value'].sum():g}, not {one:g}"
            yield found(own.iloc[0], IMPOSSIBLE, what, own["value"].sum(), one, ["group"]) if off else None
            continue
        for _, row in own[own["group"].isin(beside.index)].iterrows():
            count, of = beside["value"][row["group"]], {beside["value"].sum(), beside["n"][row["group"]]}
            right = [one * count / whole for whole in of if whole > 0]
            if not right or min(abs(row["value"] - value) for value in right) <= row["step"] + 1e-9:
                yield None
                continue
            nearest = min(right, key=lambda value: abs(row["value"] - value))
            what = f"a share of {row['value']:g} is stated, and {count:,.0f} of {beside['value'].sum():,.0f} is"
            yield found(row, IMPOSSIBLE, f"{what} {nearest:.4g}", row["value"], nearest)


def _key(own: pandas.DataFrame) -> tuple:
    return tuple(own.iloc[0][["table", *SOURCE, "property", "split"]])


def means(frame: pandas.DataFrame) -> Iterator[Finding | None]:
    """Means by cluster of the same galaxies, clustered in two ways, that do not average to the same.

    Only where every mean states the galaxies behind it, the count of its cluster: weighted with them they give the mean
    of all.
    """
    counts = {(_who(own), group): value for own in counts_of(frame) for group, value in _pairs(own)}
    averages = {}
    for own in counts_of(frame, "mean"):
        here, n = _who(own), own["n"].to_numpy()
        if all(counts.get((here, group)) == size for group, size in zip(own["group"], n, strict=True)):
            row = own.iloc[0]
            key = (*row[["source", "survey", "more", "property", "split"]], n.sum())
            found_mean = (float(n @ own["value"] / n.sum()), float(n @ own["step"] / n.sum()), row)
            averages.setdefault(key, []).append(found_mean)
    for (mean, slack, first), *others in averages.values():
        for other, more, row in others:
            off = abs(other - mean) > slack + more + 1e-9
            what = f"the clusters' means average to {other:.4g}, and to {mean:.4g} in table {first['table']},"
            what = f"{what} {first['model']}, of the same galaxies"
            yield found(row, IMPOSSIBLE, what, other, mean, ["group"]) if off else None


def _who(own: pandas.DataFrame) -> tuple:
    return tuple(own.iloc[0][["table", *SOURCE, "split"]])


def _pairs(own: pandas.DataFrame):
    return zip(own["group"], own["value"], strict=True)
