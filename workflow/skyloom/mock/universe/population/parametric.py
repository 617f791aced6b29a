"""The default population: mass function, main sequence, quenching and bursts, with their published scatter."""

import functools

import numpy as np
from scipy.special import ndtr, ndtri

from skyloom.mock.footprint import WHOLE_SKY
from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.light.ssp import SSPGrid
from skyloom.mock.universe.population import halos, histories, nuclei, programs, relations
from skyloom.mock.universe.population.counts import MassRedshift
from skyloom.mock.universe.population.furnish import furnish
from skyloom.mock.universe.population.population import Population
from skyloom.mock.universe.population.satellites import Satellites

CANDIDATES = 2048  # drawn at a time, whatever is asked for
TRICKLE = (-2.2, 1.9)  # log10 of the mass that quenched galaxies formed in the last Gyr: mean and scatter, dex
TRICKLE_LIMIT = 0.05  # of the mass: more is not quenched


def candidates(rng: np.random.Generator, config: dict, grid: SSPGrid, target: str, n: int = CANDIDATES) -> Population:
    """`n` galaxies, furnished, of which the selection of `target` accepts some; see population.draw."""
    z_range = programs.redshift_range(target, config)
    if target == "qso":
        z = nuclei.quasar_redshifts(n, z_range, rng)
        # hosts of quasars: Matsuoka et al. 2014 (ApJ 780, 162), 10^10.8 Msun to .3 dex
        log_mstar = rng.normal(10.8, 0.3, n)
        quenched = rng.random(n) < 0.2
    else:
        log_mstar, z = _galaxies(target, z_range, programs.magnitude_limit(target, config)).draw(n, rng)
        quenched = rng.random(n) < relations.quenched_fraction(log_mstar, z)
    shape = _histories(log_mstar, z, quenched, rng, grid)
    return furnish(z, halos.halo_mass(log_mstar, z, rng), log_mstar, quenched, shape, rng, grid, target)


def surface_density(n: int, rng: np.random.Generator, config: dict, grid: SSPGrid, target: str) -> float:
    """Galaxies of a target per square degree, by the share of `n` candidates that its selection accepts."""
    z_range = programs.redshift_range(target, config)
    if target == "qso":
        everywhere = nuclei.quasar_count(z_range)
    else:
        everywhere = _galaxies(target, z_range, programs.magnitude_limit(target, config)).total
    share = programs.accepted(candidates(rng, config, grid, target, n), config).mean()
    return float(everywhere * share / WHOLE_SKY)


def satellites(z: np.ndarray, found: Satellites, rng: np.random.Generator, grid: SSPGrid) -> Population:
    """Galaxies, furnished, of the masses and kinds of `found`, at redshift `z` (k,), whatever their magnitudes."""
    shape = _histories(found.log_mstar, z, found.quenched, rng, grid)
    return furnish(z, found.log_mhalo, found.log_mstar, found.quenched, shape, rng, grid, "bgs")


@functools.lru_cache(maxsize=8)
def _galaxies(target: str, z_range: tuple[float, float], limit: float | None) -> MassRedshift:
    """The galaxies that a selection may accept."""

    def density(log_mstar, z):
        return np.where(log_mstar > programs.lightest(target, z, limit), relations.mass_function(log_mstar, z), 0.0)

    return MassRedshift(np.linspace(*z_range, 301), np.linspace(6.0, 12.3, 253), density)


def _histories(log_mstar, z, quenched, rng, grid):
    """Share of the mass formed in each age bin (n, A): smooth history, quenching, bursts, fluctuations."""
    n = len(z)
    universe = cosmology.age(z) * 1e9
    # the first stars, 1 to 2 Gyr after the Big Bang, earlier in massive galaxies (Thomas et al. 2010, MNRAS 404, 1775)
    first = 10 ** rng.normal(9.2 - 0.15 * np.clip(log_mstar - 10, -1, 1), 0.2)
    age = np.clip(universe - first, 0.4 * universe, 0.97 * universe)
    sfr = relations.main_sequence(log_mstar, universe / 1e9) + rng.normal(0, 0.18, n)
    specific = 10 ** (sfr - log_mstar) * 0.58 * age  # .58 of the mass formed survives
    x = histories.rate_for(np.clip(specific, 0.02, 6.0))
    mass = histories.smooth(grid.age_edges, age, x, *_quenching(log_mstar, age, quenched, rng))
    # ups and downs over a Gyr (accretion) and over 50 Myr (bursty feedback): Iyer et al. 2020, MNRAS 498, 430
    mass = histories.fluctuate(mass, grid.age_edges, 0.15, 1.5e9, rng)
    mass = histories.fluctuate(mass, grid.age_edges, 0.2, 5e7, rng)
    return _bursts(log_mstar, mass, age, quenched, rng, grid)


def _quenching(log_mstar, age, quenched, rng):
    """When (yr ago; 0 for never) and how fast (e-folding time, yr) galaxies stopped forming stars."""
    n = len(age)
    # between .3 Gyr ago and soon after the first stars; the massive ones earlier, as they formed
    early = rng.beta(2.2 + 1.3 * np.clip(log_mstar - 10, 0, 1.5), 1.4, n)
    latest = np.minimum(0.3e9, 0.3 * age)
    quench = np.where(quenched, latest + early * (0.9 * age - latest), 0.0)
    # fast and slow routes: .1 to 1 Gyr (Schawinski et al. 2014, MNRAS 440, 889)
    return quench, np.minimum(10 ** rng.normal(8.5, 0.3, n), 0.5 * age)


def _bursts(log_mstar, mass, age, quenched, rng, grid):
    """Bursts of the last 2 Gyr, and the trickle of star formation that quenched galaxies keep.

    A tenth of dwarfs and few massive galaxies had a burst of 1 % of their mass or more (Kauffmann et al. 2003, MNRAS
    341, 54); as many quenched ones a weak one. The trickle, not always to the present day, gives specific rates up to
    10^-10.3 / yr and mostly above 10^-14, which quiescent and green galaxies span in Salim et al. 2018 (ApJ 859, 11).
    Its width is chosen so that photometry does not give the rates away.
    """
    n = len(age)
    share = 0.02 + 0.08 / (1 + 10 ** (2 * (log_mstar - 10.0)))
    strength = 10 ** np.where(quenched, rng.uniform(-3.3, -2.0, n), rng.uniform(-2.3, -1.0, n))
    burst = np.where(rng.random(n) < share, strength, 0.0)
    start, length = 10 ** rng.uniform(7.3, 9.3, n), 10 ** rng.uniform(7.3, 8.5, n)
    mass = histories.add_burst(mass, grid.age_edges, burst, np.minimum(start, 0.9 * age), length)
    # a normal distribution without what lies above the limit, not piled up there
    below = rng.random(n) * ndtr((np.log10(TRICKLE_LIMIT) - TRICKLE[0]) / TRICKLE[1])
    rest = np.where(quenched, 10 ** (TRICKLE[0] + TRICKLE[1] * ndtri(below)), 0.0)
    recent = np.minimum(1e9, 0.9 * age)
    return histories.add_burst(mass, grid.age_edges, rest, recent, recent * 10 ** rng.uniform(-0.7, 0.0, n))
