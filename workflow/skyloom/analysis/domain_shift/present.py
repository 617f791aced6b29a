"""What the report says of shifts of domain: where R2 and coverage are lost for certain, and what photometry loses."""

from collections.abc import Iterator

import numpy as np
import pandas
from scipy import stats

from skyloom.analysis.common.blocks import (
    Claim,
    Figure,
    Scores,
    Shown,
    Text,
    claim,
    in_order,
    method_name,
    read_csv,
    scored,
    with_interval,
)
from skyloom.analysis.common.significance import holm
from skyloom.analysis.domain_shift import PHOTOMETRY, SKY, Settings
from skyloom.analysis.domain_shift.domains import AGAIN, RANDOM
from skyloom.analysis.domain_shift.scores import COVERAGE, DENSITY, R2
from skyloom.figures import style

LEVEL = 0.05
"""Of the differences of a claim together (Holm 1979)."""
SMALL = 0.02
"""A loss that does not count."""
_WIDE = 2 * stats.norm.ppf(0.975)
SAID = {R2: "R2", COVERAGE: "coverage of 90 % intervals"}


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"])
    if not len(table):
        return [Text("Too few galaxies to train in one domain and test in another.")]
    found = [*claims(table), Text(_about(table)), Figure(paths["figure"])]
    found += [differences(table, metric) for metric in SAID]
    return [block for block in found if block is not None]


def claims(table: pandas.DataFrame) -> Iterator[Claim]:
    """For each pair of domains, whether heads lose R2, and whether their intervals lose coverage, with embeddings."""
    rows = table[(table["method"] == DENSITY) & ~((table["shift"] == SKY) & _control(table))]
    for metric, what in SAID.items():
        mine = rows[rows["metric"] == f"delta_{metric}"].assign(noise=training_noise(table, metric))
        for (shift, train, test), some in mine.groupby(["shift", "train_domain", "test_domain"], sort=False):
            if shift == SKY and train == test:
                continue  # the same pixels: what neighbours give, in the table
            beside = some[some["modality"] == PHOTOMETRY].set_index("property")
            some = some[some["modality"] != PHOTOMETRY].dropna(subset=["value", "ci_low"])
            if len(some):
                yield _claim(f"Trained on {train}, tested on {test}: {what} is lost", some, beside)


def _claim(text: str, some: pandas.DataFrame, beside: pandas.DataFrame) -> Claim:
    """Holds if one of the differences is a loss after Holm's correction; fails for certain if none can be more than
    SMALL."""
    error = np.hypot((some["ci_high"] - some["ci_low"]) / _WIDE, some["noise"])
    lost = holm(stats.norm.cdf(some["value"] / error.clip(lower=1e-9))) <= LEVEL
    worst = some.iloc[int(np.argmin(some["value"]))]
    where = "" if worst["property"] not in beside.index else f"; photometry {_number(beside.loc[worst['property']])}"
    name = f"{style.label(worst['property'])} from {style.pretty(worst['model'])} ({style.pretty(worst['modality'])})"
    numbers = (
        f"{lost.sum()} of {len(some)} for certain (Holm); most: {name} {_number(worst)}{where}; n = {worst['n']:,}"
    )
    none = (some["value"] - _WIDE / 2 * error > -SMALL).all()
    return claim(text, numbers, bool(lost.any()), bool(lost.any() or none))


def training_noise(table: pandas.DataFrame, metric: str) -> float:
    """The deviation of a difference that another draw of training galaxies makes, beyond that of its interval: of the
    differences between heads of two random halves. 0 where there are none."""
    rows = table[_control(table) & (table["metric"] == f"delta_{metric}") & (table["method"] == DENSITY)]
    rows = rows.dropna(subset=["value", "ci_low"])
    if not len(rows):
        return 0.0
    within = ((rows["ci_high"] - rows["ci_low"]) / _WIDE) ** 2
    return float(np.sqrt(max(0.0, (rows["value"] ** 2 - within).mean())))


def _control(table: pandas.DataFrame) -> pandas.Series:
    return (table["shift"] == SKY) & (table["train_domain"] == AGAIN)


def _number(row: pandas.Series) -> str:
    return with_interval(row, 2, sign=True)


def _about(table: pandas.DataFrame) -> str:
    text = (
        "Heads on frozen embeddings learn from galaxies of one domain and are tested on those of another, beside heads "
        "that learned from as many galaxies of the tested domain. The encoder is the same for both, and has seen all "
        "training galaxies of the survey that it was trained on. Intervals of 90 % are made to hold in the domain that "
        "a head learned from. A redshift learned at low z is extrapolated at high z, and the other way round."
    )
    rows = table[_control(table) & (table["metric"] == f"delta_{R2}")].dropna(subset=["value", "ci_low"])
    if not len(rows):
        return text
    out = ((rows["ci_low"] > 0) | (rows["ci_high"] < 0)).sum()
    return (
        f"{text} Two random draws of training galaxies ({RANDOM}, {AGAIN}) differ in R2 too: {out} of {len(rows)} such "
        "differences have an interval without 0, 5 % would by chance of the tested galaxies alone. That deviation, "
        f"{training_noise(table, R2):.3f} in R2 and {training_noise(table, COVERAGE):.3f} in coverage beyond that of "
        "the intervals, is added in every claim."
    )


def differences(table: pandas.DataFrame, metric: str) -> Scores | None:
    """The difference of each source, property and method in each pair of domains; bold: certain by its interval."""
    rows = table[table["metric"] == f"delta_{metric}"]
    if not len(rows):
        return None
    pairs = (rows["train_domain"] + " → " + rows["test_domain"]).rename("pair")
    names, lines = list(dict.fromkeys(pairs)), []
    for (model, modality, property_, method), some in rows.groupby(
        ["model", "modality", "property", "method"], sort=False
    ):
        certain = (some["ci_low"] > 0) | (some["ci_high"] < 0)
        cells = {pairs[i]: scored(row, certain[i], sign=True) for i, row in some.iterrows()}
        source = PHOTOMETRY if modality == PHOTOMETRY else style.pretty(f"{model} ({modality})")
        lines.append(((source, style.label(property_), method_name(method)), in_order(cells, names)))
    title = f"Difference in {SAID[metric]} from heads of the tested domain, trained on → tested on"
    note = (
        "Bold: the 95 % interval over tested galaxies has no 0; training galaxies are not drawn again. On halves of "
        "the sky the difference is from a random half."
    )
    return Scores(("source", "property", "method"), names, lines, title, note)
