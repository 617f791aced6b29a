"""Transmission of the intergalactic hydrogen between a source and the observer.

The mean is that of Inoue et al. 2014 (lyman.py). A single line of sight, a function of its seed, has
- a forest that is lognormal in optical depth (Bi & Davidsen 1997, ApJ 479, 523), the same gas seen in all Lyman lines,
  its mean transmission that of the model at every wavelength and in every line;
- Lyman-limit and damped systems drawn one by one, with their damping wings and their breaks beyond the limit.
"""

import functools

import numpy as np
import scipy.fft

from skyloom.mock.universe.light import lyman
from skyloom.mock.universe.light.wavelengths import C_KM_S

ALPHA = lyman.LINES[0, 0]
STEP = 40.0 / C_KM_S  # of a line of sight, in ln(wavelength)
START, STOP = 3250.0, 6900.0  # Angstrom, Ly-alpha: from the blue end of the instrument to beyond z = 4.1
SPREAD = 1.9  # standard deviation of ln(optical depth)
SMOOTHING, COHERENCE = 30.0, 250.0  # km/s: pressure and heat smooth the gas; above the other its power falls
FOLLOWED = 6  # Ly-alpha to Ly-zeta follow the line of sight; what the others absorb is smooth
# Oscillator strengths and damping constants (1/s) of the lines followed (Morton 2003, ApJS 149, 205)
STRENGTH = np.array([0.4164, 0.0791, 0.0290, 0.0139, 0.0078, 0.0048])
DAMPING = np.array([6.265e8, 1.897e8, 8.127e7, 4.204e7, 2.450e7, 1.236e7])
# Systems with columns in 10^17.2..21.6: their number a unit z is 2.8 ((1+z) / 4.5)^1.94 (Songaila & Cowie 2010, ApJ
# 721, 1448), falling by .2 dex a dex of column, so that 0.2 are damped at z = 2.5 (Noterdaeme et al. 2012, A&A 547, L1)
NUMBER, EVOLUTION = 2.8, 1.94
COLUMNS, COLUMN_SLOPE = (17.2, 21.6), -0.2
DOPPLER = 30.0  # km/s
LIMIT_CROSS_SECTION = 6.3e-18  # cm2
WING = 30000.0 / C_KM_S  # how far from Ly-alpha the wings of a damped system are followed


def transmission(wavelength: np.ndarray, z: np.ndarray, igm_seed: np.ndarray | None = None) -> np.ndarray:
    """Share of the light that arrives from sources at `z`.

    Parameters
    ----------
    wavelength : (W,) Angstrom, observed, evenly spaced
    z : (n,) redshifts, up to 4.4 where a seed is given
    igm_seed : (n,) integers, a line of sight each; None: the mean of all

    Returns
    -------
    (n, W) f4, in 0..1
    """
    z = np.asarray(z, float)
    share = np.ones((len(z), len(wavelength)), "f4")
    for i in np.flatnonzero((1 + z) * ALPHA > wavelength[0]):
        if igm_seed is None:
            blue = wavelength[: np.searchsorted(wavelength, (1 + z[i]) * ALPHA)]
            share[i, : len(blue)] = np.exp(-lyman.mean_depth(blue, z[i]))
        else:
            blue = wavelength[: np.searchsorted(wavelength, (1 + z[i]) * ALPHA * (1 + WING))]
            share[i, : len(blue)] = _line_of_sight(blue, z[i], np.random.default_rng(int(igm_seed[i])))
    return share


def _line_of_sight(wavelength, z, rng):
    """Transmission (W,), averaged over the pixels of `wavelength`."""
    fine = _fine_grid()
    field = _field(rng)
    systems = _systems(z, rng)
    end = min(np.searchsorted(fine, (1 + z) * ALPHA * (1 + WING)), len(fine))
    depth = np.zeros(end)
    beyond = np.searchsorted(fine, (1 + z) * lyman.LIMIT)
    depth[:beyond] = lyman.forest_continuum_depth(fine[:beyond], z)
    amplitude, smooth = _forest_tables()
    for line, centre in enumerate(lyman.LINES[:, 0]):
        last = np.searchsorted(fine, (1 + z) * centre)
        if line < FOLLOWED:
            # the gas that absorbs here in this line absorbs in Ly-alpha further in the red
            shift = round(np.log(ALPHA / centre) / STEP)
            depth[:last] += amplitude[line, :last] * field[shift : shift + last]
            for z_system, column in systems:
                _add_system_line(depth, fine, z_system, column, line)
        else:
            depth[:last] += smooth[line - FOLLOWED, :last]
    for z_system, column in systems:
        edge = lyman.LIMIT * (1 + z_system)
        beyond = np.searchsorted(fine[:end], edge)
        depth[:beyond] += column * LIMIT_CROSS_SECTION * (fine[:beyond] / edge) ** 3
    # means over pixels, from the integral
    step = wavelength[1] - wavelength[0]
    edges = np.append(wavelength - step / 2, wavelength[-1] + step / 2)
    bounds = np.append(fine[:end] * np.exp(-STEP / 2), fine[end - 1] * np.exp(STEP / 2))
    total = np.append(0, np.cumsum(np.exp(-depth) * np.diff(bounds)))
    return np.diff(np.interp(edges, bounds, total)) / step


