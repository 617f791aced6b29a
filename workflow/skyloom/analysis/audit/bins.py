"""R2 in the groups of a partition against R2 of all galaxies (check 1).

With SSE_g and SST_g the sums of squared errors and of squared deviations from the mean of group g, and b the share of
the variance that lies between the groups' means,

    1 - R2 = sum SSE_g / SST,   sum SST_g = (1 - b) SST,
    1 - R2 = (1 - b) sum w_g (1 - R2_g),   w_g = SST_g / sum SST_g

(errors are not centred, so that they add up). Hence the pooled R2 is never below all groups, and above all of them only
by b = 1 - (1 - R2) / (1 - mean of R2_g), for the mean of weights w_g is at most the best of the groups.
"""

from collections.abc import Iterator

import pandas

from skyloom.analysis.audit.findings import IMPOSSIBLE, NEEDS, Finding, found
from skyloom.analysis.audit.reading import BETWEEN, SOURCE, WHOLE, known, partitions

SAME = [*SOURCE, "property", "split", "metric"]


def bins_against_pooled(frame: pandas.DataFrame) -> Iterator[Finding | None]:
    """Groups whose R2 all lie above the pooled one (impossible), or all below it (needs variance between them).

    Where groups and whole state their galaxies, those must add up for a comparison; then the groups may lie below: the
    table shows that they are the same galaxies, and their means make the difference. Where they are not stated, that
    is all there is to doubt, and the variance that is needed between groups is found.
    """
    for _, rows in frame[frame["metric"] == "r2"].groupby(SAME, sort=False):
        whole = rows[rows["group"].isin(WHOLE) & rows["value"].notna()]
        groups = rows[~rows["group"].isin(WHOLE) & ~rows["group"].str.contains(BETWEEN, regex=False)]
        for table, own in groups.groupby("table", sort=False):
            if len(whole):
                there = whole[whole["table"] == table]
                pooled = (there if len(there) else whole).iloc[0]
                yield from (judged(pooled, part, stated) for part, stated in _parts(own, pooled))


def _parts(own: pandas.DataFrame, pooled: pandas.Series) -> Iterator[tuple[pandas.DataFrame, bool]]:
    stated = known(own["n"])
    if stated.all() and pooled["n"] > 0:
        parts = [(own.iloc[run], True) for run in partitions(own["n"].to_numpy(), pooled["n"])]
    else:  # of some groups only: nobody knows which are meant
        parts = [] if stated.any() else [(own, False)]
    return (pair for pair in parts if len(pair[0]) > 1 and pair[0]["value"].notna().all())


def judged(pooled: pandas.Series, part: pandas.DataFrame, stated: bool) -> Finding | None:
    """What is wrong with the scores of a partition.

    Parameters
    ----------
    pooled : row of the score of all galaxies
    part : rows of its groups
    stated : the numbers of galaxies are stated and add up
    """
    values, whole, here = part["value"], pooled["value"], part.iloc[0]
    slack = pooled["step"] + part["step"].max() + 1e-9
    other = "" if pooled["table"] == here["table"] else f" of table {pooled['table']}"
    about = f"all {len(part)} groups ({values.min():g} to {values.max():g}) lie"
    if values.min() > whole + slack:
        what = f"{about} above the pooled R2 {whole:g}{other}, which is at least their weighted mean"
        return found(here, IMPOSSIBLE, f"{what}: other galaxies, or another model", values.min(), whole, ["group"])
    if values.max() < whole - slack and not stated:
        least = between(whole - pooled["step"], values.max() + part["step"].max())
        what = f"{about} below the pooled R2 {whole:g}{other}: needs between-group variance of at least {least:.1%} of"
        what = f"{what} the total ({between(whole, values.mean()):.1%} if the groups vary alike)"
        return found(here, NEEDS, what, values.max(), whole, ["group"])
    return None


def between(pooled: float, groups: float) -> float:
    """Share of the variance between groups that takes the mean R2 inside them to the pooled one."""
    return 1 - (1 - pooled) / (1 - groups)
