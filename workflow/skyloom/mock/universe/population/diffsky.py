"""Galaxies of halos: assembly histories by Diffmah and star-formation histories by Diffstar, as in diffsky.

Halos come from diffsky's mass function; each gets an assembly history (Hearin et al. 2021, OJAp 4, 7) and from that a
star-formation history (Alarcon et al. 2023, MNRAS 518, 562): halo mass, stellar mass and history are of a piece. All
galaxies are centrals. What a history does not say (metals, dust, shape) is as in the parametric population.

Diffstar's own parameters are used as they come. Its mass function agrees with the parametric one below 10^11 Msun and
is half a dex lower at 10^11.25, with fewer quenched galaxies: luminous red galaxies are rare here.

JAX compiles anew for every array shape: halos are drawn HALOS at a time whatever is asked for.
"""

import functools

import numpy as np

from skyloom.core.errors import NotAvailable
from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.light.ssp import SSPGrid
from skyloom.mock.universe.population import histories, nuclei, programs
from skyloom.mock.universe.population.counts import MassRedshift
from skyloom.mock.universe.population.furnish import furnish
from skyloom.mock.universe.population.population import Population

HALOS = 4096
HALO_RANGE = (10.2, 15.0)  # log10 Msun
CALIBRATED = (10.0, 14.5)  # Diffmah's populations; what lies beyond is assembled as the halos at the end, scaled
TIMES = 140  # of the tables of star formation, even in cosmic time
# log10 of the most stars that halos make in Diffstar: .15 dex above what one in a hundred exceeds
MOST_STARS = ((10.0, 10.5, 11.0, 11.5, 12.0, 12.5, 14.0), (8.45, 9.25, 10.15, 10.95, 11.45, 11.75, 11.95))
QUASAR_HALO, QUASAR_HALO_SCATTER = 12.5, 0.3  # log10 Msun; Eftekharzadeh et al. 2015, MNRAS 453, 2779
FLUCTUATION = 0.25  # dex, over 50 Myr, as in the parametric population
QUENCHED = 0.2  # specific star-formation rate times the age of the universe (Pacifici et al. 2016, ApJ 832, 79)


def candidates(rng: np.random.Generator, config: dict, grid: SSPGrid, target: str) -> Population:
    """Centrals of at most HALOS halos, furnished, some of which the selection of `target` accepts.

    Raises NotAvailable without the packages of the extra `diffsky`.
    """
    z_range = programs.redshift_range(target, config)
    if target == "qso":
        z = nuclei.quasar_redshifts(HALOS, z_range, rng)
        log_mhalo = np.clip(rng.normal(QUASAR_HALO, QUASAR_HALO_SCATTER, HALOS), *HALO_RANGE)
    else:
        limit = programs.magnitude_limit(target, config)
        log_mhalo, z = halo_counts(target, z_range, limit).draw(HALOS, rng)
    time, rate = star_formation(log_mhalo, z, int(rng.integers(2**31)))
    mass = formed(time, rate, z, grid.age_edges)
    total = mass.sum(axis=1)
    # of the mass formed, what is in stars and remnants at the metallicity of the sun
    surviving = (mass @ grid.surviving[np.abs(grid.log_z).argmin()]) / np.maximum(total, 1.0)
    log_mstar = np.log10(np.maximum(total * surviving, 1.0))
    keep = log_mstar > 6
    if target != "qso":
        keep &= log_mstar > programs.lightest(target, z, limit)
    mass, z, log_mstar, log_mhalo = mass[keep], z[keep], log_mstar[keep], log_mhalo[keep]
    specific = histories.recent_rate(mass, grid.age_edges, 1e8) / 10**log_mstar
    quenched = specific < QUENCHED / (cosmology.age(z) * 1e9)
    shape = mass / mass.sum(axis=1, keepdims=True)
    # Diffstar's histories are smooth over a tenth of a Gyr; those of galaxies are not
    shape = histories.fluctuate(shape, grid.age_edges, FLUCTUATION, 5e7, rng)
    return furnish(z, log_mhalo, log_mstar, quenched, shape, rng, grid, target)


