"""An imaging survey as an object: bands, pixels, point spread function, depth, and how they vary over the sky."""

import zlib
from dataclasses import dataclass

import numpy as np

from skyloom.surveys.mock.profiles import moffat_noise_area


@dataclass(frozen=True)
class Camera:
    """What the renderer has to know about an imaging survey; tuples have one entry a band.

    Attributes
    ----------
    bands : names.
    wavelength : effective wavelengths, Angstrom.
    pixel_scale : arcsec.
    size : pixels along a side of a cutout.
    fwhm : median full width at half maximum of the PSF, arcsec.
    depth : median 5 sigma depth for a point source, AB mag.
    sky : sky surface brightness, AB mag / arcsec^2; sets the photon noise of bright sources.
    moffat_beta : slope of the PSF's wings.
    correlation : correlation of the noise of adjacent pixels, left by resampling.
    """

    bands: tuple[str, ...]
    wavelength: tuple[float, ...]
    pixel_scale: float
    size: int
    fwhm: tuple[float, ...]
    depth: tuple[float, ...]
    sky: tuple[float, ...]
    moffat_beta: float = 3.5
    correlation: float = 0.1


# Medians of the DECam Legacy Survey: Dey et al. 2019 (AJ 157, 168), tables 2 and 3; sky at Cerro Tololo in dark time.
LEGACY = Camera(
    bands=("g", "r", "z"),
    wavelength=(4770.0, 6420.0, 9140.0),
    pixel_scale=0.262,
    size=152,
    fwhm=(1.29, 1.18, 1.11),
    depth=(24.0, 23.4, 22.5),
    sky=(22.0, 21.2, 19.2),
)


def smooth_field(ra: np.ndarray, dec: np.ndarray, name: str, seed: int, scale: float) -> np.ndarray:
    """Gaussian random field on the sphere with mean 0 and variance 1: the same number wherever and whenever asked.

    A sum of plane waves through the sphere, so that it needs no map, has no seams, and tiles need not know each other.

    Parameters
    ----------
    ra, dec : (n,) degrees.
    name, seed : which field.
    scale : typical wavelength, degrees.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    direction = rng.normal(size=(32, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    waves = direction * (360.0 / scale) * rng.uniform(0.5, 1.5, (32, 1))
    phase = rng.uniform(0, 2 * np.pi, 32)

    ra, dec = np.radians(ra), np.radians(dec)
    vector = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    # one wave after the other: the order of the sum, and so its last bit, must not depend on how many points are asked
    total = np.zeros(np.shape(ra))
    for (kx, ky, kz), start in zip(waves, phase, strict=True):
        total += np.cos(kx * vector[0] + ky * vector[1] + kz * vector[2] + start)
    return total * np.sqrt(2 / len(phase))


@dataclass(frozen=True)
class Conditions:
    """Observing conditions at n places, each attribute (n, bands) float64.

    Attributes
    ----------
    fwhm : arcsec.
    psfdepth : inverse variance of a point source's flux, 1 / nanomaggy^2 (as in the Legacy Surveys catalogues).
    sky_sigma : noise of one pixel, nanomaggy.
    zero_point : factor by which the images' fluxes are off.
    """

    fwhm: np.ndarray
    psfdepth: np.ndarray
    sky_sigma: np.ndarray
    zero_point: np.ndarray

    def __getitem__(self, rows) -> "Conditions":
        return Conditions(self.fwhm[rows], self.psfdepth[rows], self.sky_sigma[rows], self.zero_point[rows])


def conditions(ra: np.ndarray, dec: np.ndarray, camera: Camera, seed: int, zero_point_scatter: float) -> Conditions:
    """Seeing and depth (which follows the seeing) over degrees, zero points over the width of a detector."""

    def field(name, scale):
        return np.stack([smooth_field(ra, dec, f"{name}-{band}", seed, scale) for band in camera.bands], axis=1)

    fwhm = camera.fwhm * np.exp(0.09 * field("seeing", 3.0) + 0.05 * field("detector seeing", 0.4))
    depth = camera.depth - 2.5 * np.log10(fwhm / camera.fwhm) + 0.12 * field("exposure", 2.0)
    sigma = 10 ** (0.4 * (22.5 - depth)) / 5
    area = moffat_noise_area(fwhm, camera.moffat_beta) / camera.pixel_scale**2
    return Conditions(fwhm, sigma**-2, sigma / np.sqrt(area), np.exp(zero_point_scatter * field("zero point", 0.3)))
