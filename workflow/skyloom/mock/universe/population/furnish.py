"""What a star-formation history does not say of a galaxy: metals, dust, gas, nucleus, shape, and the light of all."""

import functools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from skyloom.mock.universe.light import active, cosmology
from skyloom.mock.universe.light.photometry import FILTERS, WISE, FastPhotometry
from skyloom.mock.universe.light.ssp import Z_SUN, SSPGrid
from skyloom.mock.universe.population import dust_layer, histories, morphology, nuclei, programs, relations
from skyloom.mock.universe.population.population import Population

SELECTION_FILTERS = (*FILTERS, "lsst2023-i", *WISE)
SFR_WINDOW = 1e9  # yr; AVG_SFR of PROVABGS is the mean of the last Gyr


def furnish(
    redshift: np.ndarray,
    log_mhalo: np.ndarray,
    log_mstar: np.ndarray,
    quenched: np.ndarray,
    shape: np.ndarray,
    rng: np.random.Generator,
    grid: SSPGrid,
    target: str,
) -> Population:
    """Galaxies with everything that Population asks for.

    Parameters
    ----------
    redshift, log_mhalo, log_mstar, quenched : (n,), as in Population
    shape : (n, A) share of the mass formed in each age bin of the grid
    target : the selection they are candidates for; with "qso" every galaxy gets a quasar
    """
    n = len(redshift)
    log_z = relations.metallicity(log_mstar, redshift) + relations.metallicity_scatter(log_mstar) * rng.standard_normal(
        n
    )
    # nothing is richer than 2.2 times the sun, and few are close to it
    log_z = np.clip(np.where(log_z > 0.2, 0.2 + 0.15 * np.tanh((log_z - 0.2) / 0.15), log_z), -2.2, None)
    log_z_gas = relations.gas_metallicity(log_mstar, redshift) + rng.normal(0, 0.1, n)
    surviving = np.einsum("na,na->n", shape, _at_metallicity(grid.surviving, grid.log_z, log_z))
    sfh = shape * (10**log_mstar / surviving)[:, None]
    structure = morphology.draw(log_mstar, redshift, quenched, rng)
    rate = np.maximum(histories.recent_rate(sfh, grid.age_edges, 1e8), 1e-6)
    above = np.log10(rate) - relations.main_sequence(log_mstar, cosmology.age(redshift))
    dust = _dust(log_mstar, redshift, np.where(quenched, 0.0, above), quenched, structure["q_disk"], rng)
    structure["dust_layer"] = dust_layer.hidden(dust["av"], dust["dust_slope"], redshift)
    # what puts the nebular grid on the BPT sequence of Kewley et al. 2013 (ApJL 774, L10); nebulae of the past are more
    # ionised (Kaasinen et al. 2018, MNRAS 477, 5568)
    log_u = -3.05 - 2.5 * (log_z_gas + 0.4) + 0.2 * np.minimum(redshift, 2.0) + rng.normal(0, 0.17, n)
    light = {"sfh": sfh, "log_z": log_z, "log_z_gas": log_z_gas, "log_u": np.clip(log_u, -3.9, -2.0)}
    nucleus = nuclei.draw(redshift, log_mstar, quenched, rng, target, programs.Z_RANGES[target])
    sigma_v, sigma_gas = _kinematics(log_mstar, quenched, structure["q_disk"], rng)
    return Population(
        target=np.full(n, target, "<U3"),
        redshift=redshift,
        log_mhalo=log_mhalo,
        log_mstar=log_mstar,
        quenched=quenched,
        sigma_v=sigma_v,
        sigma_gas=sigma_gas,
        z_mw=Z_SUN * 10**log_z,
        t_age_mw=histories.mean_age(sfh, grid.ages) / 1e9,
        avg_sfr=histories.recent_rate(sfh, grid.age_edges, SFR_WINDOW),
        **light,
        **dust,
        **structure,
        **nucleus,
        **magnitudes(light | dust, redshift, nucleus, grid),
    )


@functools.lru_cache(maxsize=2)
def _photometry(grid: SSPGrid) -> FastPhotometry:
    return FastPhotometry.of(grid, SELECTION_FILTERS)


def magnitudes(
    light: Mapping[str, np.ndarray], redshift: np.ndarray, nucleus: Mapping[str, np.ndarray], grid: SSPGrid
) -> dict[str, np.ndarray]:
    """The mag_* of Population (n,), AB, without Milky Way extinction.

    `light` has the arguments of synthesis.line_luminosities and log_z, `nucleus` active.NUCLEUS_FIELDS.
    """
    nucleus = {name: nucleus[name] for name in active.NUCLEUS_FIELDS}
    values = _photometry(grid).magnitudes(redshift=redshift, nucleus=nucleus, **light)
    named = dict(zip(("mag_g", "mag_r", "mag_z", "mag_i", "mag_w1", "mag_w2"), values.T, strict=True))
    host, broad = named["mag_r"].copy(), np.flatnonzero(nucleus["agn_type"] == 2)
    if len(broad):
        alone = {name: values[broad] for name, values in light.items()}
        host[broad] = _photometry(grid).magnitudes(redshift=redshift[broad], **alone)[:, 1]
    return named | {"mag_host": host}


