"""Galaxy light profiles and the point spread function, as tables of their Fourier transforms.

Every profile here is circular and of unit flux, so that its transform is a real function of one variable, the squared
wavenumber times the squared scale radius, and F(0) = 1. An elliptical profile only changes that variable
(`quadratic_form`), so one table serves all sizes, axis ratios and angles.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy.fft import fht, fhtoffset
from scipy.special import gammaincinv, kv

# The tables are uniform in log(u + FLOOR): linear below the floor, where transforms are parabolas, logarithmic above,
# where they are close to power laws.
FLOOR = 0.01
TABLE_STEP = 0.004
TABLE_END = 16.0


@dataclass(frozen=True)
class RadialTable:
    """Transform of a circular profile as a function of u = (wavenumber * scale radius)^2, linear in log(u + FLOOR)."""

    values: np.ndarray  # (t,) float32
    steps: np.ndarray  # (t,) float32, difference to the next value

    def __call__(self, u: np.ndarray) -> np.ndarray:
        """Transform at `u` (any shape, >= 0, dimensionless), float32."""
        position = np.log(u + np.float32(FLOOR), dtype=np.float32)
        position -= np.float32(math.log(FLOOR))
        position *= np.float32(1 / TABLE_STEP)
        np.clip(position, 0, len(self.values) - 1, out=position)
        index = position.astype(np.int32)
        position -= index
        position *= self.steps.take(index)
        position += self.values.take(index)
        return position


def _tabulate(transform) -> RadialTable:
    t = np.arange(math.log(FLOOR), TABLE_END, TABLE_STEP)
    wavenumber = np.sqrt(np.maximum(np.exp(t) - FLOOR, 0.0))
    values = np.empty(len(t))
    values[0] = 1.0
    values[1:] = transform(wavenumber[1:])
    return RadialTable(values.astype(np.float32), np.append(np.diff(values), 0.0).astype(np.float32))


@functools.cache
def sersic(index: float) -> RadialTable:
    """Transform of a Sersic profile; the scale radius is the half-light radius.

    Parameters
    ----------
    index : Sersic index n: 1 is the exponential disc, 4 the de Vaucouleurs bulge.
    """
    b = gammaincinv(2 * index, 0.5)  # half of the light inside radius 1

    # Logarithmic Hankel transform (Hamilton 2000); the wide range keeps its periodic images far away.
    step = math.log(10) * 24 / 8192
    radius = np.exp(step * (np.arange(8192) - 4095.5))
    offset = fhtoffset(step, 0.0)
    profile = np.exp(-b * radius ** (1 / index))
    hankel = fht(radius * profile, step, 0.0, offset=offset)
    wavenumber = math.exp(offset) / radius[::-1]
    transform = hankel / wavenumber / (math.gamma(2 * index) * index * b ** (-2 * index))

    return _tabulate(lambda k: np.interp(np.log(k), np.log(wavenumber), transform))


@functools.cache
def moffat(beta: float) -> RadialTable:
    """Transform of a Moffat profile (1 + r^2/a^2)^-beta; the scale radius is a (see `moffat_scale`)."""
    order = beta - 1

    def transform(k):
        value = 2 * (k / 2) ** order * kv(order, k) / math.gamma(order)
        return np.where(k < 1e-6, 1.0, value)

    return _tabulate(transform)


def moffat_scale(fwhm: np.ndarray, beta: float) -> np.ndarray:
    """Scale radius of a Moffat profile, in the unit of `fwhm`."""
    return fwhm / (2 * math.sqrt(2 ** (1 / beta) - 1))


def moffat_noise_area(fwhm: np.ndarray, beta: float) -> np.ndarray:
    """Effective area 1 / integral(PSF^2) of a Moffat profile, in the squared unit of `fwhm`.

    A point source in noise of variance s^2 per unit area has a flux error of s times the root of this area.
    """
    return math.pi * moffat_scale(fwhm, beta) ** 2 * (2 * beta - 1) / (beta - 1) ** 2


def quadratic_form(radius, axis_ratio, angle):
    """Coefficients (xx, xy, yy) with which u = xx kx^2 + 2 xy kx ky + yy ky^2 for an elliptical profile.

    Parameters
    ----------
    radius : (n,) scale radius along the major axis, arcsec.
    axis_ratio : (n,) minor over major axis.
    angle : (n,) position angle of the major axis, rad, from +y (north) towards -x (east).
    """
    sine, cosine = np.sin(angle), np.cos(angle)
    minor, major = (radius * axis_ratio) ** 2, radius**2
    return major * sine**2 + minor * cosine**2, (minor - major) * sine * cosine, major * cosine**2 + minor * sine**2
