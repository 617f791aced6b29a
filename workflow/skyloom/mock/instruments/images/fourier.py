"""Sampled Fourier planes: where transforms are evaluated, and how they become pixels.

A plane holds only the wavenumbers below `k_max`, beyond which the PSF has removed everything: rows are ky = 0..m,
-m..-1 and columns kx = 0..m (the image is real), in rad / arcsec.
"""

import functools
from dataclasses import dataclass

import numpy as np
import scipy.fft

from skyloom.mock.instruments.images.profiles import RadialTable, moffat, moffat_scale, quadratic_form


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
        """Moffat PSF with the pixel, (*fwhm.shape, rows, columns) float32; a quadrant is computed and mirrored."""
        scale = moffat_scale(fwhm, beta).astype(np.float32)[..., None, None] ** 2
        k2 = self.kx * self.kx
        quadrant = moffat(beta)(scale * (k2[:, None] + k2)) * self.pixel
        return np.concatenate([quadrant, quadrant[..., :0:-1, :]], axis=-2)

    def places(self, dx: np.ndarray, dy: np.ndarray, anisotropy: np.ndarray) -> np.ndarray:
        """Factors (n, rows, columns) complex64 that move a profile by `dx`, `dy` (n,), arcsec, and stretch it.

        `anisotropy` (n, 2), arcsec^2, adds to the second moments: the first to <xx> and, subtracted, to <yy>, the
        second to <xy>. A round PSF becomes elliptical, to first order in the ellipticity.
        """
        plus, cross = anisotropy.astype(np.float32).T[..., None]
        rows = self._wave(dy, self.ky) * np.exp(0.5 * plus * self.ky**2)
        columns = self._wave(dx, self.kx) * np.exp(-0.5 * plus * self.kx**2)
        placed = rows[:, :, None] * columns[:, None, :]
        placed *= np.exp((-cross * self.ky)[:, :, None] * self.kx)
        return placed

    def moved(self, dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
        """Factors (n, rows, columns) complex64 that move a profile by `dx`, `dy` (n,), arcsec."""
        return self._wave(dy, self.ky)[:, :, None] * self._wave(dx, self.kx)[:, None, :]

    def knots(self, x: np.ndarray, y: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Round Gaussians at `x`, `y` with `sigma` (n, k; arcsec) as factors (n, rows, k) and (n, k, columns)."""
        m = len(self.kx)
        fading = np.exp(-0.5 * self.kx**2 * np.square(sigma, dtype=np.float32)[..., None])
        columns = self._wave(x, self.kx) * fading
        rows = self._wave(y, self.kx) * fading
        # negative wavenumbers are the conjugates of positive ones
        return np.concatenate([rows, rows[..., m - 1 : 0 : -1].conj()], axis=-1).swapaxes(1, 2), columns

    @staticmethod
    def _wave(shift: np.ndarray, k: np.ndarray) -> np.ndarray:
        """exp(-i k shift), (..., len(k)) complex64; sine and cosine are much faster than the complex exponential."""
        argument = shift.astype(np.float32)[..., None] * k
        wave = np.empty(argument.shape, np.complex64)
        np.cos(argument, out=wave.real)
        np.sin(argument, out=wave.imag)
        np.negative(wave.imag, out=wave.imag)
        return wave

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
