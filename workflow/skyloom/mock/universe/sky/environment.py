"""Galaxies put into the places of sky.py: groups in space, the motions in them, and who is whose neighbour.

A group is a halo: its members share the distance of its centre to within its size (isotropic, GROUP_SIZE on the sky
turned into Mpc) and have velocities of the dispersion that belongs to its mass (Evrard et al. 2008, ApJ 672, 122).
Redshifts change before spectra are made, by little: groups are made of galaxies that were drawn at almost the same one.
Lengths are comoving Mpc in the Planck 2018 universe.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from astropy.cosmology import Planck18
from scipy.spatial import cKDTree

from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.light.wavelengths import C_KM_S
from skyloom.mock.universe.population import programs
from skyloom.mock.universe.population.population import Population
from skyloom.mock.universe.sky.coverage import directions, distance_to_border
from skyloom.mock.universe.sky.sky import GROUP_SIZE, positions

FIELD_VELOCITY = 300.0  # km/s along the line of sight, outside of groups
QUENCHED_IN_GROUPS = 2.0  # how much likelier a quenched galaxy is to be in a group (Wetzel et al. 2012, MNRAS 424, 232)
FURTHEST = 0.01  # change of ln(1+z) up to which a galaxy joins its group
RADII = (1, 2, 5)  # Mpc


@dataclass(frozen=True)
class Environment:
    """Where n galaxies are, for sure.

    Attributes
    ----------
    ra, dec : (n,) degrees.
    group : (n,) int64, -1 for none; other tiles have other groups.
    velocity : (n,) km/s, peculiar, along the line of sight: what redshift has beyond the distance's.
    place : (n, 3) x, y, z in real space; x points to ra 0, dec 0, z to the north.
    neighbours : (n, 3) int32, galaxies of this tile within RADII of each, in real space.
    border : (n,) Mpc to where the tile, the footprint or a hole ends: counts in a larger radius are incomplete.
    """

    ra: np.ndarray
    dec: np.ndarray
    group: np.ndarray
    velocity: np.ndarray
    place: np.ndarray
    neighbours: np.ndarray
    border: np.ndarray


def settle(
    population: Population, hpix: int, program: str, rng: np.random.Generator, config: Mapping
) -> tuple[Population, Environment]:
    """Give every galaxy a place in a tile and, in groups, the redshift that belongs to it.

    Parameters
    ----------
    population : n galaxies as drawn.
    config : of the survey, with `seed`.

    Returns
    -------
    population : the same galaxies in another order, those in groups moved by at most FURTHEST in ln(1+z).
    environment : of each of them.
    """
    n = len(population)
    ra, dec, group = positions(hpix, n, rng, config)
    population = population[_seating(population, int(np.sum(group >= 0)), rng)]
    velocity = rng.normal(0, FIELD_VELOCITY, n)
    population, group, velocity = _into_groups(population, group, velocity, rng, config)
    distance = _distance((1 + population.redshift) / (1 + velocity / C_KM_S) - 1)

    shuffled = rng.permutation(n)  # else rows would come group by group
    population = population[shuffled]
    ra, dec, group, velocity, distance = (values[shuffled] for values in (ra, dec, group, velocity, distance))
    place = distance[:, None] * directions(ra, dec)
    tree = cKDTree(place)
    counts = [tree.query_ball_point(place, radius, return_length=True) - 1 for radius in RADII]
    number = 10_000 * hpix + 5_000 * (program == "dark") + group
    return population, Environment(
        ra=ra,
        dec=dec,
        group=np.where(group >= 0, number, -1).astype("i8"),
        velocity=velocity,
        place=place,
        neighbours=np.stack(counts, axis=1).astype("i4"),
        border=distance * np.radians(distance_to_border(hpix, ra, dec, config["seed"])),
    )


def velocity_dispersion(log_mhalo: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Of a halo, in one direction, km/s: 1083 (h(z) M / 1e15 Msun)^0.336 (Evrard et al. 2008)."""
    hubble = Planck18.H(np.asarray(z)).value / 100
    return 1082.9 * (hubble * 10 ** (np.asarray(log_mhalo) - 15)) ** 0.3361


