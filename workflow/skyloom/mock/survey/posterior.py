"""What a Bayesian fit would report of a galaxy: means with errors that are right, and samples around them.

The posterior of each parameter is a Gaussian of known width, cut off where the prior ends. The reported mean is drawn
around the truth and the samples are drawn around the reported mean, both with that same width, so that the truth is a
fair draw of the posterior: (truth - mean) / width is a unit normal but near a bound. The errors of a galaxy's
parameters are correlated as in fits of spectra (older, more metal-poor, dustier: the colours hardly tell).
"""

import numpy as np
from scipy.special import ndtr, ndtri

from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.population.population import Population

SAMPLES = 100
WIDTH = {
    "log_mstar": 0.10,
    "log_z_mw": 0.18,
    "log_t_age_mw": 0.12,
    "log_avg_sfr": 0.20,
    "tau_ism": 0.10,
    "tau_bc": 0.15,
    "n_dust": 0.20,
    "f_fiber": 0.03,
}
"""Parameter -> standard deviation of its posterior; dex for logarithms."""
CORRELATION = {
    ("log_mstar", "log_t_age_mw"): 0.5,
    ("log_mstar", "log_avg_sfr"): 0.2,
    ("log_z_mw", "log_t_age_mw"): -0.4,
    ("log_z_mw", "tau_ism"): -0.3,
    ("log_t_age_mw", "tau_ism"): -0.3,
    ("log_avg_sfr", "tau_ism"): 0.5,
    ("tau_ism", "n_dust"): 0.3,
}
Z_MW_RANGE = (4.5e-5, 4.5e-2)  # metallicities of the isochrones that PROVABGS fits with; from memory
LEAST_RATE = 1e-14  # 1/yr: a fit does not tell a smaller specific star formation rate from none
A_PER_TAU = 1.0857  # magnitudes of attenuation per unit of optical depth
NOT_FITTED = 1 / 12  # of the galaxies are missing in the property catalogue
THETA = (
    *("log_mform", "beta_1", "beta_2", "beta_3", "beta_4", "f_burst", "t_burst"),
    *("gamma_1", "gamma_2", "tau_bc", "tau_ism", "n_dust", "f_fiber"),
)
"""The 13 parameters of PROVABGS in their order. Without counterpart here, and NaN: the coefficients beta and gamma of
its bases of star formation and metallicity histories, and its single burst. What is derived from those is in the
companion table (see `skyloom.formats.provabgs`)."""


def properties(population: Population, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The means a fit reports, (n,) each.

    Keys measured_log_mstar (log10 Msun), measured_z_mw (mass fraction), measured_t_age_mw (Gyr, below the age of the
    universe), measured_avg_sfr (Msun/yr), measured_tau_ism, measured_tau_bc (optical depths), measured_n_dust, and
    has_properties: the catalogue leaves out one galaxy in twelve.
    """
    truth = {
        "log_mstar": population.log_mstar,
        "log_z_mw": np.log10(population.z_mw),
        "log_t_age_mw": np.log10(population.t_age_mw),
        "log_avg_sfr": np.log10(np.maximum(population.avg_sfr, LEAST_RATE * 10**population.log_mstar)),
        "tau_ism": population.av / A_PER_TAU,
        "tau_bc": population.av_birth / A_PER_TAU,
        "n_dust": population.dust_slope,
    }
    mean = {name: values[:, 0] for name, values in _draw(truth, population.redshift, 1, rng).items()}
    return {
        "measured_log_mstar": mean["log_mstar"],
        "measured_z_mw": 10 ** mean["log_z_mw"],
        "measured_t_age_mw": 10 ** mean["log_t_age_mw"],
        "measured_avg_sfr": 10 ** mean["log_avg_sfr"],
        **{f"measured_{name}": mean[name] for name in ("tau_ism", "tau_bc", "n_dust")},
        "has_properties": rng.random(len(population)) > NOT_FITTED,
    }


def theta(truth: dict[str, np.ndarray], redshift: np.ndarray, rng: np.random.Generator):
    """Best fit (n, 13) and posterior samples (n, 100, 13) of THETA.

    Parameters
    ----------
    truth : columns of a truth file: the measured_* of `properties`, log_mstar, sfh (n, A) and fibre_fraction
    redshift : (n,) as fitted

    Notes
    -----
    The best fit is the reported mean. log_mform is log_mstar and what dying stars gave back (known much better than
    either), so samples of it are samples of log_mstar but for a constant.
    """
    names = ("tau_ism", "tau_bc", "n_dust")
    mean = {"log_mstar": truth["measured_log_mstar"], **{name: truth[f"measured_{name}"] for name in names}}
    light = {"f_fiber": truth["fibre_fraction"]}
    mean["f_fiber"] = _draw(light, redshift, 1, rng)["f_fiber"][:, 0]
    samples = _draw(mean, redshift, SAMPLES, rng)
    returned = np.log10(truth["sfh"].sum(axis=1)) - truth["log_mstar"]
    mean["log_mform"] = mean["log_mstar"] + returned
    samples["log_mform"] = samples["log_mstar"] + returned[:, None]
    best, chain = np.full((len(redshift), len(THETA)), np.nan), np.full((len(redshift), SAMPLES, len(THETA)), np.nan)
    for place, name in enumerate(THETA):
        if name in mean:
            best[:, place], chain[..., place] = mean[name], samples[name]
    return best, chain


def bounds(name: str, redshift: np.ndarray) -> tuple[np.ndarray | float, np.ndarray | float]:
    """Where the prior of a parameter of WIDTH begins and ends; arrays (n,) where that depends on redshift."""
    if name == "log_z_mw":
        return np.log10(Z_MW_RANGE[0]), np.log10(Z_MW_RANGE[1])
    if name == "log_t_age_mw":
        return -np.inf, np.log10(cosmology.age(redshift))
    if name in ("tau_ism", "tau_bc"):
        return 0.0, np.inf
    return (0.0, 1.0) if name == "f_fiber" else (-np.inf, np.inf)


def _draw(centre: dict[str, np.ndarray], redshift: np.ndarray, count: int, rng: np.random.Generator) -> dict:
    """(n, count) draws of each parameter around its `centre` (n,): correlated Gaussians, cut off at the bounds."""
    names = list(centre)
    correlation = np.eye(len(names))
    for (a, b), value in CORRELATION.items():
        if a in names and b in names:
            correlation[names.index(a), names.index(b)] = correlation[names.index(b), names.index(a)] = value
    normal = rng.standard_normal((len(redshift), count, len(names))) @ np.linalg.cholesky(correlation).T
    return {name: _within(centre[name], name, normal[..., i], redshift) for i, name in enumerate(names)}


def _within(centre: np.ndarray, name: str, normal: np.ndarray, redshift: np.ndarray) -> np.ndarray:
    """Quantiles of the Gaussian about `centre` between the bounds, at those that `normal` (n, count) has without."""
    low, high = (np.broadcast_to(limit, centre.shape)[:, None] for limit in bounds(name, redshift))
    centre, width = np.clip(centre[:, None], low, high), WIDTH[name]
    below, above = ndtr((low - centre) / width), ndtr((high - centre) / width)
    return np.clip(centre + width * ndtri(below + ndtr(normal) * (above - below)), low, high)
