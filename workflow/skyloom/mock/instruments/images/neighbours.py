"""What else is on a cutout, whatever the target is: field galaxies and stars at the real sky's counts."""

import math
from dataclasses import dataclass

import numpy as np

from skyloom.mock.instruments.images.camera import HSC_LARGE, LEGACY

STAR, DISC, BULGE, KNOT = 0, 1, 2, 3  # a knot is a Gaussian
FIRST_MAGNITUDE = 13.0  # r, of the brightest
FAINTEST = 24.2  # r magnitude in the wide field: what is fainter is lost in the noise of shallow surveys
DEEPEST = 27.2  # r magnitude in the deep field, which only deep surveys look at
MARGIN = 5.0  # arcsec outside a cutout from which light still falls in
WIDE_FIELD = LEGACY.size * LEGACY.pixel_scale + 2 * MARGIN  # arcsec a side
DEEP_FIELD = HSC_LARGE.size * HSC_LARGE.pixel_scale + MARGIN
NODES = HSC_LARGE.wavelength  # g, r, i, z, y, where the fluxes of objects are known
BIN = 0.4  # mag, in which galaxies of a catalogue are counted


@dataclass(frozen=True)
class Objects:
    """Stars and galaxies beside the targets of a scene; every attribute has one entry an object.

    Attributes
    ----------
    cutout : which target it lies beside.
    kind : STAR, DISC, BULGE or KNOT.
    x, y : offset from the target, arcsec (x to the west, y to the north).
    flux : (k, 5) nanomaggy at NODES.
    radius : half-light radius along the major axis, arcsec; 0 for stars.
    axis_ratio, angle : as for the targets.
    """

    cutout: np.ndarray
    kind: np.ndarray
    x: np.ndarray
    y: np.ndarray
    flux: np.ndarray
    radius: np.ndarray
    axis_ratio: np.ndarray
    angle: np.ndarray

    def __getitem__(self, rows) -> "Objects":
        return Objects(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.cutout)

    def joined(self, other: "Objects") -> "Objects":
        return Objects(
            *(np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.__dataclass_fields__)
        )


@dataclass(frozen=True)
class Provided:
    """The share (bins,) of the sky's galaxies between `edges` (bins + 1,) of r magnitude that a catalogue has."""

    edges: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, magnitude: np.ndarray, area: float) -> "Provided":
        """Of galaxies of `magnitude` (n,) in r on `area` deg^2 of the real sky."""
        edges = np.arange(FIRST_MAGNITUDE, FAINTEST + BIN, BIN)
        step = BIN / 20
        fine = galaxy_counts(np.arange(edges[0] + step / 2, edges[-1], step)).reshape(len(edges) - 1, 20)
        expected = fine.sum(axis=1) * step * area
        number, _ = np.histogram(magnitude, edges)
        return cls(edges, np.minimum(np.divide(number, expected, out=np.zeros_like(expected), where=expected > 0), 1.0))

    def __call__(self, magnitude: np.ndarray) -> np.ndarray:
        place = np.searchsorted(self.edges, magnitude, side="right") - 1
        inside = (place >= 0) & (place < len(self.share))
        return np.where(inside, self.share[np.clip(place, 0, len(self.share) - 1)], 0.0)


def draw_objects(
    target_magnitude: np.ndarray, rng: np.random.Generator, density: float, provided: Provided | None = None
) -> Objects:
    """Field galaxies and stars beside targets that have `target_magnitude` (n,) in r.

    `density` scales the real counts; 0 leaves the targets alone. Of the galaxies those are left out that are drawn from
    a catalogue, which has the share `provided`.
    """
    parts = []
    for colours, counts in ((_galaxy_colours, galaxy_counts), (_star_colours, star_counts)):
        for side, limits in ((WIDE_FIELD, (FIRST_MAGNITUDE, FAINTEST)), (DEEP_FIELD, (FAINTEST, DEEPEST))):
            cutout, magnitude = _draw_counts(counts, limits, density * (side / 3600) ** 2, len(target_magnitude), rng)
            x, y = rng.uniform(-side / 2, side / 2, (2, len(cutout)))
            parts.append(
                (cutout, magnitude, x, y, colours(magnitude, rng), np.full(len(cutout), counts is star_counts))
            )

    cutout, magnitude, x, y, colour, is_star = (np.concatenate(column) for column in zip(*parts, strict=True))
    if provided is not None:
        left = np.flatnonzero(is_star | (rng.random(len(cutout)) >= provided(magnitude)))
        cutout, magnitude, x, y = cutout[left], magnitude[left], x[left], y[left]
        colour, is_star = colour[left], is_star[left]
    radius, kind = _shapes(magnitude, colour, is_star, rng)
    axis_ratio, angle = rng.uniform(0.25, 1.0, len(kind)), rng.uniform(0, math.pi, len(kind))
    objects = Objects(cutout, kind, x, y, _fluxes(magnitude, colour), radius, axis_ratio, angle)
    return objects[np.flatnonzero(~eclipsed(objects, target_magnitude[cutout]))]