def _seating(population: Population, in_groups: int, rng: np.random.Generator) -> np.ndarray:
    """The order of galaxies in the places: first those for groups, by redshift: a group's are next to each other."""
    haste = rng.exponential(1.0, len(population)) / np.where(population.quenched, QUENCHED_IN_GROUPS, 1.0)
    order = np.argsort(haste, kind="stable")
    joining, rest = order[:in_groups], np.sort(order[in_groups:])
    return np.concatenate([joining[np.argsort(population.redshift[joining], kind="stable")], rest])


def _into_groups(population: Population, group: np.ndarray, velocity: np.ndarray, rng, config):
    """Move the members of each group to its redshift; who would go far, or be lost to the survey, stays alone."""
    member = np.flatnonzero(group >= 0)
    if not len(member):
        return population, group, velocity
    of, mass = group[member], population.log_mhalo[member]
    # the heaviest halo is the group's
    first = np.lexsort([-mass, of])
    _, head, which = np.unique(of[first], return_index=True, return_inverse=True)
    place = np.empty(len(member), int)
    place[first] = which
    central = member[first[head]]
    z_group = population.redshift[central]
    spread = velocity_dispersion(population.log_mhalo[central], z_group)
    moving = rng.standard_normal(len(member)) * spread[place]
    distance = _distance(z_group)[place] * (1 + np.radians(GROUP_SIZE) * rng.standard_normal(len(member)))
    z = (1 + _redshift(distance)) * (1 + moving / C_KM_S) - 1

    moved = _at_redshift(population[member], z)
    near = np.abs(np.log((1 + z) / (1 + population.redshift[member]))) < FURTHEST
    joins = near & (z > 0.001) & _accepted(moved, config)
    joins &= np.bincount(place[joins], minlength=len(central))[place] > 1  # one galaxy is no group
    group, velocity = group.copy(), velocity.copy()
    group[member[~joins]] = -1
    velocity[member[joins]] = moving[joins]
    return _replaced(population, member[joins], moved[joins]), group, velocity


def _at_redshift(population: Population, z: np.ndarray) -> Population:
    """The same galaxies a little further or nearer; their K corrections do not change enough to matter."""
    dimmer = 5 * np.log10(cosmology.luminosity_distance(z) / cosmology.luminosity_distance(population.redshift))
    smaller = cosmology.kpc_per_arcsec(population.redshift) / cosmology.kpc_per_arcsec(z)
    names = population.__dataclass_fields__
    sizes = {name: getattr(population, name) * smaller for name in names if name.startswith("r_")}
    magnitudes = {name: getattr(population, name) + dimmer for name in names if name.startswith("mag_")}
    return replace(population, redshift=z, **sizes, **magnitudes)


def _accepted(population: Population, config: Mapping) -> np.ndarray:
    good = np.zeros(len(population), bool)
    for target in np.unique(population.target):
        rows = np.flatnonzero(population.target == target)
        good[rows] = programs.accepted(population[rows], config)
    return good


def _replaced(population: Population, rows: np.ndarray, by: Population) -> Population:
    changed = population[np.arange(len(population))]
    for name in population.__dataclass_fields__:
        getattr(changed, name)[rows] = getattr(by, name)
    return changed


@functools.cache
def _distances() -> tuple[np.ndarray, np.ndarray]:
    z = np.concatenate([[0.0], np.geomspace(1e-4, 6.0, 3000)])
    return z, cosmology.luminosity_distance(z) / (1 + z)


def _distance(z):
    return np.interp(z, *_distances())


def _redshift(distance):
    return np.interp(distance, *_distances()[::-1])
