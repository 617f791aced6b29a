"""An imaging survey as an object: bands, pixels, point spread function, depth, and how they vary over the sky."""

import math
from dataclasses import dataclass, replace

import numpy as np

from skyloom.formats import galaxiesml, legacy
from skyloom.mock.instruments.images.profiles import moffat_noise_area
from skyloom.mock.universe.sky.fields import smooth_field


@dataclass(frozen=True)
class Camera:
    """What the renderer has to know about an imaging survey; tuples have one entry a band.

    Attributes
    ----------
    name : of the survey; what varies over the sky does so for each survey in its own way.
    bands : names.
    wavelength : effective wavelengths, Angstrom.
    pixel_scale : arcsec.
    size : pixels along a side of a cutout.
    fwhm : median full width at half maximum of the PSF, arcsec.
    depth : median 5 sigma depth for a point source, AB mag.
    sky : sky surface brightness, AB mag / arcsec^2; sets the photon noise of bright sources.
    moffat_beta : slope of the PSF's wings.
    ellipticity : of the PSF, rms over the sky of one component of (a^2 - b^2) / (a^2 + b^2), taken as a Gaussian.
    correlation : correlation of the noise of adjacent pixels, left by resampling.
    saturation : AB mag at which a point source saturates in a single exposure.
    bleed : axis of an image along which charge runs from a saturated star, 0 (north-south) or 1 (east-west).
    interpolated : the pipeline fills pixels that it lost; otherwise they are 0.
    calibration : relative error of zero points, over the width of a detector.
    averaged : noise of a pixel, in units of what depth and pixel area say: below 1 if resampling has averaged it.
    """

    name: str
    bands: tuple[str, ...]
    wavelength: tuple[float, ...]
    pixel_scale: float
    size: int
    fwhm: tuple[float, ...]
    depth: tuple[float, ...]
    sky: tuple[float, ...]
    moffat_beta: float = 3.5
    ellipticity: float = 0.02
    correlation: float = 0.1
    saturation: float = 15.0
    bleed: int = 1
    interpolated: bool = False
    calibration: float = 0.005
    averaged: float = 1.0

    def on(self, depth: float, seeing: float) -> "Camera":
        """The same on nights that are deeper by `depth` mag and whose point spread functions are `seeing` as wide: what
        is smeared over more pixels is lost in more of their noise."""
        width = tuple(fwhm * seeing for fwhm in self.fwhm)
        reached = tuple(limit + depth - 2.5 * math.log10(seeing) for limit in self.depth)
        return replace(self, fwhm=width, depth=reached)

    def resampled(self, like: "Camera") -> "Camera":
        """The same survey, of which it keeps all but pixels, in the bands and on the pixel grid of another.

        The light and the noise of a new pixel are those of the old ones it covers, each by the part that it covers; the
        new pixels must not be smaller. ValueError if they are, or if a band is missing.
        """
        place = [self.bands.index(band) for band in like.bands]
        picked = {
            name: tuple(getattr(self, name)[i] for i in place)
            for name in ("bands", "wavelength", "fwhm", "depth", "sky")
        }
        averaged, correlation = _resampled_noise(self.correlation, like.pixel_scale / self.pixel_scale)
        noise = {"averaged": self.averaged * averaged, "correlation": correlation}
        return replace(self, pixel_scale=like.pixel_scale, size=like.size, **picked, **noise)


def neighbour_weight(correlation: float) -> float:
    """The weight a with which sums (a, 1, a) of white noise correlate adjacent pixels by `correlation` (at most 0.7),
    2 a / (1 + 2 a^2)."""
    if correlation < 1e-6:
        return 0.5 * correlation
    return (1 - math.sqrt(1 - 2 * correlation**2)) / (2 * correlation)


def _resampled_noise(correlation: float, ratio: float) -> tuple[float, float]:
    """What becomes of noise whose adjacent pixels have `correlation`, on pixels `ratio` (1 or more) times as wide.

    Returns the noise of a pixel, in units of what it were had the old pixels been uncorrelated and none cut in two, and
    the correlation of adjacent ones: means over where new pixels lie on the old ones. Noise in old pixels is a sum of
    steps one pixel wide, and a new pixel the integral over `ratio` of them; the covariance of two such at a distance d
    along an axis is that of two triangles, of half widths 1 and `ratio`, folded with each other.
    """
    if ratio < 1:
        raise ValueError(f"pixels {ratio} times as wide, expected 1 or more")
    steps, weights = np.arange(-1, 2), np.array([1, -2, 1])

    def folded(distance):
        places = np.abs(distance + ratio * steps[:, None] + steps) ** 3 / 12
        return weights @ places @ weights

    a = neighbour_weight(correlation)
    lags = {0: 1.0, 1: correlation, 2: a**2 / (1 + 2 * a**2)}
    covariance = [sum(lags[abs(j)] * folded(d - j) for j in range(-2, 3)) for d in (0.0, ratio)]
    return float(covariance[0] / ratio), float(covariance[1] / covariance[0])


