"""Galaxies drawn from the distributions the sky has, down to a survey's selection.

`draw` is the one door: it looks up the population that the configuration names in POPULATIONS, and any population gives
the same `Population`. A population draws redshifts, masses and star-formation histories; furnish.py adds metallicity,
dust, nucleus, shape and magnitudes, and programs.py says which galaxies the survey would have targeted.
"""

from collections.abc import Callable

import numpy as np

from skyloom.core.errors import BadConfig
from skyloom.mock.universe.light.ssp import SSPGrid
from skyloom.mock.universe.population import parametric
from skyloom.mock.universe.population.furnish import with_bulges
from skyloom.mock.universe.population.population import Population, join
from skyloom.mock.universe.population.programs import Z_RANGES, accepted


def draw(n: int, rng: np.random.Generator, config: dict, grid: SSPGrid, target: str = "bgs") -> Population:
    """Draw `n` galaxies that the selection of `target` accepts; a pure function of its arguments.

    Parameters
    ----------
    n : number of galaxies
    rng : same state, same galaxies; fewer of them are the first ones
    config : `population`, a name in POPULATIONS (absent: parametric); `magnitude_limit`, of r for "bgs", of LSST i for
        "all"; `redshift_max`, for "all"
    grid : of ssp.load_grid
    target : a name in programs.Z_RANGES

    Raises
    ------
    BadConfig : an unknown population or target.
    NotAvailable : the population "diffsky" without the packages of the extra.
    """
    kind = config.get("population", "parametric")
    if kind not in POPULATIONS:
        raise BadConfig(f"population: '{kind}' is not known; allowed are {', '.join(POPULATIONS)}")
    if target not in Z_RANGES:
        raise BadConfig(f"target: '{target}' is not known; allowed are {', '.join(Z_RANGES)}")
    make, found = POPULATIONS[kind], []
    while sum(map(len, found)) < n:
        candidates = make(rng, config, grid, target)
        seen = with_bulges(candidates[accepted(candidates, config)], rng, grid)
        found.append(seen[accepted(seen, config)])  # what a fibre catches has changed a little
    return join(found)[:n]


def _diffsky(rng, config, grid, target):
    # imported when asked for: it needs JAX, an extra of this package
    from skyloom.mock.universe.population import diffsky

    return diffsky.candidates(rng, config, grid, target)


POPULATIONS: dict[str, Callable[[np.random.Generator, dict, SSPGrid, str], Population]] = {
    "parametric": parametric.candidates,
    "diffsky": _diffsky,
}
"""Name -> what makes some candidates, furnished, for the selection of a target."""
