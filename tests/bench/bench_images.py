"""Cost of a mock cutout against GalSim and per-object numpy, both drawing the same galaxies and neighbours in one run.

Run: ``PYTHONPATH=workflow python tests/bench/bench_images.py [number of galaxies]``.
The ratio is what to compare between machines; the milliseconds are one core's.
"""

import sys
import time

import galsim
import numpy as np
from threadpoolctl import threadpool_limits

from skyloom.surveys.mock import images, neighbours
from skyloom.surveys.mock.camera import LEGACY, conditions

BETA = LEGACY.moffat_beta


def bright_galaxies(count, rng):
    """Galaxies like those of DESI's Bright Galaxy Survey."""
    magnitude = 20.2 - rng.exponential(0.9, count)
    radius = np.clip(10 ** (rng.normal(0.3, 0.18, count) - 0.1 * (magnitude - 19)), 0.3, 10)
    colour = np.array([0.8, 0.0, -0.6])
    return {
        "ra": rng.uniform(224, 226, count),
        "dec": rng.uniform(0, 2, count),
        "r_disk": radius,
        "r_bulge": 0.4 * radius,
        "q_disk": rng.uniform(0.2, 1, count),
        "q_bulge": rng.uniform(0.6, 1, count),
        "angle": rng.uniform(0, np.pi, count),
        "clumpiness": rng.uniform(0, 1, count),
        "bulge_fraction": rng.beta(1.5, 3, (count, 1)) * np.array([0.8, 1.0, 1.1]).clip(0, 1),
    }, 10 ** (0.4 * (22.5 - magnitude[:, None] - colour))


def galsim_cutouts(galaxies, flux, rng):
    """The same pictures, smooth discs only, one object and band after the other."""
    sky = conditions(galaxies["ra"], galaxies["dec"], LEGACY, 0, 0.02)
    magnitude = 22.5 - 2.5 * np.log10(flux[:, 1])
    crowd = neighbours.draw_objects(magnitude, rng, 1.0, LEGACY)
    cutouts = np.empty((len(flux), 3, LEGACY.size, LEGACY.size), np.float32)
    for row, band in np.ndindex(len(flux), 3):
        psf = galsim.Moffat(beta=BETA, fwhm=sky.fwhm[row, band])
        image = galsim.ImageF(LEGACY.size, LEGACY.size, scale=LEGACY.pixel_scale)
        galsim.Convolve(_galaxy(galaxies, row, band) * flux[row, band], psf).drawImage(image, add_to_image=True)
        for index in np.flatnonzero(crowd.cutout == row):
            _neighbour(image, crowd, index, band, psf)
        cutouts[row, band] = image.array + sky.sky_sigma[row, band] * rng.standard_normal(image.array.shape)
    return cutouts


def _galaxy(galaxies, row, band):
    angle = galaxies["angle"][row] * galsim.radians + 90 * galsim.degrees
    bulge = galsim.DeVaucouleurs(half_light_radius=galaxies["r_bulge"][row]).shear(
        q=galaxies["q_bulge"][row], beta=angle
    )
    disc = galsim.Exponential(half_light_radius=galaxies["r_disk"][row]).shear(q=galaxies["q_disk"][row], beta=angle)
    share = galaxies["bulge_fraction"][row, band]
    return share * bulge + (1 - share) * disc


def _neighbour(image, crowd, index, band, psf):
    seen = psf
    if crowd.kind[index] != neighbours.STAR:
        kind = galsim.Exponential if crowd.kind[index] == neighbours.DISC else galsim.DeVaucouleurs
        profile = kind(half_light_radius=crowd.radius[index])
        profile = profile.shear(q=crowd.axis_ratio[index], beta=crowd.angle[index] * galsim.radians)
        seen = galsim.Convolve(profile, psf)
    place = galsim.PositionD(crowd.x[index], crowd.y[index]) / LEGACY.pixel_scale + image.true_center
    # GalSim chooses the stamp's size, as anybody's script would
    stamp = (seen * crowd.flux[index, band]).drawImage(center=place, scale=LEGACY.pixel_scale)
    shared = stamp.bounds & image.bounds
    if shared.isDefined():
        image[shared] += stamp[shared]


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    galaxies, flux = bright_galaxies(count, np.random.default_rng(0))
    few = {name: values[:8] for name, values in galaxies.items()}
    cost = {}
    with threadpool_limits(1):
        for name, draw in (
            ("skyloom", lambda g, f: images.render(g, f, np.random.default_rng(1), {})),
            ("GalSim", lambda g, f: galsim_cutouts(g, f, np.random.default_rng(1))),
        ):
            draw(few, flux[:8])  # tables and plans are made once a process
            start = time.process_time()
            draw(galaxies, flux)
            cost[name] = (time.process_time() - start) / count
    for name, seconds in cost.items():
        print(
            f"{name:8} {1e3 * seconds:6.2f} ms a galaxy (3 x {LEGACY.size} x {LEGACY.size}, with neighbours and noise)"
        )
    print(f"ratio    {cost['GalSim'] / cost['skyloom']:6.1f}")


if __name__ == "__main__":
    main()