@functools.cache
def _library():
    """The functions of the extra's packages, on the CPU."""
    try:
        import jax
        from diffmah import logmh_at_t_obs
        from diffmah.diffmahpop_kernels.bimod_censat_params import DEFAULT_DIFFMAHPOP_PARAMS
        from diffmah.diffmahpop_kernels.mc_bimod_cens import mc_cenpop
        from diffsky.mass_functions import hmf_model
        from diffstar.defaults import FB
        from diffstar.diffstarpop import mc_diffstar_sfh_galpop
        from diffstar.diffstarpop.defaults import DEFAULT_DIFFSTARPOP_PARAMS
    except ImportError as error:
        raise NotAvailable(
            f"population: diffsky needs packages that are not installed ({error}): pip install -e '.[diffsky]'"
        ) from error
    cpu = jax.devices("cpu")[0]

    def mass_function(log_mhalo, z):
        """Halos / Mpc^3 / dex (n,) of log10 masses (n,) at one redshift."""
        with jax.default_device(cpu):
            return np.asarray(hmf_model.predict_differential_hmf(hmf_model.DEFAULT_HMF_PARAMS, log_mhalo, z))

    def rates(log_mhalo, age, today, time, seed):
        """Star formation (n, T), Msun/yr, at `time` of centrals of halos with log_mhalo (n,) at `age` (n,), Gyr."""
        with jax.default_device(cpu), jax.enable_x64(True):
            key, other = jax.random.split(jax.random.key(seed))
            lgt0 = np.log10(today)
            known = np.clip(log_mhalo, *CALIBRATED)
            assembly = mc_cenpop(DEFAULT_DIFFMAHPOP_PARAMS, np.array([today]), known, age, key, lgt0)[0]
            excess = logmh_at_t_obs(assembly, age, lgt0) - log_mhalo
            assembly = assembly._replace(logm0=assembly.logm0 - excess)
            now = logmh_at_t_obs(assembly, np.full(len(age), today), lgt0)
            none = np.zeros(len(age))
            arguments = (assembly, now, none.astype(int) - 1, none, none + now, none, other, time)
            _, _, main, quiet, _, is_quiet = mc_diffstar_sfh_galpop(
                DEFAULT_DIFFSTARPOP_PARAMS, *arguments, lgt0=lgt0, fb=FB
            )
            return np.where(np.asarray(is_quiet)[:, None], quiet, main).astype(float)

    return mass_function, rates


def star_formation(log_mhalo: np.ndarray, z: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Star-formation histories of the centrals of halos, the same for the same arguments.

    Parameters
    ----------
    log_mhalo, z : (n,) log10 Msun at redshift z; a new n costs ten seconds of compilation

    Returns
    -------
    time : (T,) Gyr since the Big Bang, evenly spaced;  rate: (n, T) Msun/yr, before and after z
    """
    today = float(cosmology.age(0.0))
    time = np.linspace(0.01, today, TIMES)
    return time, _library()[1](log_mhalo, cosmology.age(z), today, time, seed)


def formed(time: np.ndarray, rate: np.ndarray, z: np.ndarray, age_edges: np.ndarray) -> np.ndarray:
    """Mass (n, A), Msun, formed in each bin of lookback age (yr) from redshift z; `rate` is linear between times."""
    step = time[1] - time[0]
    total = np.cumsum(0.5 * step * (rate[:, 1:] + rate[:, :-1]), axis=1)
    total = np.pad(total, ((0, 0), (1, 0)))
    when = np.clip(cosmology.age(z)[:, None] - age_edges / 1e9, time[0], time[-1])
    low = np.minimum(((when - time[0]) / step).astype(int), len(time) - 2)
    since = when - time[0] - low * step
    before, after = (np.take_along_axis(rate, index, axis=1) for index in (low, low + 1))
    by = np.take_along_axis(total, low, axis=1) + since * before + since**2 * (after - before) / (2 * step)
    return (by[:, :-1] - by[:, 1:]) * 1e9


@functools.lru_cache(maxsize=8)
def halo_counts(target: str, z_range: tuple[float, float], limit: float | None) -> MassRedshift:
    """Halos, without those whose galaxies are too faint for a selection whatever their history."""

    def density(log_mhalo, z):
        mass_function, _ = _library()
        number = np.stack([mass_function(log_mhalo, value) for value in z[:, 0]])
        return np.where(np.interp(log_mhalo, *MOST_STARS) > programs.lightest(target, z, limit), number, 0.0)

    return MassRedshift(np.linspace(*z_range, 201), np.linspace(*HALO_RANGE, 193), density)
