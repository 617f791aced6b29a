"""A block of a tile's galaxies as the surveys see it: images by two cameras, spectra through fibres, photometry.

Everything about a galaxy that is large lives only as long as its block. Random numbers come from streams by purpose, so
that spectra are the same whichever camera looks, and the images' pixels whether HSC looks too or not.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from skyloom.formats.desi import ARMS
from skyloom.mock.instruments.images.drawing import FIBRE_POINT, fibre_fractions
from skyloom.mock.instruments.images.images import HSC, IMAGE_FIELDS, LEGACY, Camera, Scene, draw_scene, render
from skyloom.mock.instruments.images.listed import Listed
from skyloom.mock.instruments.spectrograph import instrument
from skyloom.mock.survey import anomalies, measure, targets
from skyloom.mock.survey.beside import Beside
from skyloom.mock.survey.company import Company
from skyloom.mock.universe.light.photometry import FILTERS, HSC_FILTERS, photometry
from skyloom.mock.universe.light.synthesis import Templates
from skyloom.mock.universe.light.wavelengths import OBSERVED
from skyloom.mock.universe.population.morphology import half_light_radius
from skyloom.mock.universe.population.population import Population
from skyloom.mock.universe.spectra import components

SIZE = 64  # galaxies; the files' bytes depend on it, as each block has its own random numbers
# streams of random numbers of a block
SCENE, IMAGE_NOISE, HSC_NOISE, PHOTOMETRY, HSC_PHOTOMETRY, EXPOSURE, CATALOGUE, HSC_CATALOGUE = range(8)
ODDITIES, STEPS, WRONG_SCENE, WRONG_IMAGE, WRONG_HSC, FIBRE_PHOTOMETRY, COMPILATION = range(8, 15)
FILTER_CURVES = {"legacy": FILTERS, "hsc": HSC_FILTERS}
FILTER_BANDS = {camera.name: camera.bands for camera in (LEGACY, HSC)}


@dataclass(frozen=True)
class Light:
    """Noiseless light of n galaxies without and of their nuclei.

    host, nucleus : (n, 9626) on OBSERVED, 1e-17 erg/s/cm2/Angstrom
    flux, point_flux : Camera.name -> (n, bands) nanomaggy in all of its filters, all light and the nucleus's
    """

    host: np.ndarray
    nucleus: np.ndarray
    flux: dict[str, np.ndarray]
    point_flux: dict[str, np.ndarray]

    def through(self, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        """Flux and point_flux (n, bands) in a camera's bands."""
        place = [FILTER_BANDS[camera.name].index(band) for band in camera.bands]
        return self.flux[camera.name].take(place, axis=1), self.point_flux[camera.name].take(place, axis=1)


@dataclass
class Block:
    """What the surveys know of n galaxies, m of them with a fibre.

    images : role -> (n, bands, size, size) nanomaggy a pixel
    seen : role -> info of images.render, with the catalogue's `flux`, `flux_ivar` (n, bands) besides; what fibres catch
        of a galaxy ("fibre_fraction", "fibre_fractions" of "images") is that of the spectra
    true_flux : band -> (n,) nanomaggy: g, r, z of the images' camera, i and y of HSC
    nucleus_share : (n,) of the light in r
    observation : of the m spectra
    """

    images: dict[str, np.ndarray]
    seen: dict[str, dict[str, np.ndarray]]
    true_flux: dict[str, np.ndarray]
    nucleus_share: np.ndarray
    observation: instrument.Observation


