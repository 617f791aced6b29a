"""Spectra: noise against real exposures, redshifts, and indices against real galaxies that are alike."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d, median_filter
from scipy.stats import ks_2samp

from skyloom.analysis.mock_validation import indices, observations
from skyloom.analysis.mock_validation.checks import Ledger
from skyloom.analysis.mock_validation.samples import WAVELENGTHS, Observer, Spectra, Survey
from skyloom.formats.desi import ARMS, WAVELENGTH, combine_arms, read_coadd
from skyloom.mock.instruments.spectrograph.instrument import EXPOSURES
from skyloom.mock.universe.light.wavelengths import OBSERVED
from skyloom.mock.universe.population.population import Population

WRONG = 0.0033  # |dz| / (1 + z) of a catastrophic failure: 1000 km/s, DESI's own limit
DARK_TIME = 12.15  # effective seconds under dark nominal conditions for each unit of TSNR2_LRG (desispec, tsnr.py)
LIKE_Z, LIKE_MAGNITUDE = 0.02, 0.2  # scales of redshift and magnitude in the choice of a galaxy alike
LIKE = 8  # mock galaxies for each real one
LONGEST = 1.5  # effective over elapsed time; more says that the scores are not those of the exposures in the file
NOISE_LAG = 14  # pixels, more than smoothing correlates


@dataclass
class RealExposure:
    """A real DESI coadd: signal-to-noise a pixel by arm, and the same light through the mock spectrograph."""

    targetid: int
    magnitude: float  # r in the fibre, AB; NaN if the file has none
    seconds: float  # effective, dark nominal
    real: dict[str, float]
    mock: dict[str, float]
    noise_ratio: dict[str, float]  # mock over real


def check_redshifts(ledger: Ledger, survey: Survey) -> None:
    """Share of good fibres on BGS targets whose fitted redshift is right, and of confident ones that are wrong."""
    table = survey.catalogue
    table = table[table["COADD_FIBERSTATUS"] == 0]
    off = (table["Z"] - table["redshift"]).abs() / (1 + table["redshift"])
    ledger.add("redshift_success", (off < WRONG).mean(), len(table))
    confident = table["ZWARN"] == 0
    ledger.add("redshift_wrong", (off[confident] > WRONG).mean(), confident.sum())


def check_pulls(ledger: Ledger, spectra: Spectra) -> None:
    """Whether ivar knows the noise: scatter of the differences of pixels 3 apart, over what ivar says."""
    good = (spectra.ivar[:, 3:] > 0) & (spectra.ivar[:, :-3] > 0)
    expected = np.sqrt(1 / np.where(good, spectra.ivar[:, 3:], 1) + 1 / np.where(good, spectra.ivar[:, :-3], 1))
    pull = np.where(good, (spectra.flux[:, 3:] - spectra.flux[:, :-3]) / expected, np.nan)
    low, high = np.nanpercentile(pull, [16, 84])
    ledger.add("noise_pull", (high - low) / 2, len(spectra.table))


def real_exposures(coadd_paths: list, observer: Observer, rng: np.random.Generator) -> list[RealExposure]:
    """Real coadds of single targets beside the mock spectrograph's view of the same light in the same effective time.

    The light is the real spectrum, smoothed; the time is that of TSNR2_LRG, with which DESI measures its own exposures.
    """
    from astropy.io import fits

    found = []
    for path in coadd_paths:
        coadd = read_coadd(path)
        flux, ivar = combine_arms(coadd)
        with fits.open(path) as hdus:
            scores = hdus["SCORES"].data
            seconds = DARK_TIME * np.asarray(scores["TSNR2_LRG"], float)
        fibermap = coadd.fibermap
        sound = (np.asarray(fibermap["OBJTYPE"]).astype(str) == "TGT") & (
            np.asarray(fibermap["COADD_FIBERSTATUS"]) == 0
        )
        credible = seconds < LONGEST * np.asarray(fibermap["COADD_EXPTIME"], float)
        for row in np.flatnonzero(sound & credible & (ivar > 0).any(axis=1)):
            fibre = float(fibermap["FIBERFLUX_R"][row])
            light = np.maximum(np.interp(OBSERVED, WAVELENGTH, _smooth(flux[row], ivar[row])), 0).astype("f4")
            # TSNR2 counts all noise, so effective time is one of nominal exposures, each read out once
            times = max(1, round(seconds[row] / EXPOSURES["dark"]))
            each, each_ivar = observer.observe(np.repeat(light[None], times, axis=0), seconds[row] / times, rng)
            seen_ivar = each_ivar.sum(axis=0)
            seen = (each * each_ivar).sum(axis=0) / np.maximum(seen_ivar, 1e-12)
            real, mock, ratio = {}, {}, {}
            for arm in ARMS:
                inside = np.isin(WAVELENGTH.round(1), WAVELENGTHS[arm].round(1)) & (ivar[row] > 0) & (seen_ivar > 0)
                real[arm] = float(np.median(flux[row, inside] * np.sqrt(ivar[row, inside])))
                mock[arm] = float(np.median(seen[inside] * np.sqrt(seen_ivar[inside])))
                ratio[arm] = float(np.median(np.sqrt(ivar[row, inside] / seen_ivar[inside])))
            magnitude = 22.5 - 2.5 * np.log10(fibre) if fibre > 0 else np.nan
            found.append(RealExposure(int(fibermap["TARGETID"][row]), magnitude, seconds[row], real, mock, ratio))
    return found


def _smooth(flux, ivar):
    good = ivar > 0
    return median_filter(np.interp(WAVELENGTH, WAVELENGTH[good], flux[good]), 31)


def check_exposures(ledger: Ledger, exposures: list[RealExposure]) -> None:
    """Median over the real coadds of mock noise over real noise, by arm."""
    for arm in ARMS:
        if exposures:
            ledger.add(f"noise_{arm}", np.median([e.noise_ratio[arm] for e in exposures]), len(exposures))


def alike(z: np.ndarray, magnitude: np.ndarray, galaxies: Population, count: int = LIKE) -> np.ndarray:
    """Rows (n, count) of the galaxies most like each real one in redshift and r."""
    distance = ((z[:, None] - galaxies.redshift) / LIKE_Z) ** 2
    distance += ((magnitude[:, None] - galaxies.mag_r) / LIKE_MAGNITUDE) ** 2
    return np.argsort(distance, axis=1, kind="stable")[:, :count]


@dataclass
class Comparison:
    """Real spectra of a kind of target and mock ones chosen to be alike, treated alike."""

    real: observations.Spectra
    rows: np.ndarray  # (n, LIKE) rows of `galaxies`
    galaxies: Population
    flux: np.ndarray  # (n LIKE, 7781) smoothed as the real ones, as noisy as they are
    exposure: float  # s, that gives the real noise
    real_indices: dict[str, np.ndarray]
    mock_indices: dict[str, np.ndarray]


def compare(real: observations.Spectra, galaxies: Population, observer: Observer, rng) -> Comparison:
    """Observe, to the depth of the real spectra, the mock galaxies most like them; smooth; measure both."""
    rows = alike(real.z, real.magnitude[:, 1], galaxies)
    light = observer.noiseless(galaxies[rows.ravel()])
    # one trial exposure says how long the one must be whose noise is that of the real spectra
    trial = 1000.0
    noise = np.median(noise_of(smoothed(*observer.observe(light, trial, rng))))
    exposure = float(trial * (noise / np.median(noise_of(real.flux))) ** 2)
    flux = smoothed(*observer.observe(light, exposure, rng))
    mock = indices.measure(WAVELENGTH, flux, galaxies.redshift[rows.ravel()])
    return Comparison(real, rows, galaxies, flux, exposure, indices.measure(WAVELENGTH, real.flux, real.z), mock)


def smoothed(flux: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """Spectra (n, W) smoothed as the real ones are; masked pixels, of which these have none, interpolated before."""
    filled = [
        row if good.all() or not good.any() else np.interp(WAVELENGTH, WAVELENGTH[good], row[good])
        for row, good in zip(flux, ivar > 0, strict=True)
    ]
    return gaussian_filter1d(np.array(filled), observations.SMOOTHING, axis=1)


def noise_of(flux: np.ndarray) -> np.ndarray:
    """Noise (n,) of smoothed spectra: robust scatter of second differences over NOISE_LAG pixels, 6000-7400 A."""
    part = flux[:, 3000:4750]
    second = part[:, 2 * NOISE_LAG :] - 2 * part[:, NOISE_LAG:-NOISE_LAG] + part[:, : -2 * NOISE_LAG]
    return 1.4826 * np.median(np.abs(second - np.median(second, axis=1, keepdims=True)), axis=1) / np.sqrt(6)


def check_comparison(ledger: Ledger, kind: str, comparison: Comparison) -> None:
    """Probability, by the two-sample Kolmogorov-Smirnov test, that real and mock values come from one distribution."""
    magnitude = np.stack([getattr(comparison.galaxies, f"mag_{band}") for band in "grz"], axis=1)[comparison.rows]
    real = comparison.real.magnitude
    pairs = {
        "gr": (real[:, 0] - real[:, 1], magnitude[..., 0] - magnitude[..., 1]),
        "rz": (real[:, 1] - real[:, 2], magnitude[..., 1] - magnitude[..., 2]),
    }
    pairs |= {name: (comparison.real_indices[name], comparison.mock_indices[name]) for name in indices.LABELS}
    for name, (own, mock) in pairs.items():
        check = f"{kind}_{name}"
        if check in ledger.expected.index:
            ledger.add(check, same_distribution(own, mock), int(np.isfinite(own).sum()))


def same_distribution(real: np.ndarray, mock: np.ndarray) -> float:
    """p-value of the two-sample Kolmogorov-Smirnov test of the finite values; NaN for fewer than 8 on either side."""
    real, mock = real[np.isfinite(real)], mock[np.isfinite(mock)]
    return float(ks_2samp(real, mock).pvalue) if min(len(real), len(mock)) >= 8 else np.nan
