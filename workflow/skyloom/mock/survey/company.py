"""Satellites of a tile's galaxies on its cutouts: galaxies too faint to be targets, at the redshift of their hosts.

They are of the tile, not of a cutout: the satellites of a group are on the cutouts of all its members. A halo's are
around its central galaxy, in a group the one with the heaviest halo. They have the light and the sizes of the default
population's galaxies of their mass, kind and redshift. Of those as bright as targets the catalogue has its share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from skyloom.mock.instruments.images.neighbours import BULGE, DISC, MARGIN, NODES, Objects, Provided, eclipsed
from skyloom.mock.layout import default
from skyloom.mock.survey.beside import ARCSEC, CUTOUT
from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.light.dust import EXTINCTION
from skyloom.mock.universe.light.ssp import SSPGrid
from skyloom.mock.universe.population import parametric, programs, satellites
from skyloom.mock.universe.population.morphology import half_light_radius
from skyloom.mock.universe.population.population import Population
from skyloom.mock.universe.sky.coverage import directions

LIMIT = 23.0  # LSST i: about all are drawn that are brighter, and many fainter ones
HALF = CUTOUT / 2 + MARGIN  # arcsec


@dataclass(frozen=True)
class Company:
    """`objects`: satellites on cutouts, whose `cutout` is the row of a galaxy of the tile, ascending."""

    objects: Objects

    @classmethod
    def of(cls, tile, config: Mapping, grid: SSPGrid, provided: Provided, rng: np.random.Generator) -> "Company":
        """Of a tile (tile.Tile), with `provided` of its beside.Beside; `rng` is of the tile."""
        galaxies = tile.population
        central = centrals(tile.environment.group, galaxies.log_mhalo)
        hosts = galaxies[central]
        lightest = programs.lightest("all", hosts.redshift, LIMIT)
        traits = hosts.log_mhalo, hosts.log_mstar, hosts.redshift, lightest
        found = satellites.draw(*traits, rng, default(config, "neighbours"))
        scale = cosmology.kpc_per_arcsec(hosts.redshift)[found.host]
        host, x, y = central[found.host], found.x / scale, found.y / scale
        row, target, x, y = _on_cutouts(tile, host, x, y)
        seen, which = np.unique(row, return_inverse=True)
        z = galaxies.redshift[host[seen]]
        if not len(seen):
            return cls(_objects(np.zeros(0, int), np.zeros(0), np.zeros(0), None, np.zeros((0, 5))))
        light = parametric.satellites(z, found[seen], rng, grid)
        flux = _fluxes(light, tile.ebv[host[seen]])
        kept = rng.random(len(seen)) >= provided(22.5 - 2.5 * np.log10(flux[:, 1]))
        objects = _objects(target, x, y, light[which], flux[which])
        magnitude = galaxies.mag_r[target] + EXTINCTION["R"] * tile.ebv[target]
        return cls(objects[np.flatnonzero(kept[which] & ~eclipsed(objects, magnitude))])

    def around(self, rows: np.ndarray) -> Objects:
        """The satellites on the cutouts of galaxies `rows`, whose `cutout` counts these."""
        place = self.objects.cutout
        first, last = np.searchsorted(place, rows), np.searchsorted(place, rows, side="right")
        cutout = np.repeat(np.arange(len(rows)), last - first)
        which = np.arange(len(cutout)) + np.repeat(last - np.cumsum(last - first), last - first)
        return replace(self.objects[which], cutout=cutout)


def centrals(group: np.ndarray, log_mhalo: np.ndarray) -> np.ndarray:
    """Rows, ascending, of galaxies without a group (-1 in `group` (n,)) and of the heaviest halo of each group."""
    order = np.lexsort([-log_mhalo, group])
    _, first = np.unique(group[order], return_index=True)
    heaviest = order[first]
    return np.sort(np.concatenate([np.flatnonzero(group < 0), heaviest[group[heaviest] >= 0]]))


def _on_cutouts(tile, host, x, y):
    """Pairs of satellite (row) and target whose cutout it is on, by target, and where: arcsec from the target."""
    ra, dec = tile.ra[host] - x / 3600 / np.cos(np.radians(tile.dec[host])), tile.dec[host] + y / 3600
    tree = cKDTree(directions(tile.ra, tile.dec))
    near = tree.query_ball_point(directions(ra, dec), 2 * np.sin(np.sqrt(2) * HALF * ARCSEC / 2), return_sorted=True)
    row = np.repeat(np.arange(len(host)), [len(some) for some in near])
    target = np.concatenate([*near, np.zeros(0)]).astype(int)
    east = (ra[row] - tile.ra[target] + 180) % 360 - 180
    west, north = -east * np.cos(np.radians(tile.dec[target])) * 3600, (dec[row] - tile.dec[target]) * 3600
    order = np.lexsort([row, target])
    order = order[np.maximum(np.abs(west), np.abs(north))[order] < HALF]
    return row[order], target[order], west[order], north[order]


def _fluxes(light: Population, ebv: np.ndarray) -> np.ndarray:
    """(k, 5) nanomaggy at NODES behind the Milky Way's dust; y follows the slope from r to z."""
    y = light.mag_z - 0.2 * (light.mag_r - light.mag_z)
    magnitude = np.stack([light.mag_g, light.mag_r, light.mag_i, light.mag_z, y], axis=1)
    known = [EXTINCTION[band] for band in "GRZ"]
    magnitude += np.outer(ebv, np.interp(NODES, [NODES[0], NODES[1], NODES[3]], known))
    return 10 ** (0.4 * (22.5 - magnitude))


def _objects(target, x, y, light: Population | None, flux: np.ndarray) -> Objects:
    if light is None:
        return Objects(target, target, x, y, flux, x, x, x)
    round_ = light.bulge_fraction[:, 1] > 0.5
    ratio, angle = np.where(round_, light.q_bulge, light.q_disk), np.where(round_, light.angle_bulge, light.angle)
    return Objects(target, np.where(round_, BULGE, DISC), x, y, flux, half_light_radius(vars(light)), ratio, angle)
