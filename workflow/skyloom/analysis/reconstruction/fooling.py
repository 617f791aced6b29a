"""Can a classifier tell drawn spectra from observed ones?

A galaxy's observed spectrum and what is drawn of it are in the same fold, so that nothing that a classifier learned of
a galaxy helps it with the other. What was shown is in both; what was not measured is left out of both.
"""

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skyloom.analysis.common import statistics
from skyloom.analysis.reconstruction import Line, Settings
from skyloom.analysis.reconstruction.answers import Spectra
from skyloom.core.mixing import uniform

FOLDS = 5
COMPONENTS = 32
MOST = 300
"""Numbers beyond which trees see twice as many components instead."""
EPOCHS = 30
NEAR = 3
"""Numbers on either side of each line, at the known redshift, that a classifier sees besides the redshift itself."""
LEAST = 4 * FOLDS
"""Galaxies below which nothing is said."""
BOOSTING, MLP = "boosting", "mlp"


def auc(score: np.ndarray, drawn: np.ndarray) -> float:
    """Area under the curve of scores (N,) that are to be higher where `drawn` (N,) bool."""
    rank = rankdata(score)
    n = drawn.sum()
    return float((rank[drawn].sum() - n * (n + 1) / 2) / (n * (len(drawn) - n)))


def folds(count: int, seed: int) -> np.ndarray:
    """The fold (count,) of each pair."""
    return np.random.default_rng(seed).permutation(np.arange(count) % FOLDS)


def told_apart(
    first: np.ndarray, second: np.ndarray, method: str, s: Settings, seed: int, more: int = 0
) -> tuple[float, tuple[float, float], int]:
    """AUC with its 95 % interval, and the number of pairs, of a classifier of rows of `first` and `second`, (N, f).

    Row i of both is a pair: always in the same fold, and drawn together in the bootstrap. The last `more` numbers
    are no part of the spectrum.
    """
    fold, count = folds(len(first), seed), len(first)
    score = np.empty((2, count))
    for number in range(FOLDS):
        train, test = fold != number, fold == number
        model = _classifier(method, int(train.sum()), first.shape[1] - more, more, seed)
        with warnings.catch_warnings(), threadpool_limits(1):  # threads cost small fits more than they gain
            warnings.filterwarnings("ignore", category=ConvergenceWarning)
            model.fit(np.concatenate([first[train], second[train]]), np.repeat([0, 1], train.sum()))
        for side, values in enumerate((first, second)):
            score[side, test] = model.predict_proba(values[test])[:, 1]
    drawn = np.repeat([False, True], count)
    resampled = [
        auc(score[:, rows].ravel(), drawn) for block in statistics.resamples(count, s.resamples, seed) for rows in block
    ]
    return auc(score.ravel(), drawn), statistics.interval(np.array(resampled)), count


def _classifier(method: str, pairs: int, numbers: int, more: int, seed: int):
    few = min(COMPONENTS, numbers, 2 * pairs)
    if method == MLP:
        mlp = MLPClassifier((32, 32), alpha=0.3, batch_size=64, max_iter=EPOCHS, random_state=seed)
        return make_pipeline(Components(few, more, seed), StandardScaler(), mlp)
    trees = HistGradientBoostingClassifier(
        max_iter=50, learning_rate=0.12, max_leaf_nodes=8, early_stopping=False, random_state=seed
    )
    return trees if numbers <= MOST else make_pipeline(Components(min(2 * few, 2 * pairs), more, seed), trees)


