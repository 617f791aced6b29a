"""Attenuation inside galaxies and extinction in the Milky Way, as magnitudes per unit A_V."""

import numpy as np

EXTINCTION = {"G": 3.214, "R": 2.165, "Z": 1.211, "W1": 0.184, "W2": 0.113}
"""Of the Milky Way, A / E(B-V) in the bands of the Legacy Surveys (Dey et al. 2019, AJ 157, 168)."""


def calzetti(wavelength: np.ndarray) -> np.ndarray:
    """A(wavelength) / A_V of Calzetti et al. 2000 (ApJ 533, 682), R_V = 4.05; wavelength in Angstrom, any shape.

    Their fit ends at 1200 and 22000 Angstrom; below and above it is held at its end value.
    """
    x = 1e4 / np.clip(np.asarray(wavelength, float), 1200.0, 22000.0)
    blue = 2.659 * (-2.156 + 1.509 * x - 0.198 * x**2 + 0.011 * x**3) + 4.05
    red = 2.659 * (-1.857 + 1.040 * x) + 4.05
    return np.maximum(np.where(x > 1e4 / 6300.0, blue, red), 0.0) / 4.05


def attenuation(wavelength: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """A(wavelength) / A_V of the Calzetti curve tilted by (wavelength / 5500)^slope (Noll et al. 2009, A&A 507, 1793).

    Parameters
    ----------
    wavelength : (W,) Angstrom, in the rest frame
    slope : (N,) negative is steeper than Calzetti

    Returns
    -------
    (N, W) float64
    """
    return calzetti(wavelength) * np.exp(np.asarray(slope)[:, None] * np.log(np.asarray(wavelength) / 5500.0))


def milky_way(wavelength: np.ndarray) -> np.ndarray:
    """A(wavelength) / E(B-V) in the optical, 3030 to 11000 Angstrom (Cardelli, Clayton & Mathis 1989, ApJ 345, 245).

    R_V = 3.1; wavelength in Angstrom, observed frame. Above 9090 Angstrom their infrared power law.
    """
    x = 1e4 / np.asarray(wavelength, float)
    y = x - 1.82
    a = np.polyval([0.32999, -0.77530, 0.01979, 0.72085, -0.02427, -0.50447, 0.17699, 1.0], y)
    b = np.polyval([-2.09002, 5.30260, -0.62251, -5.38434, 1.07233, 2.28305, 1.41338, 0.0], y)
    optical = 3.1 * a + b
    infrared = (3.1 * 0.574 - 0.527) * x**1.61
    return np.where(x >= 1.1, optical, infrared)