@functools.cache
def _fine_grid():
    """Wavelengths of a line of sight in Ly-alpha, Angstrom."""
    return START * np.exp(STEP * np.arange(int(np.log(STOP / START) / STEP)))


@functools.cache
def _filter():
    """Square root of the field's power (N/2 + 1,), for unit variance."""
    length = scipy.fft.next_fast_len(len(_fine_grid()), real=True)
    k = 2 * np.pi * scipy.fft.rfftfreq(length, STEP * C_KM_S)  # s/km
    power = np.exp(-np.square(k * SMOOTHING)) / (1 + k * COHERENCE)
    power[0] = 0
    return length, np.sqrt(power / (2 * power.sum() / length))


def _field(rng):
    """exp(SPREAD g), g a Gaussian field of unit variance on the fine grid."""
    length, root = _filter()
    noise = scipy.fft.rfft(rng.standard_normal(length))
    return np.exp(SPREAD * scipy.fft.irfft(noise * root, length)[: len(_fine_grid())])


@functools.cache
def _forest_tables():
    """On the fine grid: the field's amplitude in each line followed, and the optical depth of each line that is not."""
    fine = _fine_grid()
    depths = np.array([lyman.forest_line_depth(fine, np.inf, line) for line in range(len(lyman.LINES))])
    for line in range(FOLLOWED):
        # what the systems absorb on average is taken from the forest, so that the sum is the model's
        depths[line] += lyman.system_line_depth(fine, np.inf, line)
        depths[line] = np.maximum(depths[line] - _systems_mean(fine, line), 0.3 * depths[line])
    # effective depth of a lognormal field by its amplitude, inverted
    x, weight = np.polynomial.hermite_e.hermegauss(120)
    log_amplitude = np.linspace(-16, 8, 481)
    mean = np.exp(-np.exp(log_amplitude[:, None] + SPREAD * x)) @ (weight / weight.sum())
    wanted = np.log(np.maximum(depths[:FOLLOWED], 1e-9))
    return np.exp(np.interp(wanted, np.log(-np.log(mean)), log_amplitude)), depths[FOLLOWED:]


def _systems_mean(wavelength, line):
    """Effective optical depth (W,) of the systems in a line: number a unit z, (1+z), relative equivalent width."""
    y = wavelength / lyman.LINES[line, 0]
    edges = np.linspace(*COLUMNS, 23)
    share = -np.diff(10 ** (COLUMN_SLOPE * (edges - COLUMNS[0]))) / (1 - 10 ** (COLUMN_SLOPE * np.ptp(edges)))
    width = 0.0
    for log_column, part in zip(0.5 * (edges[1:] + edges[:-1]), share, strict=True):
        fine = lyman.LINES[line, 0] * np.exp(STEP / 8 * np.arange(-12000, 12001))
        depth = np.zeros(len(fine))
        _add_system_line(depth, fine, 0.0, 10**log_column, line)
        width += part * np.trapezoid(1 - np.exp(-depth), fine)
    return NUMBER * (y / 4.5) ** EVOLUTION * y * width / lyman.LINES[line, 0]


def _systems(z, rng):
    """Redshift and neutral column (cm^-2) of the Lyman-limit and damped systems before a source at `z`."""
    power = EVOLUTION + 1
    low = (START / ALPHA) ** power
    high = max((1 + z) ** power, low)
    number = rng.poisson(NUMBER / 4.5**EVOLUTION * (high - low) / power)
    redshifts = (low + rng.random(number) * (high - low)) ** (1 / power) - 1
    span = 1 - 10 ** (COLUMN_SLOPE * (COLUMNS[1] - COLUMNS[0]))
    logs = COLUMNS[0] + np.log10(1 - rng.random(number) * span) / COLUMN_SLOPE
    return list(zip(redshifts, 10**logs, strict=True))


def _add_system_line(depth, wavelength, z, column, line):
    """Add one line of a system to `depth`: Doppler core and Lorentzian wings, whose sum is near a Voigt profile."""
    centre = lyman.LINES[line, 0]
    reach = WING if line == 0 and column > 1e19 else WING / 10
    low, high = np.searchsorted(wavelength[: len(depth)], centre * (1 + z) * np.array([1 - reach, 1 + reach]))
    u = (wavelength[low:high] / (centre * (1 + z)) - 1) * C_KM_S / DOPPLER
    damping = DAMPING[line] * centre * 1e-13 / (4 * np.pi * DOPPLER)
    # sqrt(pi) e^2 / (m_e c) f lambda N / b in cgs: 1.497e-15 with lambda in Angstrom and b in km/s
    core = 1.497e-15 * STRENGTH[line] * centre * column / DOPPLER
    depth[low:high] += core * (np.exp(-np.square(u)) + damping / np.sqrt(np.pi) / (1 + np.square(u)))
