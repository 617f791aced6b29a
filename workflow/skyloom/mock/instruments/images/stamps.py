"""Objects beside the targets, painted on small stamps that are added to the cutouts."""

import dataclasses
import math

import numpy as np

from skyloom.mock.instruments.images.camera import Camera, Conditions, in_bands
from skyloom.mock.instruments.images.fourier import k_max, plane
from skyloom.mock.instruments.images.neighbours import BULGE, DISC, KNOT, NODES, STAR, Objects
from skyloom.mock.instruments.images.profiles import moffat_scale, sersic
from skyloom.mock.instruments.images.structure import DISC_SCALE

FAINT = 2.0  # signal-to-noise, as a point source, below which an object is left out
VISIBLE = 0.3  # surface brightness, in units of a pixel's noise, at which a stamp may end
STAMP_SIZES = np.array([16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384])
CHUNK = 64  # stamps a batch
PROFILES = {DISC: 1.0, BULGE: 4.0, KNOT: 0.5}  # Sersic indices


def project(objects: Objects, offset: np.ndarray, sky: Conditions, camera: Camera) -> Objects:
    """What a camera sees of `objects`: those above its noise with light on a cutout, and flux (k, bands) in its bands.

    `offset` (n, 2) of the targets from the middle of their cutouts, x then y, arcsec; x and y are from there in the
    result.
    """
    flux = 10 ** in_bands(np.log10(np.maximum(objects.flux, 1e-30)), NODES, camera)
    reach = 0.5 * camera.size * camera.pixel_scale
    shifted = dataclasses.replace(
        objects, flux=flux, x=objects.x + offset[objects.cutout, 0], y=objects.y + offset[objects.cutout, 1]
    )
    bright = (flux * np.sqrt(sky.psfdepth[objects.cutout]) > FAINT).any(axis=1)
    near = np.maximum(np.abs(shifted.x), np.abs(shifted.y)) < reach + 0.5 * camera.pixel_scale * extent(
        shifted, sky, camera
    )
    return shifted[np.flatnonzero(bright & near)]


def paint(images: np.ndarray, objects: Objects, sky: Conditions, camera: Camera) -> None:
    """Add `objects` to `images` in place, each on a stamp that ends where its light sinks into the noise."""
    if not len(objects):
        return
    sizes = STAMP_SIZES[np.minimum(np.searchsorted(STAMP_SIZES, extent(objects, sky, camera)), len(STAMP_SIZES) - 1)]
    # the order in which stamps are added is fixed: sums of floats depend on it
    for size in np.unique(sizes):
        for kind in (STAR, *PROFILES):
            same = np.flatnonzero((sizes == size) & (objects.kind == kind))
            batch = max(1, min(CHUNK, CHUNK * 48**2 // size**2))
            for start in range(0, len(same), batch):
                _paint_stamps(images, objects[same[start : start + batch]], int(size), sky, camera)


def extent(objects: Objects, sky: Conditions, camera: Camera) -> np.ndarray:
    """Pixels a side of a stamp that holds each object down to VISIBLE in its best band."""
    scale = moffat_scale(sky.fwhm[objects.cutout], camera.moffat_beta)
    contrast = objects.flux / sky.sky_sigma[objects.cutout] * camera.pixel_scale**2 / VISIBLE
    beta = camera.moffat_beta
    core = contrast * (beta - 1) / (math.pi * scale**2)
    star = (scale * np.sqrt(np.maximum(core, 1) ** (1 / beta) - 1)).max(axis=1)

    radius = np.maximum(objects.radius, 0.05)
    area = radius**2 * objects.axis_ratio
    best = contrast.max(axis=1)
    disc = radius * DISC_SCALE * np.log(np.maximum(best / (2 * math.pi * DISC_SCALE**2 * area), 1))
    # I(r) = I_e exp(-7.67 ((r/r_e)^(1/4) - 1)), total 22.66 q r_e^2 I_e
    bulge = radius * np.maximum(1 + np.log(np.maximum(best, 1e-30) / (22.66 * area)) / 7.67, 0) ** 4
    knot = radius * np.sqrt(np.log2(np.maximum(best * math.log(2) / (math.pi * area), 1)))
    profile = np.select([objects.kind == DISC, objects.kind == BULGE, objects.kind == KNOT], [disc, bulge, knot], 0.0)
    return 2 * (np.maximum(star, profile) + 0.5 * scale.max(axis=1)) / camera.pixel_scale


def _paint_stamps(images: np.ndarray, objects: Objects, size: int, sky: Conditions, camera: Camera) -> None:
    grid = plane(size, camera.pixel_scale, k_max(min(camera.fwhm), camera.moffat_beta))
    middle = size // 2
    # split each position into a whole pixel, which moves the stamp, and a rest, which moves the profile
    column = (camera.size - 1) / 2 + objects.x / camera.pixel_scale
    row = (camera.size - 1) / 2 + objects.y / camera.pixel_scale
    corner_x, corner_y = np.rint(column).astype(int) - middle, np.rint(row).astype(int) - middle
    rest_x, rest_y = (column - corner_x) * camera.pixel_scale, (row - corner_y) * camera.pixel_scale
    light = grid.places(rest_x, rest_y, sky.anisotropy[objects.cutout])
    if objects.kind[0] != STAR:
        table = sersic(PROFILES[objects.kind[0]])
        light *= grid.transform(table, objects.radius, objects.axis_ratio, objects.angle)
    psf = grid.psf(sky.fwhm[objects.cutout], camera.moffat_beta)
    psf *= objects.flux.astype(np.float32)[..., None, None]
    stamps = grid.image(light[:, None] * psf, size)
    for stamp, cutout, x, y in zip(stamps, objects.cutout, corner_x, corner_y, strict=True):
        left, low = max(x, 0), max(y, 0)
        right, high = min(x + size, camera.size), min(y + size, camera.size)
        if left < right and low < high:
            images[cutout, :, low:high, left:right] += stamp[:, low - y : high - y, left - x : right - x]
