"""What pipelines would report of a galaxy's photometry and shape, with errors."""

import numpy as np

from skyloom.mock.instruments.images.camera import HSC
from skyloom.mock.instruments.images.images import CLOSE
from skyloom.mock.universe.light.dust import EXTINCTION

BANDS = ("G", "R", "Z")
MODEL_ERROR = 0.015  # relative error of catalogue fluxes that their ivar does not know
# 5 sigma depths (AB) of WISE: half of all sources are found at 20.6 and 20.1 (Schlafly et al. 2019, ApJS 240, 30)
WISE_DEPTH = {"W1": 20.9, "W2": 20.3}
SHAPE_ERROR = 0.08  # dex of sizes and Sersic indices
ANGLE_ERROR = 3.0  # degrees, of position angles


def photometry(flux: np.ndarray, radius: np.ndarray, psfdepth: np.ndarray, rng: np.random.Generator):
    """Catalogue fluxes and their ivar, both (n, bands), nanomaggy.

    `psfdepth` (n, bands) is the inverse variance of a point source; one of half-light `radius` (n,), arcsec, gathers
    the sky of a larger area. Errors of the model profiles come on top and are not in ivar, as in real catalogues.
    """
    ivar = psfdepth / (1 + (np.asarray(radius)[:, None] / 0.8) ** 2)
    noise = rng.standard_normal(flux.shape) / np.sqrt(ivar) + MODEL_ERROR * flux * rng.standard_normal(flux.shape)
    return flux + noise, ivar


def fibre_photometry(flux: np.ndarray, psfdepth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Catalogue fluxes (n, bands) within a fibre, nanomaggy: with a point source's noise and the model's error."""
    noise = np.hypot(1 / np.sqrt(psfdepth), MODEL_ERROR * flux)
    return flux + noise * rng.standard_normal(flux.shape)


def infrared(magnitude: np.ndarray, band: str, ebv: np.ndarray, rng: np.random.Generator):
    """Forced photometry in WISE's W1 or W2 of galaxies of AB `magnitude` (n,): flux and ivar (n,), AB nanomaggy."""
    sigma = 10 ** (0.4 * (22.5 - WISE_DEPTH[band])) / 5
    flux = 10 ** (0.4 * (22.5 - magnitude - EXTINCTION[band] * ebv))
    noise = sigma * rng.standard_normal(len(flux)) + 2 * MODEL_ERROR * flux * rng.standard_normal(len(flux))
    return flux + noise, np.full(len(flux), sigma**-2)


def hsc_columns(seen: dict, shape: dict, radius: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """What GalaxiesML has of n galaxies in each of g, r, i, z, y: magnitudes, and shapes as Source Extractor sees them.

    Parameters
    ----------
    seen : flux, flux_ivar, psfsize, each (n, 5), close (n, 3; objects near the target)
    shape : bulge_fraction (n, 3), q_disk, q_bulge, angle (n,), as in Population
    radius : (n,) half-light, arcsec
    """
    columns = {}
    error = 10 ** (SHAPE_ERROR * rng.standard_normal((3, len(radius), 5)))
    turn = np.radians(ANGLE_ERROR) * rng.standard_normal((len(radius), 5))
    for i, band in enumerate("grizy"):
        bulge = shape["bulge_fraction"][:, min(i, 2)]
        ratio = bulge * shape["q_bulge"] + (1 - bulge) * shape["q_disk"]
        flux = np.where(seen["flux"][:, i] > 0, seen["flux"][:, i], np.nan)
        magnitude = 22.5 - 2.5 * np.log10(flux)
        seeing = seen["psfsize"][:, i] / 2.3548
        size = radius * error[0, :, i]
        # second moments add: those of the profile along each axis, and the seeing's
        major, minor = (np.hypot(size * axis / 1.1774, seeing) / HSC.pixel_scale for axis in (1.0, ratio))
        columns |= {
            f"{band}_cmodel_mag": magnitude,
            f"{band}_cmodel_magsigma": 2.5 / np.log(10) / (flux * np.sqrt(seen["flux_ivar"][:, i])),
            f"{band}_sersic_index": (1 + 3 * bulge) * error[1, :, i],
            f"{band}_half_light_radius": 1.1774 * np.sqrt(major * minor),
            f"{band}_ellipticity": 1 - minor / major,
            f"{band}_major_axis": major,
            f"{band}_minor_axis": minor,
            f"{band}_petro_rad": 2.2 * 1.1774 * major * error[2, :, i],
            f"{band}_isophotal_area": np.pi * 9 * major * minor,
            f"{band}_pos_angle": (np.degrees(shape["angle"] + turn[:, i]) + 90) % 180 - 90,
            **{f"{band}_central_image_pop_{pixels}px_rad": seen["close"][:, j] for j, pixels in enumerate(CLOSE)},
            # of a Gaussian of these axes
            f"{band}_peak_surface_brightness": magnitude
            + 2.5 * np.log10(2 * np.pi * major * minor * HSC.pixel_scale**2),
        }
    return columns
