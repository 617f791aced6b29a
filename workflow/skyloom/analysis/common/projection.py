"""UMAP: vectors flattened to two dimensions."""

import warnings

import numpy as np

from skyloom.analysis.common import neighbours


def flattened(values: np.ndarray, n_neighbors: int, min_dist: float, n_epochs: int, seed: int) -> np.ndarray:
    """Coordinates (N, 2) float32 of standardised embeddings (N, d); one thread, so that the seed decides everything."""
    from umap import UMAP  # compiles on import: seconds that other analyses need not pay

    k = min(n_neighbors, len(values) - 1)
    (scaled,) = neighbours.standardise(values)
    # Exact neighbours from one matrix product: compiling and running umap's approximate search took ten times longer.
    distance, index = neighbours.nearest(scaled, scaled, k)
    reducer = UMAP(
        n_neighbors=k,
        min_dist=min_dist,
        n_epochs=n_epochs,
        random_state=seed,
        n_jobs=1,
        precomputed_knn=(index.astype(np.int32), distance.astype(np.float32)),
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="(umap|sklearn).*")
        return np.asarray(reducer.fit_transform(scaled), dtype=np.float32)
