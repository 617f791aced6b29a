"""What pipelines would report of a galaxy: photometry with errors, a redshift fit, posterior-like properties."""

import numpy as np
from astropy.table import Table

from skyloom.surveys.mock.instrument import Observation
from skyloom.surveys.mock.population import Population

BANDS = ("G", "R", "Z")
MODEL_ERROR = 0.015  # relative error of catalogue fluxes that their ivar does not know
PROPERTY_SCATTER = {"log_mstar": 0.10, "log_z_mw": 0.18, "log_t_age_mw": 0.12, "log_avg_sfr": 0.20}  # dex
ZWARN_SMALL_DELTA_CHI2, ZWARN_NODATA = 1 << 2, 1 << 9  # bits of redrock.zwarning
C_KM_S = 299792.458


def photometry(flux: np.ndarray, radius: np.ndarray, psfdepth: np.ndarray, rng: np.random.Generator):
    """Catalogue fluxes and their ivar, both (n, 3), nanomaggy.

    `psfdepth` (n, 3) is the inverse variance of a point source; one of half-light `radius` (n,), arcsec, gathers the
    sky of a larger area. Errors of the model profiles come on top and are not in ivar, as in real catalogues.
    """
    ivar = psfdepth / (1 + (np.asarray(radius)[:, None] / 0.8) ** 2)
    noise = rng.standard_normal(flux.shape) / np.sqrt(ivar) + MODEL_ERROR * flux * rng.standard_normal(flux.shape)
    return flux + noise, ivar


def signal_to_noise(observation: Observation) -> np.ndarray:
    """Median signal-to-noise a pixel (N,) in the r arm, from the noiseless flux."""
    return np.median(observation.truth["r"] * np.sqrt(observation.ivar["r"]), axis=1)


def redshifts(targetid: np.ndarray, z: np.ndarray, snr: np.ndarray, rng: np.random.Generator) -> Table:
    """A redrock-like table: most redshifts right to some 15 km/s, failures more likely the less signal there is.

    Most failures are flagged in ZWARN; two in a thousand confident redshifts are wrong. `z` is NaN where there is no
    galaxy in the fibre, `snr` 0 where there are no data.
    """
    n = len(z)
    failed = (rng.random(n) < 0.3 / (1 + (np.maximum(snr, 0.05) / 0.5) ** 3)) | ~np.isfinite(z)
    wrong = failed | (rng.random(n) < 0.002)
    zerr = np.where(np.isfinite(z), 1 + z, 1.0) * (6 + 25 / np.maximum(snr, 0.2)) / C_KM_S
    fitted = np.where(wrong, rng.uniform(0.0, 1.5, n), z + zerr * rng.standard_normal(n))
    zwarn = np.where(failed, ZWARN_SMALL_DELTA_CHI2, 0) | np.where(snr <= 0, ZWARN_NODATA, 0)
    spectype = np.where(wrong & (rng.random(n) < 0.3), rng.choice(["STAR", "QSO"], n), "GALAXY")
    confident = 9 + (60 * snr) ** 2 * 10 ** rng.normal(-1.0, 0.15, n)
    return Table(
        {
            "TARGETID": targetid,
            "Z": fitted,
            "ZERR": zerr,
            "ZWARN": zwarn.astype("i8"),
            "SPECTYPE": spectype.astype("S6"),
            "DELTACHI2": np.where(failed, rng.uniform(0, 9, n), confident),
            "NPIXELS": np.where(snr > 0, 7900, 0).astype("i8"),
            "NCOEFF": np.full(n, 10, "i8"),
        }
    )


def properties(population: Population, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Stellar mass, metallicity, age and SFR as a posterior's mean would have them: truth times lognormal scatter.

    Keys measured_log_mstar (log10 Msun), measured_z_mw (mass fraction), measured_t_age_mw (Gyr), measured_avg_sfr
    (Msun/yr), and has_properties: the catalogue leaves out one galaxy in twelve.
    """
    n = len(population)
    noise = {name: scatter * rng.standard_normal(n) for name, scatter in PROPERTY_SCATTER.items()}
    return {
        "measured_log_mstar": population.log_mstar + noise["log_mstar"],
        "measured_z_mw": population.z_mw * 10 ** noise["log_z_mw"],
        "measured_t_age_mw": population.t_age_mw * 10 ** noise["log_t_age_mw"],
        "measured_avg_sfr": population.avg_sfr * 10 ** noise["log_avg_sfr"],
        "has_properties": rng.random(n) > 1 / 12,
    }