# Medians of the DECam Legacy Survey: Dey et al. 2019 (AJ 157, 168), tables 2 and 3; sky at Cerro Tololo in dark time.
# Their depths of 24.0, 23.4, 22.5 are for small galaxies: point sources reach .3 to .4 mag deeper. Zero points differ
# from Gaia's by 4.7, 3.7, 4.4 mmag in g, r, z, over 27 arcmin (Zhou et al. 2023, RNAAS 7, 105).
LEGACY = Camera(
    name="legacy",
    bands=("g", "r", "z"),
    wavelength=(4770.0, 6420.0, 9140.0),
    pixel_scale=legacy.PIXEL_SCALE,
    size=152,
    fwhm=(1.29, 1.18, 1.11),
    depth=(24.3, 23.75, 22.9),
    sky=(22.0, 21.2, 19.2),
)

# Medians of the Wide layer of the Hyper Suprime-Cam survey: Aihara et al. 2019 (PASJ 71, 114), table 2; exposures
# of 150-200 s saturate at i = 18 (Aihara et al. 2018, PASJ 70, S4); dark sky of Mauna Kea. Of zero
# points 2 %: an upper bound, as stars of i = 19 have 1 % in all (Huang et al. 2018, PASJ 70, S6).
HSC = Camera(
    name="hsc",
    bands=("g", "r", "i", "z", "y"),
    wavelength=(4810.0, 6230.0, 7710.0, 8910.0, 9760.0),
    pixel_scale=galaxiesml.PIXEL_SCALE,
    size=64,
    fwhm=(0.77, 0.76, 0.58, 0.68, 0.68),
    depth=(26.6, 26.2, 26.2, 25.3, 24.5),
    sky=(22.0, 21.2, 20.5, 19.6, 18.3),
    moffat_beta=2.5,  # this and the correlation: real images in COSMOS, Melchior et al. 2018 (A&C 24, 129)
    correlation=0.12,
    saturation=18.0,
    bleed=0,
    interpolated=True,
    calibration=0.02,
)
HSC_LARGE = replace(HSC, size=127)
HSC_ON_LEGACY = HSC.resampled(LEGACY)


def in_bands(values: np.ndarray, nodes: tuple[float, ...], camera: Camera) -> np.ndarray:
    """`values` (n, nodes) known at the wavelengths `nodes` (ascending, Angstrom), in the camera's bands: (n, bands).

    Linear in the logarithm of the wavelength, constant outside the nodes.
    """
    position = np.interp(np.log(camera.wavelength), np.log(nodes), np.arange(len(nodes), dtype=float))
    lower = np.minimum(position.astype(int), len(nodes) - 2)
    upper_share = position - lower
    return values[:, lower] * (1 - upper_share) + values[:, lower + 1] * upper_share


@dataclass(frozen=True)
class Conditions:
    """Observing conditions at n places, each attribute but one (n, bands) float64.

    Attributes
    ----------
    fwhm : arcsec.
    anisotropy : (n, 2) second moments of the PSF, (<xx> - <yy>) / 2 and <xy>, arcsec^2; the same in all bands.
    psfdepth : inverse variance of a point source's flux, 1 / nanomaggy^2 (as in the Legacy Surveys catalogues).
    sky_sigma : noise of one pixel, nanomaggy.
    zero_point : factor by which the images' fluxes are off.
    """

    fwhm: np.ndarray
    anisotropy: np.ndarray
    psfdepth: np.ndarray
    sky_sigma: np.ndarray
    zero_point: np.ndarray

    def __getitem__(self, rows) -> "Conditions":
        return Conditions(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def conditions(ra: np.ndarray, dec: np.ndarray, camera: Camera, seed: int, calibration: float = 1.0) -> Conditions:
    """Seeing and depth (which follows the seeing) over degrees, zero points over the width of a detector, with errors
    `calibration` times the camera's own."""

    def field(name, scale, parts=camera.bands):
        return np.stack([smooth_field(ra, dec, f"{camera.name}-{name}-{part}", seed, scale) for part in parts], axis=1)

    fwhm = camera.fwhm * np.exp(0.09 * field("seeing", 3.0) + 0.05 * field("detector seeing", 0.4))
    depth = camera.depth - 2.5 * np.log10(fwhm / camera.fwhm) + 0.12 * field("exposure", 2.0)
    sigma = 10 ** (0.4 * (22.5 - depth)) / 5
    area = moffat_noise_area(fwhm, camera.moffat_beta) / camera.pixel_scale**2
    return Conditions(
        fwhm=fwhm,
        anisotropy=camera.ellipticity
        * (np.median(camera.fwhm) / 2.3548) ** 2
        * field("optics", 0.7, ("plus", "cross")),
        psfdepth=sigma**-2,
        sky_sigma=camera.averaged * sigma / np.sqrt(area),
        zero_point=np.exp(calibration * camera.calibration * field("zero point", 0.3)),
    )