def with_bulges(galaxies: Population, rng: np.random.Generator, grid: SSPGrid) -> Population:
    """The same galaxies, whose bulges have the colours of their own stars.

    A bulge is a sample of stars as `morphology.stars_of_bulge` has them, richer in metals and behind the galaxy's dust,
    and the disc is what is left of the galaxy's light. Apart from `furnish`, since most candidates are never seen.
    """
    if not len(galaxies):
        return galaxies
    universe = cosmology.age(galaxies.redshift) * 1e9
    traits = universe, galaxies.log_mstar, galaxies.quenched
    names = ("redshift", "log_z", "log_z_gas", "log_u", "av", "dust_slope", "av_birth")
    light = {name: getattr(galaxies, name) for name in names}
    light["log_z"] = light["log_z"] + morphology.RICHER
    light["sfh"] = morphology.stars_of_bulge(galaxies.sfh, grid.ages, *traits, rng)
    bulge = FastPhotometry.of(grid, FILTERS).magnitudes(**light)
    total = np.stack([galaxies.mag_g, galaxies.mag_r, galaxies.mag_z], axis=1)
    share = morphology.colour_of_bulge(galaxies.bulge_fraction[:, 1], 10 ** (-0.4 * bulge), 10 ** (-0.4 * total))
    # how bright the hosts of quasars are is known in r alone
    known = (galaxies.agn_type != 2)[:, None]
    return replace(galaxies, bulge_fraction=np.where(known, share, galaxies.bulge_fraction))


def _at_metallicity(table, nodes, log_z):
    """Rows (n, A) of `table` (M, A), linear in log Z."""
    position = np.interp(log_z, nodes, np.arange(len(nodes)))
    low = np.minimum(position.astype(int), len(nodes) - 2)
    part = (position - low)[:, None]
    return (1 - part) * table[low] + part * table[low + 1]


def _dust(log_mstar, redshift, above, quenched, q_disk, rng):
    """Attenuation: more in massive, busy and inclined discs, little in quenched galaxies, all with scatter.

    `above` is log10 of the SFR over the main sequence's: massive galaxies that form more stars are dustier (Zahid
    et al. 2013, ApJ 763, 92). With the axis ratio q discs dim by about 1.27 log(q)^2 mag in r, small ones
    do not (Unterborn & Ryden 2008, ApJ 687, 976), nor those at redshift 1.3 and beyond (Lorenz et al. 2023, ApJ 951,
    29); the mean over all inclinations is as without.
    """
    n = len(q_disk)
    typical = np.where(quenched, 0.12, relations.attenuation(log_mstar))
    flat = np.where(quenched, 0.0, np.clip(log_mstar - 9.0, 0, 1) * np.clip((1.3 - redshift) / 0.8, 0, 1))
    inclination = 1 + flat * (2.0 * np.log10(q_disk) ** 2 - 0.5)
    busy = 10 ** (0.4 * np.clip(log_mstar - 9.2, 0, 1) * np.clip(above, -1, 1))
    av = np.clip(typical * inclination * busy * 10 ** rng.normal(0, np.where(quenched, 0.3, 0.1)), 0, 3.5)
    # opaque galaxies have greyer curves, which differ by .3 at the same opacity (Salim et al. 2018, ApJ 859, 11)
    slope = np.clip(-0.55 + 0.45 * np.minimum(av, 1.2) + rng.normal(0, 0.25, n), -1.4, 0.5)
    # nebulae see 1 / .44 times the dust of the stars (Calzetti et al. 2000, ApJ 533, 682), some more, some less
    return {"av": av, "dust_slope": slope, "av_birth": (av + 0.05) * (1 / 0.44 - 1) * 10 ** rng.normal(0, 0.2, n)}


def _kinematics(log_mstar, quenched, q_disk, rng):
    """Velocity dispersions of stars and gas in the fibre (km/s); inclined discs add their rotation."""
    n = len(q_disk)
    base = relations.velocity_dispersion(log_mstar) + rng.normal(0, 0.08, n)
    stars = np.clip(10 ** (base - np.where(quenched, 0.0, 0.12)), 30, 450)
    tilt = np.sqrt(np.clip(1 - q_disk**2, 0, 1))
    gas = np.clip(10 ** (base - 0.25) * (0.5 + 0.7 * tilt), 25, 300)
    return stars, gas
