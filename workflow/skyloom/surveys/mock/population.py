"""Galaxies drawn from the distributions the sky has, down to a magnitude limit.

`draw` is the one door: it looks up the population that the configuration names in POPULATIONS, and any population gives
the same `Population`. Candidates are drawn from the mass function in the volume, given a history, metallicity and dust,
and kept if the Bright Galaxy Survey would have: r < 20.175, r in the fibre < 21.5, z < 0.6 (Hahn et al. 2023, AJ 165,
253).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from skyloom.errors import BadConfig
from skyloom.surveys.mock import cosmology, histories, relations
from skyloom.surveys.mock.photometry import FastPhotometry
from skyloom.surveys.mock.ssp import Z_SUN, SSPGrid

R_LIMIT = 20.175  # BGS Faint; extinction-corrected AB magnitude
BRIGHT_LIMIT = 19.5  # BGS Bright
FIBRE_LIMIT = 21.5  # r within a fibre: BGS leaves out what is too faint there for a redshift
Z_RANGE = (0.005, 0.6)
CANDIDATES = 2048  # drawn at a time, whatever is asked for
SFR_WINDOW = 1e9  # yr; AVG_SFR of PROVABGS is the mean of the last Gyr
COLOUR_OF_BULGE = np.array([0.80, 1.00, 1.10])  # bulges are redder: their share grows from g to z


@dataclass
class Population:
    """Truth of n galaxies. All arrays have n rows.

    Attributes
    ----------
    redshift
    log_mhalo, log_mstar : log10 Msun; stellar mass in living stars and remnants
    quenched : bool, drawn from the quenched sequence
    sfh : (n, A) Msun formed in each age bin of the SSP grid
    log_z, log_z_gas : log10 Z/Z_sun of stars, and of the gas that makes the nebulae
    av, dust_slope : V-band attenuation (mag) of all stars, tilt of its curve; av_birth: more of it for stars < 10 Myr
    log_u : log10 ionisation parameter
    sigma_v, sigma_gas : km/s
    bulge_fraction : (n, 3) in g, r, z;  r_disk, r_bulge: arcsec;  q_disk, q_bulge: axis ratios;  angle: rad, N to E
    clumpiness : 0..1
    z_mw : mass-weighted metallicity, mass fraction;  t_age_mw: Gyr;  avg_sfr: Msun/yr, mean of the last Gyr
    mag_r : AB, from the fast photometry that selected the galaxy (no Milky Way extinction)
    """

    redshift: np.ndarray
    log_mhalo: np.ndarray
    log_mstar: np.ndarray
    quenched: np.ndarray
    sfh: np.ndarray
    log_z: np.ndarray
    log_z_gas: np.ndarray
    av: np.ndarray
    dust_slope: np.ndarray
    av_birth: np.ndarray
    log_u: np.ndarray
    sigma_v: np.ndarray
    sigma_gas: np.ndarray
    bulge_fraction: np.ndarray
    r_disk: np.ndarray
    r_bulge: np.ndarray
    q_disk: np.ndarray
    q_bulge: np.ndarray
    angle: np.ndarray
    clumpiness: np.ndarray
    z_mw: np.ndarray
    t_age_mw: np.ndarray
    avg_sfr: np.ndarray
    mag_r: np.ndarray

    def __len__(self) -> int:
        return len(self.redshift)

    def __getitem__(self, rows) -> "Population":
        return Population(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def draw(n: int, rng: np.random.Generator, config: dict, grid: SSPGrid) -> Population:
    """Draw `n` galaxies of the population that `config["population"]` names; a pure function of its arguments.

    Raises BadConfig for an unknown name.
    """
    kind = config.get("population", "parametric")
    if kind not in POPULATIONS:
        raise BadConfig(f"population: '{kind}' is not known; allowed are {', '.join(POPULATIONS)}")
    return POPULATIONS[kind](n, rng, config, grid)


def draw_parametric(n: int, rng: np.random.Generator, config: dict, grid: SSPGrid) -> Population:
    """The default: mass function, main sequence, mass-metallicity and other relations with their scatter.

    `config["magnitude_limit"]` is the faintest r of a target: 19.5 is BGS Bright, 20.175 (if absent) BGS Bright and
    Faint.
    """
    limit = config.get("magnitude_limit", R_LIMIT)
    fast = FastPhotometry.of(grid)
    sampler = _MassRedshift(limit)
    found: list[Population] = []
    while sum(map(len, found)) < n:
        candidates = _candidates(CANDIDATES, rng, grid, sampler, fast)
        in_fibre = candidates.mag_r - 2.5 * np.log10(fibre_share(candidates))
        found.append(candidates[(candidates.mag_r < limit) & (in_fibre < FIBRE_LIMIT)])
    names = [f.name for f in fields(Population)]
    joined = Population(**{name: np.concatenate([getattr(part, name) for part in found]) for name in names})
    return joined[:n]


POPULATIONS: dict[str, Callable[[int, np.random.Generator, dict, SSPGrid], Population]] = {
    "parametric": draw_parametric,
}


def fibre_share(galaxies: Population) -> np.ndarray:
    """Share (n,) of a galaxy's r light within a 1.5 arcsec fibre under 1 arcsec seeing, to 8 % (rms against images.py).

    Curves of growth of the two components, their radii widened by the seeing; for selection, before images exist.
    """

    def widened(radius, ratio):
        return 0.75 / np.hypot(radius * np.sqrt(ratio), 0.5)

    x = 1.678 * widened(galaxies.r_disk, galaxies.q_disk)
    disc = 1 - (1 + x) * np.exp(-x)
    bulge = 1 - 0.5 ** (widened(galaxies.r_bulge, galaxies.q_bulge) ** 0.9)
    share = galaxies.bulge_fraction[:, 1]
    return 0.86 * (share * bulge + (1 - share) * disc)


class _MassRedshift:
    """Joint distribution of stellar mass and redshift, without what is too faint whatever its history."""

    def __init__(self, limit):
        self.z_edges = np.linspace(*Z_RANGE, 301)
        self.m_edges = np.linspace(6.5, 12.3, 233)
        z = 0.5 * (self.z_edges[1:] + self.z_edges[:-1])
        m = 0.5 * (self.m_edges[1:] + self.m_edges[:-1])
        volume = np.diff(cosmology.comoving_volume(self.z_edges))
        number = relations.mass_function(m, z[:, None]) * volume[:, None]
        # the brightest thing a mass can be: mass-to-light ratio .25 in r (solar M_r = 4.65), no dust, no K correction
        brightest = 4.65 - 2.5 * (m - np.log10(0.25)) + 5 * np.log10(cosmology.luminosity_distance(z)[:, None] * 1e5)
        self.cumulative = np.cumsum(np.where(brightest < limit, number, 0.0))

    def draw(self, n, rng):
        index = np.searchsorted(self.cumulative, rng.random(n) * self.cumulative[-1])
        i, j = np.divmod(index, len(self.m_edges) - 1)
        dz, dm = np.diff(self.z_edges[:2]), np.diff(self.m_edges[:2])
        return self.m_edges[j] + dm * rng.random(n), self.z_edges[i] + dz * rng.random(n)


def _candidates(n, rng, grid, sampler, fast):
    log_mstar, z = sampler.draw(n, rng)
    quenched = rng.random(n) < relations.quenched_fraction(log_mstar, z)
    shape = _histories(log_mstar, z, quenched, rng, grid)
    scatter = relations.metallicity_scatter(log_mstar) * rng.standard_normal(n)
    log_z = np.clip(relations.metallicity(log_mstar) + scatter, -2.2, 0.65)
    log_z_gas = np.clip(log_z + rng.normal(0.1, 0.1, n), -2.2, 0.5)
    surviving = np.einsum("na,na->n", shape, _at_metallicity(grid.surviving, grid.log_z, log_z))
    sfh = shape * (10**log_mstar / surviving)[:, None]
    structure = _structure(log_mstar, z, quenched, rng)
    dust = _dust(log_mstar, quenched, structure["q_disk"], rng)
    # hotter, less metal-rich nebulae are more ionised (Kaasinen et al. 2018, MNRAS 477, 5568: about -3.2 to -2.6)
    log_u = np.clip(-2.95 - 0.5 * log_z_gas + rng.normal(0, 0.2, n), -4.0, -1.5)
    sigma_v, sigma_gas = _kinematics(log_mstar, quenched, structure["q_disk"], rng)
    return Population(
        redshift=z,
        log_mhalo=relations.halo_mass(log_mstar + rng.normal(0, 0.15, n), z),
        log_mstar=log_mstar,
        quenched=quenched,
        sfh=sfh,
        log_z=log_z,
        log_z_gas=log_z_gas,
        log_u=log_u,
        sigma_v=sigma_v,
        sigma_gas=sigma_gas,
        z_mw=Z_SUN * 10**log_z,
        t_age_mw=histories.mean_age(sfh, grid.ages) / 1e9,
        avg_sfr=histories.recent_rate(sfh, grid.age_edges, SFR_WINDOW),
        mag_r=fast.magnitudes(sfh, log_z, log_z_gas, log_u, z, **dust)[:, 1],
        **dust,
        **structure,
    )


def _at_metallicity(table, nodes, log_z):
    """Rows (n, A) of `table` (M, A), linear in log Z."""
    position = np.interp(log_z, nodes, np.arange(len(nodes)))
    low = np.minimum(position.astype(int), len(nodes) - 2)
    part = (position - low)[:, None]
    return (1 - part) * table[low] + part * table[low + 1]


def _histories(log_mstar, z, quenched, rng, grid):
    """Share of the mass formed in each age bin (n, A): smooth history, quenching, bursts, short-term flicker."""
    n = len(z)
    universe = cosmology.age(z) * 1e9
    age = np.clip(universe - 10 ** rng.normal(9.1, 0.25, n), 0.3 * universe, 0.97 * universe)
    sfr = relations.main_sequence(log_mstar, universe / 1e9) + rng.normal(0, 0.13, n)
    specific = 10 ** (sfr - log_mstar) * 0.58 * age  # .58 of the mass formed survives
    x = histories.rate_for(np.clip(specific, 0.02, 6.0))
    # quenched between 0.6 Gyr ago and soon after the first stars; the massive ones earlier
    early = rng.beta(2.6 + 1.2 * np.clip(log_mstar - 10, 0, 1.5), 1.5, n)
    quench = np.where(quenched, 0.6e9 + early * (0.9 * age - 0.6e9), 0.0)
    decay = 10 ** rng.normal(8.55, 0.25, n)
    mass = histories.smooth(grid.age_edges, age, x, quench, decay)

    bursting = ~quenched & (rng.random(n) < 0.05)
    burst = np.where(bursting, 10 ** rng.uniform(-2.3, -0.8, n), 0.0)
    start, length = 10 ** rng.uniform(7.3, 9.2, n), 10 ** rng.uniform(7.3, 8.3, n)
    mass = histories.add_burst(mass, grid.age_edges, burst, np.minimum(start, 0.9 * age), length)
    # the trickle that quenched galaxies keep, and the bursty last 100 and 10 Myr of all
    rest = np.where(quenched, 10 ** rng.normal(-2.8, 0.4, n), 0.0)
    mass = histories.add_burst(mass, grid.age_edges, rest, np.full(n, 1e9), np.full(n, 1e9))
    mass = histories.flicker(mass, grid.ages, rng.normal(0, 0.08, n), 1e8)
    return histories.flicker(mass, grid.ages, rng.normal(0, 0.2, n), 1e7)


def _dust(log_mstar, quenched, q_disk, rng):
    """Attenuation: more in massive and in inclined discs, little in quenched galaxies, all with scatter."""
    n = len(q_disk)
    # amount with mass as in Garn & Best 2010 (MNRAS 409, 421), turned from H-alpha into stars; doubled edge-on
    typical = np.where(quenched, 0.12, np.clip(0.25 + 0.25 * (log_mstar - 9.8), 0.05, 0.8))
    inclination = np.where(quenched, 1.0, 1.35 - 0.7 * q_disk)
    av = np.clip(typical * inclination * 10 ** rng.normal(0, 0.09, n), 0, 3.5)
    # opaque galaxies have greyer curves (Salim et al. 2018, ApJ 859, 11)
    slope = np.clip(-0.55 + 0.45 * np.minimum(av, 1.2) + rng.normal(0, 0.15, n), -1.3, 0.4)
    # nebulae see 1 / .44 times the dust of the stars (Calzetti et al. 2000)
    return {"av": av, "dust_slope": slope, "av_birth": (av + 0.1) * 10 ** rng.normal(0.1, 0.2, n)}


def _kinematics(log_mstar, quenched, q_disk, rng):
    """Velocity dispersions of stars and gas in the fibre (km/s); inclined discs add their rotation."""
    n = len(q_disk)
    base = relations.velocity_dispersion(log_mstar) + rng.normal(0, 0.08, n)
    stars = np.clip(10 ** (base - np.where(quenched, 0.0, 0.12)), 30, 450)
    tilt = np.sqrt(np.clip(1 - q_disk**2, 0, 1))
    gas = np.clip(10 ** (base - 0.25) * (0.5 + 0.7 * tilt), 25, 300)
    return stars, gas


def _structure(log_mstar, z, quenched, rng):
    """Bulge and disc: sizes in arcsec, axis ratios, orientation, clumps."""
    n = len(z)
    size = relations.half_light_radius(log_mstar, z, quenched) * 10 ** rng.normal(0, np.where(quenched, 0.13, 0.18))
    size = np.maximum(size / cosmology.kpc_per_arcsec(z), 0.05)
    late = rng.beta(1.1, np.clip(6.5 - 2.2 * (log_mstar - 9.5), 1.8, 9.0))
    early = rng.beta(4.0, np.clip(2.2 - 0.8 * (log_mstar - 10.5), 0.9, 4.0))
    bulge = np.where(quenched, early, late)
    thickness = rng.uniform(0.12, 0.3, n)
    cos_i = rng.random(n)
    return {
        "bulge_fraction": np.clip(bulge[:, None] * COLOUR_OF_BULGE, 0, 1),
        "r_disk": size * np.where(quenched, 1.3, 1.1),
        "r_bulge": np.clip(size * np.where(quenched, 0.85, 0.35) * 10 ** rng.normal(0, 0.1, n), 0.05, None),
        "q_disk": np.sqrt(cos_i**2 * (1 - thickness**2) + thickness**2),
        "q_bulge": np.clip(rng.normal(0.8, 0.13, n), 0.35, 1.0),
        "angle": rng.uniform(0, np.pi, n),
        "clumpiness": np.where(quenched, 0.05 * rng.random(n), np.clip(rng.beta(2.5, 2.5, n), 0, 1)),
    }
