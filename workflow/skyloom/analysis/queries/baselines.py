"""What is compared with: the mean of the training split, and gradient boosting trained for one query and quantity."""

import logging

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor

from skyloom.analysis.queries import Settings

log = logging.getLogger(__name__)

FEATURES, COMPONENTS = 256, 40
"""Numbers beyond which what is given is seen as that many principal components of it."""


def middle(train: np.ndarray, count: int) -> np.ndarray:
    """The median of training galaxies (M, n), which has the least mean absolute error of all constants, (count, n)."""
    return np.broadcast_to(np.nanmedian(train, axis=0), (count, train.shape[1]))


def boosted(seen: np.ndarray, truth: np.ndarray, asked: np.ndarray, settings: Settings, seed: int) -> np.ndarray:
    """Gradient boosting (scikit-learn) of the absolute error: predictions (A, n).

    Parameters
    ----------
    seen, truth : (M, f) what is given and (M, n) what is wanted of training galaxies, NaN where unknown
    asked : (A, f) what is given of the galaxies that are asked about

    Several numbers are boosted as their leading principal components, as many as the settings say; many that are given
    are seen as theirs.
    """
    known = np.isfinite(truth).all(axis=1)
    chosen = np.flatnonzero(known)
    if len(chosen) > settings.galaxies:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, settings.galaxies, replace=False))
    seen, truth = seen[chosen], truth[chosen]
    if seen.shape[1] > FEATURES:
        holes = ~np.isfinite(seen).all(axis=0) | ~np.isfinite(asked).all(axis=0)
        whole = PCA(COMPONENTS, svd_solver="randomized", random_state=seed).fit(seen[:, ~holes])
        seen, asked = ([whole.transform(x[:, ~holes]), x[:, holes]] for x in (seen, asked))
        seen, asked = np.concatenate(seen, axis=1), np.concatenate(asked, axis=1)
    pca = None
    if truth.shape[1] > 1:
        pca = PCA(min(settings.components, *truth.shape), random_state=seed).fit(truth)
        truth = pca.transform(truth)
    loss = "absolute_error" if pca is None else "squared_error"
    parts = []
    for column in truth.T:
        regressor = HistGradientBoostingRegressor(
            loss=loss, max_iter=settings.trees, learning_rate=0.08, early_stopping=False, random_state=seed
        )
        parts.append(regressor.fit(seen, column).predict(asked))
    found = np.stack(parts, axis=1)
    return found if pca is None else pca.inverse_transform(found)
