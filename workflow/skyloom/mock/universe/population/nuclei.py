"""Active nuclei: which galaxies have one, how luminous it is, and the quasars' luminosity function.

Luminosities are bolometric, tied to the continuum by 5.15 lambda L_lambda at 3000 Angstrom (Richards et al. 2006, ApJS
166, 470), as active.continuum has it.
"""

import functools

import numpy as np

from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.light.wavelengths import C_ANGSTROM_S

BOLOMETRIC_3000 = 5.15
SLOPE = -1.5  # of f_lambda; Vanden Berk et al. 2001 (AJ 122, 549) find -1.54 for their composite
FAINTEST_R = 23.3  # quasars are drawn a little deeper than DESI's limit of r = 23
MAGNITUDES = np.arange(-30.0, -17.9, 0.05)  # M_g(z=2) of the tables
EDDINGTON = 3.28e4  # Lsun for each Msun of black hole


def luminosity_function(magnitude: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Quasars / Mpc^3 / mag at M_g(z=2): pure luminosity evolution of Palanque-Delabrouille et al. 2013, A&A 551, A29.

    A double power law whose break moves with redshift and whose slopes change at z = 2.2 (their table 8; z .7 to 4,
    g < 22.5). Held at z = .5 below it.
    """
    z = np.maximum(z, 0.5)
    high = z > 2.2
    alpha, beta = np.where(high, -3.19, -3.50), np.where(high, -1.17, -1.43)
    k1, k2 = np.where(high, -0.35, 0.03), np.where(high, -0.02, -0.34)
    x = 0.4 * (magnitude + 26.36 + 2.5 * (k1 * (z - 2.2) + k2 * (z - 2.2) ** 2))
    return 10**-5.89 / (10 ** ((alpha + 1) * x) + 10 ** ((beta + 1) * x))


def luminosity(magnitude: np.ndarray) -> np.ndarray:
    """Bolometric luminosity (Lsun) at M_g(z=2), the AB magnitude in a g band shifted to 1600 Angstrom."""
    # M(1600) = M_g(z=2) + 2.5 log(1+2); 4.345e20 erg/s/Hz is 0 mag at 10 pc
    per_hertz = 4.345e20 * 10 ** (-0.4 * (np.asarray(magnitude) + 2.5 * np.log10(3.0)))
    at_1600 = per_hertz * C_ANGSTROM_S / 1600.0 / cosmology.LSUN_IN_ERG_S  # lambda L_lambda, Lsun
    return BOLOMETRIC_3000 * at_1600 * (3000.0 / 1600.0) ** (SLOPE + 1)


@functools.cache
def _quasars(z_low: float, z_high: float) -> tuple[np.ndarray, np.ndarray]:
    """Redshift edges, and quasars brighter than FAINTEST_R (all sky) in each cell (Z, M) of redshift and magnitude."""
    edges = np.linspace(z_low, z_high, 191)
    z = 0.5 * (edges[1:] + edges[:-1])[:, None]
    number = luminosity_function(MAGNITUDES, z) * np.diff(cosmology.comoving_volume(edges))[:, None]
    # observed r is at rest 6420 / (1+z): from 1600 Angstrom along the power law, f_nu ~ nu^-(slope+2)
    r = MAGNITUDES + 2.5 * np.log10(3.0) + 5 * np.log10(cosmology.luminosity_distance(z) * 1e5) - 2.5 * np.log10(1 + z)
    r = r - 2.5 * (SLOPE + 2) * np.log10(6420.0 / (1 + z) / 1600.0)
    return edges, np.where(r < FAINTEST_R, number, 0.0)


def quasar_count(z_range: tuple[float, float]) -> float:
    """Quasars of the whole sky among which `quasar_redshifts` draws."""
    return float(_quasars(*z_range)[1].sum() * (MAGNITUDES[1] - MAGNITUDES[0]))


def quasar_redshifts(n: int, z_range: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Redshifts (n,) of quasars down to a little below DESI's limit."""
    edges, number = _quasars(*z_range)
    cumulative = np.append(0.0, np.cumsum(number.sum(axis=1)))
    return np.interp(rng.random(n) * cumulative[-1], cumulative, edges)


def draw(redshift, log_mstar, quenched, rng: np.random.Generator, target: str, z_range) -> dict[str, np.ndarray]:
    """The fields of Population that describe the nuclei, of quasars if `target` is "qso", else of galaxies."""
    n = len(redshift)
    if target == "qso":
        light, kind = _quasar_luminosity(redshift, rng, z_range), np.full(n, 2, "i1")
        eddington = np.full(n, -0.5)
    else:
        light, kind, eddington = _galaxy_nuclei(redshift, log_mstar, quenched, rng)
    reddened = rng.random(n) < 0.3
    return {
        "l_agn": light,
        "agn_type": kind,
        "agn_slope": rng.normal(SLOPE, 0.3, n),
        "agn_width": np.clip(
            10 ** rng.normal(3.62, 0.17, n), 1200, 15000
        ),  # Shen et al. 2011 (ApJS 194, 45), figure 11
        "agn_lines": rng.normal(0, 0.15, n),
        # Seyferts radiate above about a hundredth of the Eddington limit (Kewley et al. 2006, MNRAS 372, 961)
        "agn_hardness": 1 / (1 + np.exp(-(eddington + 2.6) / 0.35)),
        # a third of quasars are reddened, most by less than .1 mag (Hopkins et al. 2004, AJ 128, 1112)
        "agn_ebv": np.where(reddened, rng.exponential(0.05, n), 0.0),
        "igm_seed": rng.integers(0, 2**62, n),
    }


def _quasar_luminosity(redshift, rng, z_range):
    edges, number = _quasars(*z_range)
    row = np.clip(np.searchsorted(edges, redshift) - 1, 0, len(edges) - 2)
    cumulative = np.cumsum(number, axis=1)
    wanted = rng.random(len(redshift)) * cumulative[row, -1]
    column = (cumulative[row] < wanted[:, None]).sum(axis=1)
    step = MAGNITUDES[1] - MAGNITUDES[0]
    return luminosity(MAGNITUDES[column] + step * (rng.random(len(redshift)) - 0.5))


def _galaxy_nuclei(redshift, log_mstar, quenched, rng):
    """Luminosity, type, log Eddington ratio: few below 10^10 Msun, nearly half of massive ones (Kauffmann et al. 2003).

    Black holes scatter by .5 dex about those of Reines & Volonteri 2015 (ApJ 813, 82); Eddington ratios are lognormal
    in galaxies that form stars and a power law in those that do not (Kauffmann & Heckman 2009, MNRAS 397, 135).
    """
    n = len(redshift)
    share = 0.45 / (1 + np.exp(-(log_mstar - 10.4) / 0.25)) * (1 + np.minimum(redshift, 2.0)) ** 0.5
    active = rng.random(n) < share
    black_hole = 7.45 + 1.05 * (log_mstar - 11) + rng.normal(0, 0.5, n)
    eddington = np.where(quenched, -4.2 + rng.exponential(0.55, n), rng.normal(-2.4, 0.6, n))
    eddington = np.minimum(eddington + 0.4 * np.minimum(redshift, 2.0), 0.0)
    light = np.where(active, EDDINGTON * 10 ** (black_hole + eddington), 0.0)
    # the unobscured share grows with luminosity (Simpson 2005, MNRAS 360, 565); LINERs show no broad lines here
    bare = rng.random(n) < np.clip(0.15 + 0.15 * (np.log10(np.maximum(light, 1.0)) - 10.5), 0.02, 0.5)
    kind = np.where(active, np.where(bare & (eddington > -2.3), 2, 1), 0).astype("i1")
    return light, kind, eddington
