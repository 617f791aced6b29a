"""How hard are the properties of galaxies to learn? Gradient boosting on photometry, with intervals over folds."""

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold

from skyloom.mock.universe.light.dust import EXTINCTION

FOLDS = 5
SETTINGS = {
    "max_iter": 120,
    "learning_rate": 0.08,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 20,
    "l2_regularization": 1,
}


def features(flux: np.ndarray, ebv: np.ndarray) -> np.ndarray:
    """What a catalogue gives: g-r, r-z and r (n, 3), dereddened, AB magnitudes; NaN where a flux is not positive.

    `flux` (n, 3) nanomaggy in g, r, z; `ebv` (n,) mag.
    """
    positive = np.where(np.asarray(flux, float) > 0, flux, np.nan)
    magnitude = 22.5 - 2.5 * np.log10(positive) - np.outer(ebv, [EXTINCTION[band] for band in "GRZ"])
    g, r, z = magnitude.T
    return np.stack([g - r, r - z, r], axis=1)


def score(inputs: np.ndarray, targets: dict[str, np.ndarray], seed: int = 0) -> dict[str, dict]:
    """Cross-validated R2 of each target from the same inputs.

    Parameters
    ----------
    inputs : (n, k), NaN allowed
    targets : name -> (n,); rows where it is not finite are left out of that target

    Returns
    -------
    dict
        name -> r2 (of all held-out predictions), low, high (95 % interval from the scatter of the folds), n, predicted
        (n,) with NaN where there was no target
    """
    return {name: _score(inputs, np.asarray(values, float), seed) for name, values in targets.items()}


def _score(inputs: np.ndarray, values: np.ndarray, seed: int) -> dict:
    known = np.flatnonzero(np.isfinite(values))
    predicted = np.full(len(values), np.nan)
    folds = []
    for train, test in KFold(FOLDS, shuffle=True, random_state=seed).split(known):
        predicted[known[test]] = boosted(inputs[known[train]], values[known[train]], inputs[known[test]], seed)
        folds.append(r2(values[known[test]], predicted[known[test]]))
    half = 2.776 * np.std(folds, ddof=1) / np.sqrt(FOLDS)  # Student's t of 4 degrees of freedom
    total = r2(values[known], predicted[known])
    return {"r2": total, "low": total - half, "high": total + half, "n": len(known), "predicted": predicted}


def boosted(inputs: np.ndarray, values: np.ndarray, asked: np.ndarray, seed: int = 0) -> np.ndarray:
    """What gradient boosting on `inputs` (n, k) with `values` (n,) says of `asked` (m, k): (m,)."""
    model = HistGradientBoostingRegressor(random_state=seed, early_stopping=False, **SETTINGS)
    return model.fit(inputs, values).predict(asked)


def r2(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Share of the variance of `truth` that the prediction explains."""
    return float(1 - np.sum((truth - predicted) ** 2) / np.sum((truth - truth.mean()) ** 2))
