"""Cost of mock cutouts against GalSim and per-object numpy, both drawing the same galaxies and neighbours in one run.

Run: ``PYTHONPATH=workflow python tests/bench/bench_images.py [number of galaxies]``.
The ratio is what to compare between machines; the milliseconds are one core's.
"""

import sys
import time

import galsim
import numpy as np
from threadpoolctl import threadpool_limits

from skyloom.mock.instruments.images.camera import HSC, HSC_LARGE, LEGACY, conditions, in_bands
from skyloom.mock.instruments.images.drawing import BULGE_NODES
from skyloom.mock.instruments.images.images import draw_scene, render
from skyloom.mock.instruments.images.neighbours import NODES, STAR
from skyloom.mock.instruments.images.stamps import PROFILES, project
from skyloom.mock.instruments.images.structure import bar_share

BLOCK = 64  # galaxies rendered at a time, as in a tile


def bright_galaxies(count, rng):
    """Galaxies like those of DESI's Bright Galaxy Survey."""
    magnitude = 20.2 - rng.exponential(0.9, count)
    radius = np.clip(10 ** (rng.normal(0.3, 0.18, count) - 0.1 * (magnitude - 19)), 0.3, 10)
    colour = np.array([0.8, 0.0, -0.35, -0.6, -0.75])
    angle = rng.uniform(0, np.pi, count)
    return {
        "ra": rng.uniform(224, 226, count),
        "dec": rng.uniform(0, 2, count),
        "r_disk": radius,
        "r_bulge": 0.4 * radius,
        "r_bar": 0.35 * radius,
        "q_disk": rng.uniform(0.2, 1, count),
        "q_bulge": rng.uniform(0.6, 1, count),
        "q_bar": rng.uniform(0.2, 0.5, count),
        "angle": angle,
        "angle_bulge": angle + rng.normal(0, 0.3, count),
        "angle_bar": rng.uniform(0, np.pi, count),
        "bar_fraction": np.where(rng.random(count) < 0.3, 0.2, 0.0),
        "clumpiness": rng.uniform(0, 1, count),
        "arms": rng.uniform(0, 1, count),
        "bulge_fraction": rng.beta(1.5, 3, (count, 1)) * np.array([0.8, 1.0, 1.1]).clip(0, 1),
        "dust_layer": np.repeat(rng.uniform(0.05, 0.2, (count, 1)), 3, axis=1),
        "flux": 10 ** (0.4 * (22.5 - magnitude[:, None] - colour)),
    }


def skyloom_cutouts(scene, flux, camera):
    for start in range(0, len(scene), BLOCK):
        rows = slice(start, start + BLOCK)
        render(scene[rows], flux[rows], camera, np.random.default_rng(1), {})


def galsim_cutouts(scene, flux, camera):
    """The same pictures, smooth discs only, one object and band after the other."""
    galaxies, rng = scene.galaxies, np.random.default_rng(1)
    sky = conditions(galaxies["ra"], galaxies["dec"], camera, 0)
    crowd = project(scene.objects, scene.offset * camera.pixel_scale, sky, camera)
    cutouts = np.empty((*flux.shape, camera.size, camera.size), np.float32)
    for row, band in np.ndindex(flux.shape):
        psf = galsim.Moffat(beta=camera.moffat_beta, fwhm=sky.fwhm[row, band])
        image = galsim.ImageF(camera.size, camera.size, scale=camera.pixel_scale)
        galsim.Convolve(_galaxy(galaxies, row, band, camera) * flux[row, band], psf).drawImage(image, add_to_image=True)
        for index in np.flatnonzero(crowd.cutout == row):
            _neighbour(image, crowd, index, band, psf, camera)
        cutouts[row, band] = image.array + sky.sky_sigma[row, band] * rng.standard_normal(image.array.shape)
    return cutouts


def _galaxy(galaxies, row, band, camera):
    bulge = in_bands(galaxies["bulge_fraction"], BULGE_NODES, camera)[row, band]
    bar = (1 - bulge) * bar_share(galaxies["bar_fraction"], camera.wavelength)[row, band]
    parts = [
        ("disk", "angle", galsim.Exponential, 1 - bulge - bar),
        ("bulge", "angle_bulge", galsim.DeVaucouleurs, bulge),
    ]
    if bar > 0:
        parts.append(("bar", "angle_bar", galsim.Gaussian, bar))
    components = [
        share
        * kind(half_light_radius=galaxies[f"r_{part}"][row]).shear(
            q=galaxies[f"q_{part}"][row], beta=galaxies[angle][row] * galsim.radians + 90 * galsim.degrees
        )
        for part, angle, kind, share in parts
    ]
    return galsim.Add(components)


def _neighbour(image, crowd, index, band, psf, camera):
    seen = psf
    if crowd.kind[index] != STAR:
        profile = galsim.Sersic(PROFILES[crowd.kind[index]], half_light_radius=crowd.radius[index])
        profile = profile.shear(q=crowd.axis_ratio[index], beta=crowd.angle[index] * galsim.radians)
        seen = galsim.Convolve(profile, psf)
    place = galsim.PositionD(crowd.x[index], crowd.y[index]) / camera.pixel_scale + image.true_center
    # GalSim chooses the stamp's size, as anybody's script would
    stamp = (seen * crowd.flux[index, band]).drawImage(center=place, scale=camera.pixel_scale)
    shared = stamp.bounds & image.bounds
    if shared.isDefined():
        image[shared] += stamp[shared]


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 96
    galaxies = bright_galaxies(count, np.random.default_rng(0))
    with threadpool_limits(1):
        for camera in (LEGACY, HSC, HSC_LARGE):
            start = time.process_time()
            scene = draw_scene(galaxies, np.random.default_rng(1), {})
            drawing = (time.process_time() - start) / count
            flux = in_bands(galaxies["flux"], NODES, camera)
            cost = {}
            # GalSim's share is measured on fewer galaxies: it is the slower one
            for name, draw, n in (("skyloom", skyloom_cutouts, count), ("GalSim", galsim_cutouts, max(8, count // 8))):
                draw(scene[:8], flux[:8], camera)  # tables and plans are made once a process
                start = time.process_time()
                draw(scene[:n], flux[:n], camera)
                cost[name] = (time.process_time() - start) / n
            print(
                f"{camera.name} {len(camera.bands)} x {camera.size} x {camera.size}, with neighbours and noise: "
                f"skyloom {1e3 * cost['skyloom']:.2f} ms a galaxy (and {1e3 * drawing:.2f} for the scene), "
                f"GalSim {1e3 * cost['GalSim']:.1f} ms, ratio {cost['GalSim'] / cost['skyloom']:.1f}"
            )


if __name__ == "__main__":
    main()