class Components(BaseEstimator, TransformerMixin):
    """Standardised principal components of standardised numbers, the logarithms of their rms and of the rms that they
    leave, and the last `more` numbers as they are."""

    def __init__(self, count: int, more: int, seed: int):
        self.count, self.more, self.seed = count, more, seed

    def fit(self, values: np.ndarray, kind=None) -> "Components":
        values = values[:, : values.shape[1] - self.more]
        self.scale_ = StandardScaler().fit(values)
        pca = PCA(self.count, whiten=True, svd_solver="randomized", random_state=self.seed)
        self.pca_ = pca.fit(self.scale_.transform(values))
        return self

    def transform(self, values: np.ndarray) -> np.ndarray:
        spectrum, more = np.split(values, [values.shape[1] - self.more], axis=1)
        scaled = self.scale_.transform(spectrum)
        found = self.pca_.transform(scaled)
        left = scaled - self.pca_.inverse_transform(found)
        sizes = (np.log(np.sqrt((v**2).mean(1, keepdims=True)) + 1e-3) for v in (found, left))
        return np.concatenate([found, *sizes, more], axis=1)


def features(wavelength: np.ndarray, values: np.ndarray, z: np.ndarray, lines: Sequence[Line]) -> np.ndarray:
    """What a classifier sees of spectra (N, n) at known redshifts (N,): the numbers, the redshift, and the numbers
    around each line at that redshift less the median of the spectrum (0 where a line is out of range)."""
    middle = np.median(values, axis=1, keepdims=True)
    more = [np.log1p(z)[:, None]]
    for line in lines:
        place = line.wavelength * (1 + z)
        near = np.abs(wavelength - place[:, None]).argmin(1)
        columns = near[:, None] + np.arange(-NEAR, NEAR + 1)
        inside = (columns >= 0) & (columns < len(wavelength))
        inside &= ((place > wavelength[0]) & (place < wavelength[-1]))[:, None]
        around = np.take_along_axis(values, columns.clip(0, len(wavelength) - 1), 1)
        more.append(np.where(inside, around - middle, 0))
    return np.concatenate([values, *more], axis=1)


def scores(wavelength: np.ndarray, spectra: Spectra, s: Settings, seed: int) -> Iterator[tuple]:
    """(what is told from observed spectra, method, AUC, interval, pairs): draws, where there are any; the
    reconstruction, which has no noise; other observed spectra, which nothing tells apart; and, with the redshift,
    observed spectra of other galaxies, which tell how well a wrong redshift is found out."""
    rows = np.flatnonzero(np.isfinite(spectra.truth).any(1) & spectra.hidden.any(1))
    order = np.argsort(uniform(1, spectra.targetid[rows]), kind="stable")
    rows = rows[order][: s.classified]
    if len(rows) < LEAST:
        return
    lines = [line for line in s.lines.values() if line]
    known, z = np.isfinite(spectra.truth[rows]), spectra.z[rows]
    observed = np.where(known, spectra.truth[rows], 0)

    def beside(values: np.ndarray) -> np.ndarray:
        return np.where(known & spectra.hidden[rows], values[rows], observed)

    compared = {"reconstruction": beside(spectra.said)}
    if spectra.draw is not None:
        compared = {"draws": beside(spectra.draw)} | compared
    half, more = len(rows) // 2, 1 + len(lines) * (2 * NEAR + 1)
    for method in (BOOSTING, MLP):
        for what, other in compared.items():
            yield what, method, *told_apart(observed, other, method, s, seed)
            with_z = [features(wavelength, values, z, lines) for values in (observed, other)]
            yield f"{what}, redshift known", method, *told_apart(*with_z, method, s, seed, more)
        yield "other observed spectra", method, *told_apart(observed[:half], observed[half : 2 * half], method, s, seed)
        true = features(wavelength, observed, z, lines)
        wrong = features(wavelength, observed[_others(len(rows), seed)], z, lines)
        yield "spectra of other galaxies, redshift known", method, *told_apart(true, wrong, method, s, seed, more)


def _others(count: int, seed: int) -> np.ndarray:
    """For each pair another of the same fold, so that no spectrum is on both sides of a fold's edge."""
    fold, other = folds(count, seed), np.empty(count, int)
    for number in range(FOLDS):
        members = np.flatnonzero(fold == number)
        other[members] = np.roll(members, 1)
    return other
