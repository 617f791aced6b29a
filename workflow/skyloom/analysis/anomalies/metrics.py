"""How well a list finds what is labelled: precision against rank, average precision, area under the ROC curve.

All three depend only on how many of the others stand before, between and with the labelled galaxies. A bootstrap
that keeps the number of either draws these counts from a multinomial: exact, and as cheap as the labelled are few.
"""

import numpy as np

AUC, AVERAGE = "auc", "average_precision"


class Listing:
    """Labelled galaxies among others, by a score.

    Parameters
    ----------
    scores : (n,) finite, the larger the nearer the top
    labelled : (n,) bool, some true and some not
    """

    def __init__(self, scores: np.ndarray, labelled: np.ndarray):
        others = np.sort(-scores[~labelled])
        level, hits = np.unique(-scores[labelled], return_counts=True)
        above, upto = (np.searchsorted(others, level, side=side) for side in ("left", "right"))
        self.hits, self.tied = hits, upto - above
        self.gaps = np.diff(above, prepend=0) - np.append(0, self.tied[:-1])  # others before a level, after the last
        self.rest = len(others) - upto[-1]

    @property
    def counts(self) -> tuple[int, int]:
        """Labelled galaxies, and others."""
        return int(self.hits.sum()), int(self.gaps.sum() + self.tied.sum() + self.rest)

    def measure(self, top: list[int]) -> dict[str, float]:
        """`auc`, `average_precision` (as scikit-learn has them) and `precision@k`."""
        found = _measure(*(x[None] for x in self._parts()), self.counts[1], top)
        return {name: float(value[0]) for name, value in found.items()}

    def bootstrap(self, top: list[int], count: int, seed: int) -> dict[str, np.ndarray]:
        """Values (count,) of each over resamples of the labelled and of the others."""
        rng = np.random.default_rng(seed)
        labelled, others = self.counts
        levels = len(self.hits)
        hits = rng.multinomial(labelled, self.hits / labelled, size=count)
        drawn = rng.multinomial(others, np.concatenate([self.gaps, self.tied, [self.rest]]) / others, size=count)
        return _measure(hits, drawn[:, :levels], drawn[:, levels:-1], others, top)

    def precision(self, ranks: np.ndarray) -> np.ndarray:
        """Precision among the first `ranks` (m,) galaxies of the list, each at most as long as it is."""
        parts = [x[None] for x in self._parts()]
        return np.array([_found(*parts, int(k))[0] / k for k in ranks])

    def _parts(self):
        return self.hits, self.gaps, self.tied


def _measure(hits, gaps, tied, others: int, top) -> dict[str, np.ndarray]:
    """Of arrays (b, L): labelled galaxies at each level of the score, others before it, others at it; of all others."""
    labelled = hits.sum(axis=1)
    before = np.cumsum(gaps + tied, axis=1) - tied
    found, seen = np.cumsum(hits, axis=1), np.cumsum(hits, axis=1) + before + tied
    precision = np.divide(found, seen, out=np.zeros(seen.shape), where=seen > 0)
    result = {AUC: 1 - (hits * (before + tied / 2)).sum(axis=1) / labelled / others}
    result[AVERAGE] = (hits * precision).sum(axis=1) / labelled
    return result | {f"precision@{k}": _found(hits, gaps, tied, k) / k for k in top}


def _found(hits, gaps, tied, k: int) -> np.ndarray:
    """Labelled galaxies (b,) among the first k, galaxies with one score in a random order."""
    group = hits + tied
    start = np.cumsum(gaps + group, axis=1) - group
    share = np.clip(k - start, 0, group) / np.maximum(group, 1)
    return (hits * share).sum(axis=1)
