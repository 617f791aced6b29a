"""A block of a tile's galaxies as the surveys see it: images by two cameras, spectra through fibres, photometry.

Everything about a galaxy that is large lives only as long as its block. Random numbers come from streams by purpose, so
that the spectra and the Legacy images are the same whether HSC looks too or not.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from skyloom.formats.desi import ARMS
from skyloom.mock.instruments.images.drawing import FIBRE_POINT
from skyloom.mock.instruments.images.images import IMAGE_FIELDS, Camera, Scene, draw_scene, render
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
SCENE, LEGACY_NOISE, HSC_NOISE, PHOTOMETRY, HSC_PHOTOMETRY, EXPOSURE, CATALOGUE, HSC_CATALOGUE = range(8)
ODDITIES, STEPS, WRONG_SCENE, WRONG_LEGACY, WRONG_HSC, FIBRE_PHOTOMETRY, COMPILATION = range(8, 15)
FILTER_CURVES = {"legacy": FILTERS, "hsc": HSC_FILTERS}
BANDS = {"legacy": "grz", "hsc": "grizy"}  # of these filters


@dataclass(frozen=True)
class Light:
    """Noiseless light of n galaxies without and of their nuclei.

    host, nucleus : (n, 9626) on OBSERVED, 1e-17 erg/s/cm2/Angstrom
    flux, point_flux : survey -> (n, bands) nanomaggy through its filters, all light and the nucleus's
    """

    host: np.ndarray
    nucleus: np.ndarray
    flux: dict[str, np.ndarray]
    point_flux: dict[str, np.ndarray]


@dataclass
class Block:
    """What the surveys know of n galaxies, m of them with a fibre.

    images : role of a camera -> (n, bands, size, size) nanomaggy a pixel
    seen : role -> info of images.render, with the catalogue's `flux`, `flux_ivar` (n, bands) besides
    true_flux : role, or survey -> (n, bands) nanomaggy
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
    config: Mapping,
    stream: Callable,
) -> Block:
    """Observe galaxies `rows` of a tile (tile.Tile).

    Parameters
    ----------
    beside, company : of the tile
    night : of instrument.load_sky
    cameras : by role: "legacy", whose images are those of the imaging survey whichever camera took them, and "hsc"
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
    noise = {"legacy": LEGACY_NOISE, "hsc": HSC_NOISE}
    images, seen = {}, {}
    for name, camera in cameras.items():
        images[name], seen[name] = _picture(scene, light, others, name, camera, stream(noise[name]), config)
    if (odd == "wrong_image").any():
        _swap_images(tile, rows, beside, company, images, seen, templates, cameras, config, stream)
    radius = half_light_radius({name: getattr(tile.population, name)[rows] for name in IMAGE_FIELDS})
    catalogue = {"legacy": PHOTOMETRY, "hsc": HSC_PHOTOMETRY}
    true_flux = {name: through(camera, light.flux) for name, camera in cameras.items()}
    for name in cameras:
        measured = measure.photometry(true_flux[name], radius, seen[name]["psfdepth"], stream(catalogue[name]))
        seen[name] |= dict(zip(("flux", "flux_ivar"), measured, strict=True))
    fractions, legacy = seen["legacy"]["fibre_fractions"], seen["legacy"]
    legacy["fibreflux"] = measure.fibre_photometry(legacy["fibreflux"], legacy["psfdepth"], stream(FIBRE_PHOTOMETRY))
    return Block(
        images=images,
        seen=seen,
        true_flux=light.flux | true_flux,
        nucleus_share=light.point_flux["legacy"][:, 1] / light.flux["legacy"][:, 1],
        observation=_expose(tile, rows, light, fractions, cameras["legacy"], caught_more, night, stream),
    )


def through(camera: Camera, flux: Mapping[str, np.ndarray]) -> np.ndarray:
    """What a camera sees (n, bands) of fluxes through the filters of every survey."""
    return flux[camera.name][:, [BANDS[camera.name].index(band) for band in camera.bands]]


def shine(population: Population, templates: Templates, ebv: np.ndarray) -> Light:
    """The light of galaxies behind `ebv` (n,) mag of the Milky Way's dust."""
    host, nucleus = components(population, templates, ebv)
    point = {name: photometry(nucleus, curves) for name, curves in FILTER_CURVES.items()}
    flux = {name: photometry(host, curves) + point[name] for name, curves in FILTER_CURVES.items()}
    return Light(host, nucleus, flux, point)


