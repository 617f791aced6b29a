"""Wavelength grids, the speed of light and the conversion from air to vacuum.

Everything the mock writes is in vacuum, as DESI is.
"""

import numpy as np

C_KM_S = 299792.458
C_ANGSTROM_S = 1e13 * C_KM_S

# the observed grid of noiseless spectra: DESI's 0.8 Angstrom pixel centres, continued until the DECam g, r, z curves
# (3330 to 10990 Angstrom) are inside
PIXEL = 0.8
OBSERVED = 3300.0 + PIXEL * np.arange(9626)


def air_to_vacuum(wavelength: np.ndarray) -> np.ndarray:
    """Vacuum wavelengths (Angstrom) of wavelengths quoted in standard air above 2000 Angstrom, in vacuum below.

    That convention is the one of Cloudy, of BC03 and of atomic data in general. Dispersion formula: Ciddor 1996,
    Applied Optics 35, 1566, inverted by the fit of N. Piskunov used by VALD.
    """
    air = np.asarray(wavelength, float)
    s2 = (1e4 / np.maximum(air, 1.0)) ** 2
    n = 1 + 8.336624212083e-5 + 2.408926869968e-2 / (130.1065924522 - s2) + 1.599740894897e-4 / (38.92568793293 - s2)
    return np.where(air > 2000.0, air * n, air)


def log_grid(start: float, stop: float, velocity_step: float) -> np.ndarray:
    """Wavelengths from `start` to `stop` (Angstrom), evenly spaced in ln(wavelength) by `velocity_step` (km/s)."""
    step = velocity_step / C_KM_S
    return start * np.exp(step * np.arange(int(np.log(stop / start) / step) + 1))
