"""Images: point spread function, depth and noise of the mock cameras beside published values and real images."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np
from scipy.ndimage import uniform_filter

from skyloom.analysis.mock_validation.checks import Ledger
from skyloom.analysis.mock_validation.observations import Observations, Picture
from skyloom.formats import galaxiesml, legacy
from skyloom.mock.instruments.images.camera import HSC
from skyloom.mock.instruments.images.profiles import moffat_noise_area

SAMPLE = 48  # images whose pixels are read
FAR = 4  # pixels, beyond the reach of resampling kernels
DARKEST = 35  # per cent of the pixels, by the mean around them, that count as sky


@dataclass
class Images:
    """Mock images of one camera.

    psfsize (N, bands) arcsec and depth (N, bands; AB, 5 sigma, point source) as the files or the camera say; sigma (n,
    bands): noise of a pixel, nanomaggy, and correlation (n,) of adjacent pixels, as measured on `pixels` (n, bands, S,
    S; nanomaggy)
    """

    bands: tuple[str, ...]
    psfsize: np.ndarray
    depth: np.ndarray
    sigma: np.ndarray
    correlation: np.ndarray
    pixels: np.ndarray
    pixel_scale: float


def read_legacy(paths: Sequence[str | os.PathLike], sample: int = SAMPLE) -> Images:
    """PSF and depth of every Legacy Surveys cutout, pixels of `sample` of them."""
    columns = {"psfsize": [], "psfdepth": []}
    for path in paths:
        with h5py.File(path) as file:
            for name, values in columns.items():
                values.append(file[name][:])
    size, ivar = (np.concatenate(values) for values in columns.values())
    pixels = _some(paths, sample, "images", legacy.read_cutouts)
    depth = 22.5 - 2.5 * np.log10(5 / np.sqrt(ivar))
    return Images(legacy.BANDS, size, depth, pixel_noise(pixels), correlation(pixels), pixels, legacy.PIXEL_SCALE)


def read_hsc(paths: Sequence[str | os.PathLike], sample: int = SAMPLE) -> Images | None:
    """Pixels of `sample` HSC images, depth by the noise of their pixels and the camera's PSF; None without files."""
    if not paths:
        return None
    pixels = _some(paths, sample, "image", galaxiesml.read_images) / galaxiesml.COUNTS_PER_NANOMAGGY
    sigma, fwhm = pixel_noise(pixels), np.array(HSC.fwhm)
    area = moffat_noise_area(fwhm, HSC.moffat_beta) / HSC.pixel_scale**2
    depth = 22.5 - 2.5 * np.log10(5 * sigma * np.sqrt(area))
    return Images(HSC.bands, fwhm[None], depth, sigma, correlation(pixels), pixels, HSC.pixel_scale)


