"""R2 and coverage in each pair of domains, and how they differ from those of heads of the tested domain itself."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from skyloom.analysis.common import statistics, tables
from skyloom.analysis.common.conformal import Recalibration
from skyloom.analysis.domain_shift import Settings
from skyloom.analysis.domain_shift.plans import CALIBRATE, Plan
from skyloom.analysis.domain_shift.sources import Source

KNN, DENSITY = "knn", "density"
LEVEL = 0.9
R2, COVERAGE = "r2", "coverage90"
_ENDS = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
_AT = tables.COLUMNS.index("split") + 1
COLUMNS = [*tables.COLUMNS[:_AT], "shift", "train_domain", "test_domain", *tables.COLUMNS[_AT:]]
"""The tidy table with the shift and its two domains after the split."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """What T heads, of as many trained domains, say of the Q galaxies of a tested domain, for P properties.

    Attributes
    ----------
    domain : name of the tested domain
    truth : (P, Q), NaN where not known
    knn, mean : (T, P, Q) the neighbours' means, and those of the densities
    pit : (T, P, Q) the densities' distribution functions at the truth, before the conformal step
    checks : of each head the same (P, m) of the galaxies of the conformal step
    """

    domain: str
    truth: np.ndarray
    knn: np.ndarray
    mean: np.ndarray
    pit: np.ndarray
    checks: Sequence[np.ndarray]


def table_rows(
    survey: str, source: Source, plan: Plan, answers: Sequence[Answers], settings: Settings, seed: int
) -> Iterator[dict]:
    """Rows of COLUMNS. `r2` (of kNN and of the densities' means) and `coverage90` of each pair of domains; `delta_r2`
    and `delta_coverage90`: the same less those of the head of the reference domain, on the same galaxies. Intervals of
    95 %: test galaxies are resampled, the same for all heads, and for coverage those of the conformal step too. They do
    not hold what another draw of training galaxies would change; the random halves of the shift `sky` show that."""
    trained = [domain.name for domain in plan.trained]
    key, count = (survey, source.model, source.modality), settings.resamples
    for answer in answers:
        reference = plan.shift.reference[answer.domain]
        base = trained.index(reference) if reference in trained else None
        for p, name in enumerate(plan.properties):
            known = np.isfinite(answer.truth[p])
            n = int(known.sum())
            if n < settings.least:
                continue
            truth, methods = answer.truth[p, known], {KNN: answer.knn, DENSITY: answer.mean}
            for method, said in methods.items():
                said = said[:, p][:, known]
                values = np.array([statistics.r2(truth, one) for one in said])
                draws = statistics.bootstrap_r2_of_many(truth, said, None, count, seed)[:, 0]
                yield from _rows((*key, method, name, "test"), plan, answer.domain, trained, base, R2, values, draws, n)
            checks = [check[p] for check in answer.checks]
            if min(map(len, checks)) >= CALIBRATE:
                pit = answer.pit[:, p][:, known]
                values = np.array([coverage(one, check) for one, check in zip(pit, checks, strict=True)])
                draws = coverage_draws(pit, checks, count, seed)
                few_shot = (*key, DENSITY, name, "test")
                yield from _rows(few_shot, plan, answer.domain, trained, base, COVERAGE, values, draws, n)


def coverage(pit: np.ndarray, check: np.ndarray) -> float:
    """The share of galaxies with PIT (n,) inside the central interval of LEVEL, after the conformal step by others'
    PIT (m,)."""
    low, high = Recalibration.of(check).probabilities(_ENDS)
    return float(((pit >= low) & (pit <= high)).mean())


def coverage_draws(pit: np.ndarray, checks: Sequence[np.ndarray], count: int, seed: int) -> np.ndarray:
    """Bootstrap values (T, count) of `coverage` of T heads with PIT (T, n) and checks (m,) each.

    The n galaxies are resampled, the same for all heads, and the m of each conformal step apart from all others.
    """
    rng = np.random.default_rng([seed, 1])
    ends = [_ends_drawn(check, count, rng) for check in checks]
    values, first = np.empty((len(pit), count)), 0
    for rows in statistics.resamples(pit.shape[1], count, seed):
        last = first + len(rows)
        for t, one in enumerate(pit):
            low, high = ends[t][:, first:last, None]
            drawn = one[rows]
            values[t, first:last] = ((drawn >= low) & (drawn <= high)).mean(axis=1)
        first = last
    return values


def _ends_drawn(check: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The ends (2, count) of the interval by resampled galaxies of the conformal step."""
    m = len(check)
    drawn = np.sort(check[rng.integers(0, m, (count, m))], axis=1)
    whole = np.concatenate([np.zeros((count, 1)), drawn, np.ones((count, 1))], axis=1)
    rank = Recalibration(np.arange(1, m + 1) / (m + 1)).probabilities(_ENDS)  # which of the sorted ones are taken
    return whole[:, np.round(rank * (m + 1)).astype(int)].T


def _rows(key, plan: Plan, test: str, trained, base: int | None, metric: str, values, draws, n: int) -> Iterator[dict]:
    for t, name in enumerate(trained):
        domains = {"shift": plan.shift.name, "train_domain": name, "test_domain": test}
        yield tables.row(*key, metric, values[t], _interval(draws[t]), n) | domains
        if base is not None and t != base:
            difference = values[t] - values[base]
            yield tables.row(*key, f"delta_{metric}", difference, _interval(draws[t] - draws[base]), n) | domains


def _interval(draws: np.ndarray) -> tuple[float, float]:
    return statistics.interval(draws) if np.isfinite(draws).any() else (np.nan, np.nan)