@functools.cache
def _between_bands(camera: Camera) -> np.ndarray:
    """Weights (bands, 9626) of values in a camera's bands at each of OBSERVED: linear in ln(wavelength), constant
    beyond."""
    nodes = np.log(camera.wavelength)
    return np.stack([np.interp(np.log(OBSERVED), nodes, unit) for unit in np.eye(len(nodes))])


def _scene(tile, rows: np.ndarray, beside: Beside, company: Company, light: Light, rng, config) -> Scene:
    shape = {name: getattr(tile.population, name)[rows] for name in IMAGE_FIELDS}
    galaxies = {**shape, "ra": tile.ra[rows], "dec": tile.dec[rows], "flux": light.flux["hsc"]}
    return draw_scene(galaxies, rng, config, beside.provided, company.around(rows))


def _others(tile, rows: np.ndarray, beside: Beside, templates, cameras: Mapping[str, Camera]) -> dict[str, Listed]:
    """Role of a camera -> the other galaxies of the tile on the cutouts of galaxies `rows`; empty if there are none."""
    cutout, pair = beside.around(rows)
    if not len(pair):
        return {}
    galaxies, place = np.unique(beside.other[pair], return_inverse=True)
    light = shine(tile.population[galaxies], templates, tile.ebv[galaxies])
    shape = {name: getattr(tile.population, name)[beside.other[pair]] for name in IMAGE_FIELDS}
    common = (cutout, beside.x[pair], beside.y[pair], shape, beside.knots[beside.other[pair]])
    return {
        name: Listed(*common, through(camera, light.flux)[place], through(camera, light.point_flux)[place])
        for name, camera in cameras.items()
    }


def _picture(scene: Scene, light: Light, others: Mapping[str, Listed], name: str, camera: Camera, rng, config):
    flux, point_flux = (through(camera, part) for part in (light.flux, light.point_flux))
    return render(scene, flux, camera, rng, config, point_flux, others.get(name))


def portraits(
    tile, rows: np.ndarray, beside: Beside, company: Company, templates, cameras: Mapping[str, Camera], config, streams
) -> tuple[Light, dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """The light of galaxies `rows` (any order) of a tile, and of each camera images and info as `images.render` has
    them, without anomalies. `streams` has a random generator for the scene and then one a camera."""
    light = shine(tile.population[rows], templates, tile.ebv[rows])
    scene = _scene(tile, rows, beside, company, light, streams[0], config)
    others = _others(tile, rows, beside, templates, cameras)
    images, seen = {}, {}
    for (name, camera), rng in zip(cameras.items(), streams[1:], strict=True):
        images[name], seen[name] = _picture(scene, light, others, name, camera, rng, config)
    return light, images, seen


def _swap_images(
    tile, rows: slice, beside: Beside, company: Company, images, seen, templates, cameras, config, stream
) -> None:
    """Put pictures of other galaxies of the tile where the label says so."""
    wrong = np.flatnonzero(tile.anomalies.kind[rows] == "wrong_image")
    other = tile.anomalies.other[rows][wrong]
    noise = {"legacy": WRONG_LEGACY, "hsc": WRONG_HSC}
    streams = [stream(WRONG_SCENE), *(stream(noise[name]) for name in cameras)]
    _, swapped, info = portraits(tile, other, beside, company, templates, cameras, config, streams)
    for name in cameras:
        images[name][wrong] = swapped[name]
        seen[name]["artefacts"][wrong] = info[name]["artefacts"]


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


def _expose(tile, rows: slice, light: Light, fractions, camera: Camera, more, night, stream) -> instrument.Observation:
    """Put fibres on the galaxies that are spectroscopic targets; bad fibres miss them or see nothing.

    A fibre catches of the galaxy the share that the image says in each band, `fractions` (n, bands), and in between
    what lies in between; of the nucleus it catches a star's.
    """
    targeted = (tile.spectroscopy.source >= rows.start) & (tile.spectroscopy.source < rows.stop)
    local, status = tile.spectroscopy.source[targeted] - rows.start, tile.status[targeted]
    share = (fractions[local] @ _between_bands(camera)).astype("f4")
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
