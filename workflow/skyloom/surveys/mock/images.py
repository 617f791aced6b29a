"""Survey cutouts of mock galaxies: bulge, disc, arms and clumps, what lies beside them, the sky, and what goes wrong.

Images are rendered in batches in Fourier space (see profiles.py and fourier.py); GalSim is the oracle in the tests.
Units are nanomaggy (AB zero point 22.5), arcsec and rad throughout.
"""

import numpy as np
from scipy.special import j1
from threadpoolctl import threadpool_limits

from skyloom.errors import BadInput
from skyloom.surveys.mock.artefacts import add_artefacts
from skyloom.surveys.mock.camera import LEGACY, Camera, Conditions, conditions
from skyloom.surveys.mock.fourier import Plane, k_max, plane
from skyloom.surveys.mock.neighbours import add_neighbours
from skyloom.surveys.mock.profiles import sersic
from skyloom.surveys.mock.structure import DISC_SCALE, Knots, draw_knots

CHUNK = 8  # galaxies a batch: the working set stays in the processor's cache
FIBRE_RADIUS = 0.75  # arcsec
FIBRE_SEEING = 1.0 / 2.3548  # sigma of the Gaussian seeing that fibre fluxes are quoted for, arcsec
PLANE_SIZES = (160, 192, 256, 320, 384, 512, 768, 1024)
SHAPE = ("r_disk", "r_bulge", "q_disk", "q_bulge", "angle")


def render(galaxies: dict, flux: np.ndarray, rng: np.random.Generator, config: dict, camera: Camera = LEGACY):
    """Cutouts as a survey would deliver them, one for each galaxy, with everything that is known about them.

    Parameters
    ----------
    galaxies : (n,) arrays: ra, dec (degrees), r_disk, r_bulge (half-light radii along the major axis, arcsec), q_disk,
        q_bulge (axis ratios), angle (rad, from north towards east), clumpiness (0 to 1), and bulge_fraction (n, bands).
    flux : (n, bands) integrated flux, nanomaggy.
    rng : everything that differs from galaxy to galaxy comes from here; same state, same bytes.
    config : `seed` (of what varies smoothly over the sky), and optionally `neighbours` (their density, 1 is the real
        sky's), `artefact_rate` (1 is about a real survey's), `zero_point_scatter` (default 0.02).

    Returns
    -------
    images : (n, bands, size, size) float32, nanomaggy a pixel. Pixels without data are 0.
    info : dict of arrays: psfsize (n, bands; FWHM, arcsec), psfdepth (n, bands; 1 / nanomaggy^2), sky_sigma (n, bands),
        zero_point (n, bands), fibreflux (n, bands; nanomaggy in a 1.5" aperture under 1" Gaussian seeing, as in the
        Legacy Surveys catalogues), fibre_fraction (n,; in the band nearest to 6420 Angstrom), artefacts (n, int32; bits
        of artefacts.FLAGS), neighbours (n, int32; how many objects were added).

    Raises
    ------
    BadInput : a missing field, a shape that does not fit, or a value that is not finite.
    """
    galaxies, flux = _checked(galaxies, flux, camera)
    sky = conditions(
        galaxies["ra"], galaxies["dec"], camera, config.get("seed", 0), config.get("zero_point_scatter", 0.02)
    )
    knots = draw_knots(galaxies, camera.wavelength, rng)
    offset = rng.uniform(-0.5, 0.5, (len(flux), 2)) * camera.pixel_scale

    images, fibre_flux = draw_profiles(galaxies, flux, sky.fwhm, camera, knots, offset)
    crowd = add_neighbours(images, flux, sky, rng, config.get("neighbours", 1.0), camera)
    for start in range(0, len(images), CHUNK):
        rows = slice(start, start + CHUNK)
        _expose(images[rows], sky[rows], camera, rng)
    artefacts = add_artefacts(images, crowd, sky, rng, config.get("artefact_rate", 1.0), camera)

    reference = int(np.argmin(np.abs(np.subtract(camera.wavelength, 6420.0))))
    return images, {
        "psfsize": sky.fwhm,
        "psfdepth": sky.psfdepth,
        "sky_sigma": sky.sky_sigma,
        "zero_point": sky.zero_point,
        "fibreflux": fibre_flux,
        "fibre_fraction": fibre_flux[:, reference] / flux[:, reference],
        "artefacts": artefacts,
        "neighbours": np.bincount(crowd.cutout, minlength=len(flux)).astype(np.int32),
    }