def observe(
    tile,
    rows: slice,
    beside: Beside,
    company: Company,
    templates: Templates,
    night,
    cameras: Mapping[str, Camera],
    fibres: Camera,
    config: Mapping,
    stream: Callable,
) -> Block:
    """Observe galaxies `rows` of a tile (tile.Tile).

    Parameters
    ----------
    beside, company : of the tile
    night : of instrument.load_sky
    cameras : by the role of their files, "images" among them
    fibres : camera of the Legacy filters, g, r, z, in which it is asked what a fibre catches
    stream : purpose -> random generator of this block
    """
    light = shine(tile.population[rows], templates, tile.ebv[rows])
    numbers = np.arange(rows.start, rows.stop)
    scene = _scene(tile, numbers, beside, company, light, stream(SCENE), config)
    others = _others(tile, numbers, beside, templates, cameras)
    caught_more = np.zeros((0, 0))
    odd = tile.anomalies.kind[rows]
    if odd.any():
        scene, caught_more = _spoil_scene(tile, rows, scene, light, templates, stream(ODDITIES))
    noise = {"images": IMAGE_NOISE, "hsc": HSC_NOISE}
    images, seen = {}, {}
    for role, camera in cameras.items():
        images[role], seen[role] = _picture(scene, light, others.get(role), camera, stream(noise[role]), config)
    if (odd == "wrong_image").any():
        _swap_images(tile, rows, beside, company, images, seen, templates, cameras, config, stream)
    radius = half_light_radius({name: getattr(tile.population, name)[rows] for name in IMAGE_FIELDS})
    catalogue = {"images": PHOTOMETRY, "hsc": HSC_PHOTOMETRY}
    for role, camera in cameras.items():
        flux, _ = light.through(camera)
        flux = flux * seen[role]["zero_point"]  # it is measured on these images
        measured = measure.photometry(flux, radius, seen[role]["psfdepth"], stream(catalogue[role]))
        seen[role] |= dict(zip(("flux", "flux_ivar"), measured, strict=True))
    camera, ours = cameras["images"], seen["images"]
    ours["fibreflux"] = measure.fibre_photometry(
        ours["fibreflux"] * ours["zero_point"], ours["psfdepth"], stream(FIBRE_PHOTOMETRY)
    )
    if camera != fibres:  # spectra do not depend on who takes the images
        caught = fibre_fractions(scene.galaxies, fibres, scene.knots)
        ours |= {"fibre_fractions": caught, "fibre_fraction": caught[:, fibres.bands.index("r")]}
    flux, point_flux = light.through(camera)
    return Block(
        images=images,
        seen=seen,
        true_flux=dict(zip(HSC.bands, light.flux["hsc"].T, strict=True)) | dict(zip(camera.bands, flux.T, strict=True)),
        nucleus_share=point_flux[:, 1] / flux[:, 1],
        observation=_expose(tile, rows, light, ours["fibre_fractions"], caught_more, night, stream),
    )


def shine(population: Population, templates: Templates, ebv: np.ndarray) -> Light:
    """The light of galaxies behind `ebv` (n,) mag of the Milky Way's dust."""
    host, nucleus = components(population, templates, ebv)
    point = {name: photometry(nucleus, curves) for name, curves in FILTER_CURVES.items()}
    flux = {name: photometry(host, curves) + point[name] for name, curves in FILTER_CURVES.items()}
    return Light(host, nucleus, flux, point)


@functools.cache
def _between_bands() -> np.ndarray:
    """Weights (3, 9626) of values in g, r, z at each of OBSERVED: linear in ln(wavelength), constant beyond."""
    nodes = np.log(LEGACY.wavelength)
    return np.stack([np.interp(np.log(OBSERVED), nodes, unit) for unit in np.eye(len(nodes))])


def _scene(tile, rows: np.ndarray, beside: Beside, company: Company, light: Light, rng, config) -> Scene:
    shape = {name: getattr(tile.population, name)[rows] for name in IMAGE_FIELDS}
    galaxies = {**shape, "ra": tile.ra[rows], "dec": tile.dec[rows], "flux": light.flux["hsc"]}
    return draw_scene(galaxies, rng, config, beside.provided, company.around(rows))


def _others(tile, rows: np.ndarray, beside: Beside, templates: Templates, cameras) -> dict[str, Listed]:
    """Role of a camera -> the other galaxies of the tile on the cutouts of galaxies `rows`; empty if there are none."""
    cutout, pair = beside.around(rows)
    if not len(pair):
        return {}
    galaxies, place = np.unique(beside.other[pair], return_inverse=True)
    light = shine(tile.population[galaxies], templates, tile.ebv[galaxies])
    shape = {name: getattr(tile.population, name)[beside.other[pair]] for name in IMAGE_FIELDS}
    common = (cutout, beside.x[pair], beside.y[pair], shape, beside.knots[beside.other[pair]])
    return {role: Listed(*common, *(flux[place] for flux in light.through(camera))) for role, camera in cameras.items()}


