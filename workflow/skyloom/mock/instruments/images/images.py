"""Survey cutouts of mock galaxies: what is in the sky (a Scene), and what a camera makes of it (`render`).

One scene can be rendered by any number of cameras, which then see the same arms, neighbours, stars and blends, each
with its own PSF, depth and artefacts. Units are nanomaggy (AB zero point 22.5), arcsec and rad throughout; x runs to
the west, y to the north, angles from north towards east.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from skyloom.core.errors import BadInput
from skyloom.mock.instruments.images.artefacts import add_artefacts
from skyloom.mock.instruments.images.camera import HSC, HSC_LARGE, HSC_ON_LEGACY, LEGACY, Camera, conditions
from skyloom.mock.instruments.images.drawing import FIBRE_POINT, SHAPE, draw_galaxies
from skyloom.mock.instruments.images.exposure import expose
from skyloom.mock.instruments.images.listed import Listed, paint_listed
from skyloom.mock.instruments.images.neighbours import BULGE, DISC, KNOT, STAR, Objects, Provided, draw_objects
from skyloom.mock.instruments.images.stamps import paint, project
from skyloom.mock.instruments.images.structure import Knots, draw_knots
from skyloom.mock.layout import default

__all__ = ["HSC", "HSC_LARGE", "HSC_ON_LEGACY", "IMAGE_FIELDS", "LEGACY", "Scene"]
__all__ += ["add_arc", "add_object", "draw_scene", "render"]

CHUNK = 8  # galaxies exposed at a time: the working set stays in the processor's cache
IMAGE_FIELDS = (*SHAPE, "clumpiness", "arms")  # of a Population
ARC_KNOTS = 24
CLOSE = (5, 10, 15)  # pixels, as GalaxiesML counts what is near
KINDS = {"star": STAR, "disc": DISC, "bulge": BULGE}


@dataclass(frozen=True)
class Scene:
    """What is in the sky at n targets.

    Attributes
    ----------
    galaxies : the targets, (n,) arrays as given to `draw_scene`.
    knots : arms and clumps of their discs.
    offset : (n, 2) of a target from the middle of its cutout, x then y, in pixels of whichever camera looks.
    objects : what lies beside the targets.
    """

    galaxies: dict[str, np.ndarray]
    knots: Knots
    offset: np.ndarray
    objects: Objects

    def __len__(self) -> int:
        return len(self.offset)

    def __getitem__(self, rows) -> "Scene":
        """The scene of some targets: `rows` is a slice, indices without repetition, or a mask."""
        kept = np.arange(len(self))[rows]
        new_row = np.full(len(self), -1)
        new_row[kept] = np.arange(len(kept))
        objects = self.objects[np.flatnonzero(new_row[self.objects.cutout] >= 0)]
        return Scene(
            {name: values[kept] for name, values in self.galaxies.items()},
            self.knots[kept],
            self.offset[kept],
            replace(objects, cutout=new_row[objects.cutout]),
        )


def draw_scene(
    galaxies: dict,
    rng: np.random.Generator,
    config: dict,
    provided: Provided | None = None,
    satellites: Objects | None = None,
) -> Scene:
    """Draw what the catalogue of galaxies does not say: their arms and clumps, and what lies beside them.

    Parameters
    ----------
    galaxies : (n,) arrays: ra, dec (degrees), r_disk, r_bulge, r_bar (half-light radii along the major axis, arcsec),
        q_disk, q_bulge, q_bar (axis ratios), angle, angle_bulge, angle_bar (rad, from north towards east), bar_fraction
        (share of the disc's light, in r), clumpiness, arms (0 to 1, see structure.py); bulge_fraction (n, 3; share of
        all light in g, r, z), dust_layer (n, 3; share of the disc's that dust hides) and flux (n, 5; nanomaggy in g, r,
        i, z, y).
    rng : everything that differs from galaxy to galaxy comes from here; same state, same scene.
    config : optionally `neighbours`, their density (1 is the real sky's).
    provided : the share of the galaxies beside them that a catalogue has, and that `render` is given; None for none.
    satellites : of these galaxies or of others near them; None for none.

    Raises
    ------
    BadInput : a missing field, a shape that does not fit, or a value that is not finite.
    """
    galaxies = _checked(galaxies)
    target = 22.5 - 2.5 * np.log10(np.maximum(galaxies["flux"][:, 1], 1e-3))
    knots, offset = draw_knots(galaxies, rng), rng.uniform(-0.5, 0.5, (len(target), 2))
    objects = draw_objects(target, rng, default(config, "neighbours"), provided)
    return Scene(galaxies, knots, offset, objects if satellites is None else objects.joined(satellites))


def render(
    scene: Scene,
    flux: np.ndarray,
    camera: Camera,
    rng: np.random.Generator,
    config: dict,
    point_flux: np.ndarray | None = None,
    listed: Listed | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Cutouts as a survey would deliver them, one for each target, with everything that is known about them.

    Parameters
    ----------
    flux : (n, bands) integrated flux of the targets in the camera's bands, nanomaggy, a nucleus included.
    rng : of noise and artefacts; same state, same bytes.
    config : `seed` (of what varies smoothly over the sky), and optionally `artefact_rate` (1 is about a real survey's),
        `image_calibration` (errors of zero points, 1 is about a real survey's); see `mock.layout.MockSettings`.
    point_flux : (n, bands) the part of `flux` that comes from an unresolved nucleus; None for 0.
    listed : other galaxies of the catalogue beside the targets; None for none.

    Returns
    -------
    images : (n, bands, size, size) float32, nanomaggy a pixel. Pixels without data are 0.
    info : dict of arrays: psfsize (n, bands; FWHM, arcsec), psf_anisotropy (n, 2; see camera.Conditions), psfdepth (n,
        bands; 1 / nanomaggy^2), sky_sigma (n, bands), zero_point (n, bands), fibreflux (n, bands; nanomaggy in a 1.5"
        aperture under 1" Gaussian seeing, as in the Legacy Surveys catalogues), fibre_fraction (n,; of the light but
        for the nucleus, in the band nearest to 6420 Angstrom; the nucleus's is drawing.FIBRE_POINT), fibre_fractions
        (n, bands; the same in each band), artefacts (n, int32; bits of artefacts.FLAGS), neighbours (n, int32; how many
        objects the camera can see), close (n, 3; how many within CLOSE pixels of the target, itself included).

    Raises
    ------
    BadInput : fluxes whose shape does not fit.
    """
    flux, point_flux = _checked_fluxes(scene, flux, point_flux, camera)
    ra, dec = scene.galaxies["ra"], scene.galaxies["dec"]
    sky = conditions(ra, dec, camera, config.get("seed", 0), default(config, "image_calibration"))
    offset = scene.offset * camera.pixel_scale

    images, fibre_fraction = draw_galaxies(
        scene.galaxies, flux, sky, camera, point_flux=point_flux, knots=scene.knots, offset=offset
    )
    places = [] if listed is None else [paint_listed(images, listed, offset, sky, camera)]
    crowd = project(scene.objects, offset, sky, camera)
    paint(images, crowd, sky, camera)
    for start in range(0, len(images), CHUNK):
        rows = slice(start, start + CHUNK)
        expose(images[rows], sky[rows], camera, rng)
    artefacts = add_artefacts(images, crowd, sky, rng, default(config, "artefact_rate"), camera)

    reference = int(np.argmin(np.abs(np.subtract(camera.wavelength, 6420.0))))
    return images, {
        "psfsize": sky.fwhm,
        "psf_anisotropy": sky.anisotropy,
        "psfdepth": sky.psfdepth,
        "sky_sigma": sky.sky_sigma,
        "zero_point": sky.zero_point,
        "fibreflux": (flux - point_flux) * fibre_fraction + point_flux * FIBRE_POINT,
        "fibre_fraction": fibre_fraction[:, reference],
        "fibre_fractions": fibre_fraction,
        "artefacts": artefacts,
        "neighbours": sum(np.bincount(seen.cutout, minlength=len(flux)) for seen in (crowd, *places)).astype(np.int32),
        "close": np.stack([_close(crowd, places, offset, pixels * camera.pixel_scale) for pixels in CLOSE], axis=1),
    }


def _close(crowd: Objects, listed: list[Listed], offset: np.ndarray, radius: float) -> np.ndarray:
    """Objects and galaxies (n,) within `radius` arcsec of each target, itself included.

    Targets are at `offset` (n, 2) arcsec, from where `listed` are counted, but not `crowd`.
    """
    x, y = crowd.x - offset[crowd.cutout, 0], crowd.y - offset[crowd.cutout, 1]
    found = 1 + np.bincount(crowd.cutout[np.hypot(x, y) < radius], minlength=len(offset))
    for galaxies in listed:
        near = np.hypot(galaxies.x, galaxies.y) < radius
        found += np.bincount(galaxies.cutout[near], minlength=len(offset))
    return found


def add_object(
    scene: Scene,
    row: int,
    x: float,
    y: float,
    flux: np.ndarray,
    radius: float,
    axis_ratio: float = 1.0,
    angle: float = 0.0,
    kind: str = "disc",
) -> Scene:
    """The scene with one more object at `x`, `y` arcsec (to the west, to the north) from target `row`.

    `flux` (5,) is in nanomaggy in g, r, i, z, y; `radius` the half-light radius along the major axis, arcsec; `kind`
    one of KINDS.
    """
    return _with_objects(scene, row, KINDS[kind], [x], [y], np.asarray(flux)[None], [radius], [axis_ratio], [angle])


def add_arc(scene: Scene, row: int, flux: np.ndarray, radius: float, rng: np.random.Generator) -> Scene:
    """The scene with the arcs of a lensed background galaxy around target `row`.

    A long arc on the Einstein ring and, for most, a shorter and fainter counter-image opposite to it and further in:
    Gaussian knots, so that every camera blurs them with its own PSF.

    Parameters
    ----------
    flux : (5,) all lensed (magnified) light, nanomaggy in g, r, i, z, y.
    radius : of the Einstein ring, arcsec; strong lenses of massive galaxies have 1 to 2.
    """
    middle = rng.uniform(0, 2 * math.pi)
    half_length = rng.uniform(0.45, 1.3)  # rad
    counter = rng.random() < 0.75
    main = ARC_KNOTS if not counter else (3 * ARC_KNOTS) // 4
    along = np.linspace(-1, 1, ARC_KNOTS)
    along[main:] = np.linspace(-0.35, 0.35, ARC_KNOTS - main)
    azimuth = middle + half_length * along
    azimuth[main:] += math.pi
    # images of a source off the axis lie outside of the ring on its side, inside of it on the other
    distance = radius * (1 + rng.uniform(0.02, 0.12) * np.where(np.arange(ARC_KNOTS) < main, 1, -2))
    weight = np.exp(-1.5 * along**2 + rng.normal(0, 0.35, ARC_KNOTS))
    weight[main:] *= 0.7
    weight /= weight.sum()
    size = np.full(ARC_KNOTS, radius * rng.uniform(0.06, 0.12))
    places = distance * np.cos(azimuth), distance * np.sin(azimuth)
    ones = np.ones(ARC_KNOTS)
    return _with_objects(scene, row, KNOT, *places, weight[:, None] * np.asarray(flux), size, ones, 0 * ones)


def _with_objects(scene: Scene, row: int, kind: int, x, y, flux, radius, axis_ratio, angle) -> Scene:
    more = Objects(
        np.full(len(x), row), np.full(len(x), kind), *map(np.asarray, (x, y, flux, radius, axis_ratio, angle))
    )
    return replace(scene, objects=scene.objects.joined(more))


def _checked(galaxies: dict) -> dict:
    count = len(galaxies["ra"]) if "ra" in galaxies else 0
    shapes = dict.fromkeys(("ra", "dec", *IMAGE_FIELDS), (count,)) | {"flux": (count, 5)}
    shapes |= dict.fromkeys(("bulge_fraction", "dust_layer"), (count, 3))
    checked = {}
    for name, shape in shapes.items():
        if name not in galaxies:
            raise BadInput(f"galaxies: no field {name}, expected {', '.join(shapes)}")
        checked[name] = np.asarray(galaxies[name], float)
        if checked[name].shape != shape or not np.isfinite(checked[name]).all():
            raise BadInput(f"galaxies: {name} must be finite with shape {shape}, got shape {checked[name].shape}")
    return checked


def _checked_fluxes(scene: Scene, flux, point_flux, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    flux = np.asarray(flux, float)
    point_flux = np.zeros_like(flux) if point_flux is None else np.asarray(point_flux, float)
    shape = (len(scene), len(camera.bands))
    for name, values in (("flux", flux), ("point_flux", point_flux)):
        if values.shape != shape:
            raise BadInput(f"{name}: expected shape {shape} for bands {', '.join(camera.bands)}, got {values.shape}")
    return flux, point_flux