def draw_profiles(
    galaxies: dict,
    flux: np.ndarray,
    fwhm: np.ndarray,
    camera: Camera = LEGACY,
    knots: Knots | None = None,
    offset: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Noiseless images of exponential disc + de Vaucouleurs bulge under a Moffat PSF, integrated over the pixels.

    Parameters
    ----------
    galaxies, flux : as in `render` (clumpiness and positions on the sky are not used).
    fwhm : (n, bands) PSF, arcsec.
    knots : arms and clumps that carry part of the disc's light; None for smooth discs.
    offset : (n, 2) of the galaxy from the cutout's centre, x then y, arcsec; None for 0.

    Returns
    -------
    images : (n, bands, size, size) float32.
    fibre_flux : (n, bands) float64, nanomaggy, see `render`.
    """
    count, bands = flux.shape
    images = np.empty((count, bands, camera.size, camera.size), np.float32)
    fibre_flux = np.empty((count, bands))
    offset = np.zeros((count, 2)) if offset is None else offset
    cut = k_max(min(camera.fwhm), camera.moffat_beta)
    size = _plane_size(galaxies, camera)
    # One thread: the sums inside a matrix product must not depend on how many cores there are.
    with threadpool_limits(1, user_api="blas"):
        for value in np.unique(size):
            grid = plane(int(value), camera.pixel_scale, cut)
            same = np.flatnonzero(size == value)
            batch = max(1, CHUNK * 192**2 // int(value) ** 2)
            for start in range(0, len(same), batch):
                rows = same[start : start + batch]
                parts = _components({key: galaxies[key][rows] for key in SHAPE}, knots and knots[rows], grid)
                share = _shares(galaxies["bulge_fraction"][rows], knots and knots.fraction[rows])
                fibre_flux[rows] = flux[rows] * _fibre_fraction(parts, share, grid)
                images[rows] = _convolve(parts, share * flux[rows, :, None], fwhm[rows], offset[rows], grid, camera)
    return images, fibre_flux


def _checked(galaxies: dict, flux: np.ndarray, camera: Camera) -> tuple[dict, np.ndarray]:
    flux = np.asarray(flux, float)
    count, bands = len(flux), len(camera.bands)
    shapes = dict.fromkeys(("ra", "dec", *SHAPE, "clumpiness"), (count,)) | {"bulge_fraction": (count, bands)}
    if flux.shape != (count, bands):
        raise BadInput(f"flux: expected shape (n, {bands}) for bands {', '.join(camera.bands)}, got {flux.shape}")
    checked = {}
    for name, shape in shapes.items():
        if name not in galaxies:
            raise BadInput(f"galaxies: no field {name}, expected {', '.join(shapes)}")
        checked[name] = np.asarray(galaxies[name], float)
        if checked[name].shape != shape or not np.isfinite(checked[name]).all():
            raise BadInput(f"galaxies: {name} must be finite with shape {shape}, got shape {checked[name].shape}")
    return checked, flux


def _plane_size(galaxies: dict, camera: Camera) -> np.ndarray:
    """Pixels of the periodic plane for each galaxy, so that the next period's copy is faint inside the cutout.

    Six and a half scale lengths leave 0.15 % of a disc's central brightness. The largest plane serves what is larger.
    """
    disc = 6.5 * DISC_SCALE * galaxies["r_disk"]
    bulge = 3.5 * galaxies["r_bulge"] * (galaxies["bulge_fraction"].max(axis=1) > 0)
    needed = camera.size / 2 + np.maximum(disc, bulge) / camera.pixel_scale
    sizes = np.array([s for s in PLANE_SIZES if s >= camera.size] or [camera.size])
    return sizes[np.minimum(np.searchsorted(sizes, needed), len(sizes) - 1)]


def _components(shape: dict, knots: Knots | None, grid: Plane) -> list[np.ndarray]:
    """Transforms of bulge, disc and (complex) knots, each of unit flux: (n, rows, columns)."""
    parts = [
        grid.transform(sersic(4.0), shape["r_bulge"], shape["q_bulge"], shape["angle"]),
        grid.transform(sersic(1.0), shape["r_disk"], shape["q_disk"], shape["angle"]),
    ]
    if knots is not None:
        # A Gaussian and a shift are both products of a function of kx and one of ky, so that a sum over knots is a
        # matrix product.
        rows, columns = grid.knots(knots.x, knots.y, knots.sigma)
        parts.append(np.matmul(rows * knots.weight.astype(np.float32)[:, None, :], columns))
    return parts


def _shares(bulge_fraction: np.ndarray, knot_fraction: np.ndarray | None) -> np.ndarray:
    """Share of the light in bulge, disc (and knots): (n, bands, 2 or 3), sums to 1."""
    disc = 1 - bulge_fraction
    if knot_fraction is None:
        return np.stack([bulge_fraction, disc], axis=-1)
    return np.stack([bulge_fraction, disc * (1 - knot_fraction), disc * knot_fraction], axis=-1)


def _convolve(parts, amount, fwhm, offset, grid: Plane, camera: Camera) -> np.ndarray:
    """Images (n, bands, size, size) of the components times `amount` (n, bands, parts), under each band's PSF."""
    centre = (camera.size - 1) / 2 * camera.pixel_scale
    rows, columns = grid.phases(centre + offset[:, 0], centre + offset[:, 1])
    phase = rows * columns
    amount = amount.astype(np.float32)[..., None, None]
    total = np.empty((len(amount), amount.shape[1], *phase.shape[1:]), np.complex64)
    for band in range(amount.shape[1]):
        light = amount[:, band, 0] * parts[0]
        light += amount[:, band, 1] * parts[1]
        if len(parts) > 2:
            light = light + amount[:, band, 2] * parts[2]
        light *= grid.psf(fwhm[:, band], camera.moffat_beta)
        np.multiply(light, phase, out=total[:, band])
    return grid.image(total, camera.size)


def _fibre_fraction(parts, share, grid: Plane) -> np.ndarray:
    """Share of the light (n, bands) within a centred 1.5 arcsec aperture under 1 arcsec Gaussian seeing."""
    aperture = grid.weights() * _fibre_transform(grid.ky, grid.kx)
    caught = np.stack([np.einsum("nrc,rc->n", part.real, aperture) for part in parts], axis=-1)
    return np.einsum("nbp,np->nb", share, caught)


def _fibre_transform(ky: np.ndarray, kx: np.ndarray) -> np.ndarray:
    """Transform (rows, columns) of the fibre's aperture, arcsec^2, times that of the seeing."""
    k = np.hypot(ky[:, None], kx).astype(float)
    argument = np.maximum(k * FIBRE_RADIUS, 1e-9)
    return 2 * np.pi * FIBRE_RADIUS**2 * j1(argument) / argument * np.exp(-0.5 * (k * FIBRE_SEEING) ** 2)


def _expose(images: np.ndarray, sky: Conditions, camera: Camera, rng: np.random.Generator) -> None:
    """Add what the sky and the detector do to noiseless `images` (n, bands, size, size), in place."""
    sky_flux = 10 ** (0.4 * (22.5 - np.asarray(camera.sky))) * camera.pixel_scale**2
    sigma = sky.sky_sigma.astype(np.float32)[..., None, None]
    # photons of the source on top of those of the sky
    spread = images * (1 / sky_flux).astype(np.float32)[:, None, None]
    spread += 1
    np.sqrt(np.maximum(spread, 0, out=spread), out=spread)
    spread *= sigma
    images *= sky.zero_point.astype(np.float32)[..., None, None]
    spread *= _correlated_noise(images.shape, camera.correlation, rng)
    images += spread
    # the sky level is known to a few hundredths of a pixel's noise
    images += sigma * 0.03 * rng.standard_normal(sigma.shape, np.float32)


def _correlated_noise(shape: tuple[int, ...], correlation: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of variance 1 in which adjacent pixels have the given correlation (at most 0.7)."""
    *stack, height, width = shape
    noise = rng.standard_normal((*stack, height + 2, width + 2), np.float32)
    # weights (a, 1, a) correlate neighbours by 2 a / (1 + 2 a^2)
    a = 0.5 * correlation if correlation < 1e-6 else (1 - np.sqrt(1 - 2 * correlation**2)) / (2 * correlation)
    a = np.float32(a)
    rows = noise[..., :-2, :] + noise[..., 2:, :]
    rows *= a
    rows += noise[..., 1:-1, :]
    both = rows[..., :-2] + rows[..., 2:]
    both *= a
    both += rows[..., 1:-1]
    both *= 1 / (1 + 2 * a**2)
    return both