def eclipsed(objects: Objects, target_magnitude: np.ndarray) -> np.ndarray:
    """Whether each of k objects outshines its target (of `target_magnitude` (k,) in r) on top of it: it would itself be
    the target, or have kept it out of the catalogue."""
    magnitude = 22.5 - 2.5 * np.log10(objects.flux[:, 1])
    return (magnitude < target_magnitude + 1.0) & (np.hypot(objects.x, objects.y) < 4.0 + objects.radius)


def _draw_counts(counts, limits: tuple[float, float], area: float, fields: int, rng: np.random.Generator):
    """Field number and magnitude of objects that follow `counts` between `limits` in `fields` of `area` deg^2."""
    grid = np.linspace(*limits, 449)
    step = grid[1] - grid[0]
    cumulative = np.concatenate([[0.0], np.cumsum(counts(grid[:-1] + step / 2) * step)])
    number = rng.poisson(area * cumulative[-1], fields)
    field = np.repeat(np.arange(fields), number)
    return field, np.interp(rng.random(len(field)) * cumulative[-1], cumulative, grid)


def galaxy_counts(magnitude: np.ndarray) -> np.ndarray:
    """Galaxies per square degree and r magnitude.

    Through the counts of SDSS (90 per square degree to r = 17.77, Strauss et al. 2002, AJ 124, 1810) and DESI targets
    (864 to r = 19.5, Hahn et al. 2023, AJ 165, 253), and 24,000 at r = 23.1 (Metcalfe et al. 2001, MNRAS 323, 795);
    beyond, within 15 % of 46 * 10^(0.31 (i - 25)) per arcmin^2 (LSST Science Book 2009, section 3.7) at r = i + 0.35.
    """
    return 10 ** np.interp(magnitude, [13.0, 19.5, 21.0, 23.1, 27.2], [-0.593, 3.047, 3.670, 4.380, 5.710])


def star_counts(magnitude: np.ndarray) -> np.ndarray:
    """Stars per square degree and r magnitude at high galactic latitude: about 2,000 to r = 20."""
    return 300.0 * 10 ** (0.12 * (magnitude - 18))


def _galaxy_colours(magnitude: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(k, 2) colours g-r and r-z: blue cloud and a red sequence that thins out towards faint magnitudes."""
    red = rng.random(len(magnitude)) < np.clip(0.5 - 0.06 * (magnitude - 19), 0.1, 0.6)
    blue = np.clip(0.55 - 0.06 * (magnitude - 22), 0.3, 0.55)  # the faintest are the youngest
    g_r = np.where(red, rng.normal(1.2, 0.25, len(red)), rng.normal(blue, 0.25))
    # the two colours go together: few galaxies are green
    r_z = np.where(red, 0.7 * g_r, 0.2 + 0.45 * g_r) + rng.normal(0, 0.15, len(red))
    return np.stack([g_r, r_z], axis=1)


def _star_colours(magnitude: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(k, 2) colours g-r and r-z: turn-off stars at the bright end, M dwarfs at the faint end."""
    dwarf = rng.random(len(magnitude)) < np.clip(0.15 + 0.09 * (magnitude - 15), 0.1, 0.8)
    g_r = np.where(dwarf, rng.normal(1.45, 0.1, len(dwarf)), rng.normal(0.5, 0.2, len(dwarf)))
    r_z = np.where(dwarf, rng.uniform(0.7, 2.2, len(dwarf)), 0.5 * g_r)
    return np.stack([g_r, r_z], axis=1)


def _fluxes(magnitude: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(k, 5) nanomaggy in g, r, i, z, y; spectra flatten towards the red, in galaxies and in cool stars alike."""
    g_r, r_z = colours.T
    magnitudes = magnitude[:, None] + np.stack([g_r, 0 * r_z, -0.6 * r_z, -r_z, -1.2 * r_z], axis=1)
    return 10 ** (0.4 * (22.5 - magnitudes))


def _shapes(magnitude: np.ndarray, colours: np.ndarray, is_star: np.ndarray, rng: np.random.Generator):
    """Half-light radius (arcsec) and kind of each object; median radius 1.2" at r = 20 and 0.45" at r = 24."""
    median = 1.2 * 10 ** (-0.106 * (magnitude - 20))
    radius = np.clip(median * 10 ** rng.normal(0, 0.18, len(magnitude)), 0.1, 10.0)
    early = rng.random(len(magnitude)) < np.where(colours[:, 0] > 0.9, 0.6, 0.05)
    kind = np.where(is_star, STAR, np.where(early, BULGE, DISC))
    return np.where(is_star, 0.0, radius), kind
