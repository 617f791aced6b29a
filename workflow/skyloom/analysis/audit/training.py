"""Scores of galaxies that were learned from (check 3)."""

from collections.abc import Iterator

import pandas

from skyloom.analysis.audit.findings import IMPOSSIBLE, NEEDS, Finding, found
from skyloom.analysis.audit.reading import KEY, SOURCE

SAME = [name for name in KEY if name != "split"]
WHO = [*SOURCE, "property", "group"]

OUTSIDE = ("leave-one-out", "leave one out", "leave_one_out", "loo", "cross", "out-of-fold", "held out", "itself left")
"""Words for scores of galaxies that were not learned from."""
BESIDE = ("r2_naive", "r2_gap")
"""Metrics of a table of ours whose R2 of the training split is of galaxies that were left out."""
EXACT = 1 - 1e-6


def training_scores(frame: pandas.DataFrame) -> Iterator[Finding | None]:
    """R2 of kNN on its own training galaxies.

    A galaxy is its own nearest neighbour, at distance 0, where a weight of 1 / distance is infinite: the answer is the
    galaxy's own value and R2 is 1 whatever the embedding. A score of 1 then says nothing, and another one means that it
    was not made as stated; with equal weights too it is above the score of unseen galaxies. Scores that say that the
    galaxy itself was left out (OUTSIDE, in method, split, group or note; BESIDE in the same table) are as good as any.
    """
    rows = frame[(frame["metric"] == "r2") & frame["value"].notna()]
    trained = rows[rows["split"].str.startswith("train") & rows["method"].str.contains("knn|nearest", case=False)]
    tested = rows[rows["split"] == "test"].drop_duplicates(SAME).set_index(SAME)
    beside = frame[frame["metric"].isin(BESIDE)]
    left_out = set(beside[["table", *WHO]].itertuples(index=False, name=None))
    for _, row in trained.iterrows():
        said, key = " ".join(row[["method", "split", "group", "note", "more"]]).lower(), tuple(row[SAME])
        outside = any(word in said for word in OUTSIDE) or tuple(row[["table", *WHO]]) in left_out
        yield None if outside else judged(row, tested.loc[key] if key in tested.index else None, said)


def judged(row: pandas.Series, test: pandas.Series | None, said: str) -> Finding | None:
    """What is wrong with a training score `row`, beside that of the test split, if there is one."""
    value = row["value"]
    if value >= EXACT:
        what = "R2 of 1 on its own training galaxies: exact by construction, whatever the embedding"
        return found(row, NEEDS, what, value, value)
    below = test is not None and value <= test["value"]
    more = "" if test is None else f"; on the test galaxies it is {test['value']:g}"
    if "distance" in said and value < 1 - row["step"]:
        what = f"distance-weighted kNN on its own training galaxies has R2 1 by construction, not {value:g}"
        return found(row, IMPOSSIBLE, f"{what}{more}: not scored as stated", value, 1)
    if below:
        what = f"R2 {value:g} of kNN on its own training galaxies is not above {test['value']:g}, that of unseen ones"
        return found(row, NEEDS, f"{what}: unless each was left out", value, test["value"])
    return None