def _some(paths, sample, name, reader) -> np.ndarray:
    share, parts = -(-sample // len(paths)), []
    for path in paths:
        with h5py.File(path) as file:
            total = len(file[name])
        rows = np.unique(np.linspace(0, total - 1, share).astype(int)) if total else []
        parts += [reader(path, rows)] if len(rows) else []
    return np.concatenate(parts)[:sample].astype(float)


def pixel_noise(images: np.ndarray) -> np.ndarray:
    """Noise (n, bands) of a pixel of the sky, from differences of pixels too far apart to be correlated."""
    return _scatter(images, FAR)


def correlation(images: np.ndarray) -> np.ndarray:
    """Correlation (n,) of the noise of adjacent pixels, mean over bands: they differ by less than distant ones."""
    return np.mean(1 - (_scatter(images, 1) / _scatter(images, FAR)) ** 2, axis=1)


def _scatter(images, lag):
    """Robust scatter (n, bands) of differences of pixels `lag` apart, over sqrt 2, where an image is darkest."""
    level = uniform_filter(images, size=(0, 0, 9, 9), mode="nearest")
    dark = level <= np.percentile(level, DARKEST, axis=(2, 3), keepdims=True)
    both = dark[..., lag:] & dark[..., :-lag]
    difference = np.where(both, images[..., lag:] - images[..., :-lag], np.nan)
    middle = np.nanmedian(difference, axis=(2, 3), keepdims=True)
    return 1.4826 * np.nanmedian(np.abs(difference - middle), axis=(2, 3)) / np.sqrt(2)


def check(ledger: Ledger, images: Images, hsc: Images | None) -> None:
    """Median PSF and depth of both cameras, and whether pixels are as noisy as depth and PSF say."""
    for i, band in enumerate(images.bands):
        ledger.add(f"legacy_psf_{band}", np.median(images.psfsize[:, i]), len(images.psfsize))
        ledger.add(f"legacy_depth_{band}", np.median(images.depth[:, i]), len(images.depth))
    area = moffat_noise_area(np.median(images.psfsize, axis=0), 3.5) / images.pixel_scale**2
    implied = 10 ** (0.4 * (22.5 - np.median(images.depth, axis=0))) / 5 / np.sqrt(area)
    ratio = np.median(images.sigma, axis=0) / implied
    ledger.add("legacy_noise", np.median(ratio), len(images.pixels))
    if hsc is not None:
        for i, band in enumerate(hsc.bands):
            ledger.add(f"hsc_psf_{band}", hsc.psfsize[0, i], len(hsc.psfsize))
            ledger.add(f"hsc_depth_{band}", np.median(hsc.depth[:, i]), len(hsc.pixels))


def check_real(ledger: Ledger, images: Images, hsc: Images | None, real_decam: Picture | None, real_hsc) -> None:
    """Against real images: noise of the mock coadd over that of one DECam exposure, and the PSF of both cameras."""
    if real_decam is not None:
        ledger.add("decam_noise", np.median(np.median(images.sigma, axis=0) / real_decam.sigma), 3)
        own = correlation(real_decam.pixels[None])[0]
        ledger.add("decam_correlation", np.median(images.correlation) - own, len(images.pixels))
        ledger.add("decam_psf", np.median(np.median(images.psfsize, axis=0) / real_decam.fwhm), 3)
    if hsc is not None and real_hsc is not None:
        order = [real_hsc.bands.index(band) for band in hsc.bands]
        ledger.add("hsc_real_psf", np.median(hsc.psfsize[0] / real_hsc.fwhm[order]), len(order))
        own = correlation(real_hsc.pixels[None])[0]
        ledger.add("hsc_real_correlation", np.median(hsc.correlation) - own, len(hsc.pixels))
        ledger.add("hsc_real_noise", np.median(np.median(hsc.sigma, axis=0) / real_hsc.sigma[order]), len(order))


def panels(legacy: Images, hsc: Images | None, observed: Observations) -> list[tuple[bool, str, np.ndarray]]:
    """What the figure of images shows, as (real?, camera and bands, colour image): one real field a camera, three mock.

    All of a camera are shown with the same size, noise and stretch: the deeper of real and mock gets noise until it is
    as noisy as the other, and both are shown relative to it.
    """
    found = []
    for name, mock, real, bands in (
        ("DECam g, r, z", legacy, observed.decam, ("g", "r", "z")),
        ("HSC g, r, z", hsc, observed.hsc, ("g", "r", "z")),
    ):
        if mock is None or real is None:
            continue
        own = [mock.bands.index(band) for band in bands]
        other = [real.bands.index(band) for band in bands]
        sigma = np.maximum(np.median(mock.sigma[:, own], axis=0), real.sigma[other])
        size = min(min(real.pixels.shape[1:]), min(mock.pixels.shape[2:])) // 2 * 2
        rng = np.random.default_rng(0)
        candidates = [(True, real.pixels[other], real.sigma[other])]
        # the mock images with most nearly as much light as the real field: brightness must not tell
        light = [_light(pixels[own], size) for pixels in mock.pixels]
        target = _light(real.pixels[other], size)
        for k in np.argsort(np.abs(np.log(np.maximum(light, 1e-3) / max(target, 1e-3))), kind="stable")[:3]:
            candidates.append((False, mock.pixels[k, own], mock.sigma[k, own]))
        for is_real, pixels, noise in candidates:
            extra = np.sqrt(np.maximum(sigma**2 - noise**2, 0))[:, None, None]
            noisy = pixels + extra * rng.standard_normal(pixels.shape)
            found.append((is_real, name, colour_image(noisy, sigma, size)))
    return found


def colour_image(pixels: np.ndarray, sigma: np.ndarray, size: int) -> np.ndarray:
    """(3, size, size) in 0..1: the centre of three bands (blue to red), arcsinh of signal over noise."""
    half = size // 2
    y, x = pixels.shape[1] // 2, pixels.shape[2] // 2
    part = pixels[::-1, max(y - half, 0) : y + half, max(x - half, 0) : x + half]
    signal = part / sigma[::-1, None, None]
    return np.clip(np.arcsinh(0.5 * (signal + 1.5)) / np.arcsinh(60), 0, 1)


def _light(pixels: np.ndarray, size: int) -> float:
    """Nanomaggy in the middle band within the centre of an image."""
    y, x = pixels.shape[1] // 2, pixels.shape[2] // 2
    half = size // 2
    return float(pixels[1, max(y - half, 0) : y + half, max(x - half, 0) : x + half].sum())
