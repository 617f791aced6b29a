"""What the reduction of a spectrum leaves in it: imperfect sky subtraction and flux calibration.

The sky that is subtracted from a fibre is not the sky it saw: its brightness differs by half a per cent (the flat field
of the fibres), and its lines are off by a hundredth of an Angstrom, both changing slowly along the spectrum. Bright
airglow lines leave wiggles of about 1 % of their light, faint continua an offset from arm to arm. The levels give pulls
on bright airglow lines the correlations between pixels that seven released spectra of 1000 s and more have there.

DESI's pipeline raises the variance of its sky model until the sky fibres have chi2 = 1 at every wavelength
(desispec.sky, add_variance; Guy et al. 2023, AJ 165, 144). So does this one: pulls keep unit variance on airglow lines,
in released spectra 1.0 to 1.1, and differ from noise by their correlation.
"""

import functools

import numpy as np

from skyloom.formats.desi import ARMS, STEP

GAIN = 0.004  # rms of the relative error of the sky's brightness
SHIFT = 0.008  # Angstrom, rms of the error of its wavelengths
CALIBRATION = 0.015  # rms of the relative error of the flux calibration (Guy et al. 2023, section 4.10: 1 to 3 %)
KNOTS = 6  # independent errors along an arm


def sky_residual(n: int, sky: np.ndarray, arm: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sky left in n spectra of an arm, (n, n_arm) f4 in the unit of `sky` (n_arm,), and its mean variance (n_arm,)."""
    slope = np.gradient(sky, STEP)
    errors = rng.standard_normal((n, 2 * KNOTS), dtype="f4")
    patterns = np.concatenate([GAIN * sky * _bumps(arm), SHIFT * slope * _bumps(arm)]).astype("f4")
    return errors @ patterns, np.square(patterns).sum(axis=0)


def calibration_error(n: int, arm: str, rng: np.random.Generator) -> np.ndarray:
    """Factor (n, n_arm) f4 by which the calibrated flux of an arm is wrong."""
    errors = CALIBRATION * rng.standard_normal((n, KNOTS), dtype="f4")
    return 1 + errors @ _bumps(arm).astype("f4")


@functools.cache
def _bumps(arm):
    """Smooth patterns (KNOTS, n_arm) whose squares sum to 1 at every pixel."""
    npix = ARMS[arm][1]
    distance = np.linspace(0, KNOTS - 1, npix) - np.arange(KNOTS)[:, None]
    bumps = np.exp(-np.square(distance / 0.9))
    return bumps / np.sqrt(np.square(bumps).sum(axis=0))
