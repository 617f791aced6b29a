"""Sampled Fourier planes: where transforms are evaluated, and how they become pixels.

A plane holds only the wavenumbers below `k_max`, beyond which the PSF has removed everything: rows are ky = 0..m,
-m..-1 and columns kx = 0..m (the image is real), in rad / arcsec.
"""

import functools
from dataclasses import dataclass

import numpy as np
import scipy.fft

from skyloom.surveys.mock.profiles import RadialTable, moffat, moffat_scale, quadratic_form


@dataclass(frozen=True)
class Plane:
    """Wavenumbers of images with `size` pixels a side, periodic outside.

    Attributes
    ----------
    ky : (2 m + 1,) float32, rad / arcsec.
    kx : (m + 1,) float32, rad / arcsec.
    pixel : (m + 1, m + 1) float32, transform of the square pixel over the quadrant of positive wavenumbers.
    """

    size: int
    pixel_scale: float
    ky: np.ndarray
    kx: np.ndarray
    pixel: np.ndarray

    def transform(self, table: RadialTable, radius, axis_ratio, angle) -> np.ndarray:
        """Elliptical profiles with scale `radius` (n,), arcsec: (n, rows, columns) float32."""
        xx, xy, yy = (c.astype(np.float32)[:, None, None] for c in quadratic_form(radius, axis_ratio, angle))
        kx, ky = self.kx, self.ky[:, None]
        # Horner's scheme: one full-size product instead of three
        u = (2 * xy * ky + xx * kx) * kx
        u += yy * (ky * ky)
        return table(np.maximum(u, 0, out=u))

    def psf(self, fwhm: np.ndarray, beta: float) -> np.ndarray:
        """Moffat PSF with the pixel, (n, rows, columns) float32; a quadrant is computed and mirrored."""
        scale = moffat_scale(fwhm, beta).astype(np.float32)[:, None, None] ** 2
        k2 = self.kx * self.kx
        quadrant = moffat(beta)(scale * (k2[:, None] + k2)) * self.pixel
        return np.concatenate([quadrant, quadrant[:, :0:-1]], axis=1)

    def phases(self, dx: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Factors ((n, rows, 1), (n, 1, columns)) complex64 that move a profile by `dx`, `dy` (n,), arcsec."""
        rows = np.exp(-1j * self.ky * dy.astype(np.float32)[:, None])
        columns = np.exp(-1j * self.kx * dx.astype(np.float32)[:, None])
        return rows[:, :, None].astype(np.complex64), columns[:, None, :].astype(np.complex64)

    def knots(self, x: np.ndarray, y: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Round Gaussians at `x`, `y` with `sigma` (n, k; arcsec) as factors (n, rows, k) and (n, k, columns)."""
        x, y, variance = (v.astype(np.float32) for v in (x, y, sigma**2))
        rows = np.exp(-0.5 * self.ky[:, None] ** 2 * variance[:, None, :] - 1j * self.ky[:, None] * y[:, None, :])
        columns = np.exp(-0.5 * self.kx**2 * variance[..., None] - 1j * self.kx * x[..., None])
        return rows.astype(np.complex64), columns.astype(np.complex64)

    def weights(self) -> np.ndarray:
        """Weights (columns,), 1 / arcsec^2, with which a sum over the plane's real part is the inverse transform at 0.

        All columns but the first stand for two wavenumbers, kx and -kx.
        """
        return np.where(self.kx > 0, 2.0, 1.0) / (self.size * self.pixel_scale) ** 2

    def image(self, transform: np.ndarray, size: int) -> np.ndarray:
        """Pixels (..., size, size) float32 from transforms (..., rows, columns); position 0 is pixel (0, 0)."""
        m = len(self.kx) - 1
        padded = np.zeros((*transform.shape[:-2], self.size, m + 1), np.complex64)
        padded[..., : m + 1, :] = transform[..., : m + 1, :]
        padded[..., -m:, :] = transform[..., m + 1 :, :]
        rows = scipy.fft.ifft(padded, axis=-2, overwrite_x=True)[..., :size, :]
        return scipy.fft.irfft(rows, n=self.size, axis=-1)[..., :size]


@functools.lru_cache(64)
def plane(size: int, pixel_scale: float, k_max: float) -> Plane:
    """The plane for periodic images of `size` pixels of `pixel_scale` arcsec, without wavenumbers above `k_max`."""
    step = 2 * np.pi / (size * pixel_scale)
    m = min(int(np.ceil(k_max / step)), (size - 1) // 2)
    kx = step * np.arange(m + 1)
    ky = np.concatenate([kx, -kx[:0:-1]])
    sinc = np.sinc(kx * pixel_scale / (2 * np.pi))
    return Plane(
        size, pixel_scale, ky.astype(np.float32), kx.astype(np.float32), np.outer(sinc, sinc).astype(np.float32)
    )


def k_max(fwhm: float, beta: float, tolerance: float = 1e-4) -> float:
    """Wavenumber, rad / arcsec, beyond which the transform of the sharpest PSF stays below `tolerance`."""
    k = np.linspace(0, 100, 4001, dtype=np.float32)
    above = moffat(beta)((k * moffat_scale(fwhm, beta)) ** 2) > tolerance
    return float(k[above][-1])