def _picture(scene: Scene, light: Light, others: Listed | None, camera: Camera, rng, config):
    flux, point_flux = light.through(camera)
    return render(scene, flux, camera, rng, config, point_flux, others)


def portraits(
    tile, rows: np.ndarray, beside: Beside, company: Company, templates, cameras: Mapping[str, Camera], config, streams
) -> tuple[Light, dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """The light of galaxies `rows` (any order) of a tile, and of each camera images and info as `images.render` has
    them, without anomalies. `streams` has a random generator for the scene and then one a camera."""
    light = shine(tile.population[rows], templates, tile.ebv[rows])
    scene = _scene(tile, rows, beside, company, light, streams[0], config)
    others = _others(tile, rows, beside, templates, cameras)
    images, seen = {}, {}
    for (role, camera), rng in zip(cameras.items(), streams[1:], strict=True):
        images[role], seen[role] = _picture(scene, light, others.get(role), camera, rng, config)
    return light, images, seen


def _swap_images(
    tile, rows: slice, beside: Beside, company: Company, images, seen, templates, cameras, config, stream
) -> None:
    """Put pictures of other galaxies of the tile where the label says so."""
    wrong = np.flatnonzero(tile.anomalies.kind[rows] == "wrong_image")
    other = tile.anomalies.other[rows][wrong]
    noise = {"images": WRONG_IMAGE, "hsc": WRONG_HSC}
    streams = [stream(WRONG_SCENE), *(stream(noise[role]) for role in cameras)]
    _, swapped, info = portraits(tile, other, beside, company, templates, cameras, config, streams)
    for role in cameras:
        images[role][wrong] = swapped[role]
        seen[role]["artefacts"][wrong] = info[role]["artefacts"]


def _spoil_scene(tile, rows: slice, scene: Scene, light: Light, templates, rng) -> tuple[Scene, np.ndarray]:
    """Add arcs and second galaxies to the scene; and the second galaxies' light in the fibres (n, 9626)."""
    kind = tile.anomalies.kind[rows]
    more = np.zeros_like(light.host)
    for row in np.flatnonzero(kind == "lensed_arc"):
        scene = anomalies.with_arc(scene, row, rng)
    for row in np.flatnonzero(kind == "blend"):
        other = tile.anomalies.other[rows][[row]]
        second = shine(tile.population[other], templates, tile.ebv[rows][[row]])
        scale = anomalies.blend_scale(light.flux["legacy"][row, 1], second.flux["legacy"][0, 1], rng)
        galaxy, flux = tile.population[other], scale * second.flux["hsc"][0]
        scene, share = anomalies.blended(scene, row, galaxy, flux, rng)
        more[row] = share * scale * (second.host + second.nucleus)[0]
    return scene, more


def _expose(tile, rows: slice, light: Light, fractions, more, night, stream) -> instrument.Observation:
    """Put fibres on the galaxies that are spectroscopic targets; bad fibres miss them or see nothing.

    A fibre catches of the galaxy the share `fractions` (n, 3) at the wavelengths of the Legacy bands, and in between
    what lies in between; of the nucleus it catches a star's.
    """
    targeted = (tile.spectroscopy.source >= rows.start) & (tile.spectroscopy.source < rows.stop)
    local, status = tile.spectroscopy.source[targeted] - rows.start, tile.status[targeted]
    share = (fractions[local] @ _between_bands()).astype("f4")
    caught = light.host[local] * share + np.float32(FIBRE_POINT) * light.nucleus[local]
    if len(more):
        caught += more[local]
    caught[status != 0] = 0
    observation = instrument.observe(caught, np.ones(len(caught)), tile.exposure, night, stream(EXPOSURE))
    steps = np.flatnonzero(tile.anomalies.kind[rows][local] == "calibration_step")
    if len(steps):
        anomalies.step_calibration(observation, steps, stream(STEPS))
    for arm in ARMS:
        for values in (observation.flux[arm], observation.ivar[arm]):
            values[status == targets.BROKENFIBER] = 0
    return observation
