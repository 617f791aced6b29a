"""Things that should not be there, put in on purpose and labelled, for those who look for outliers.

Each kind is what its name says and nothing else: the rest of the galaxy's data and all of its truth are untouched. The
share of galaxies that get one is `anomaly_rate` in the configuration, which is 0 unless set; then nothing here is used.

blend             a second galaxy, at another redshift, on top of the target: in the spectrum and in the images
wrong_image       all images are those of another galaxy of the tile; catalogues have the right one
calibration_step  the flux of one arm of the spectrograph is off by a factor
lensed_arc        the images show the arcs of a blue galaxy lensed by the target
qso_in_host       a nucleus about as bright as its host is added: broad lines in the spectrum, a point in the images
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import ncx2

from skyloom.mock.instruments.images.drawing import FIBRE_RADIUS, FIBRE_SEEING
from skyloom.mock.instruments.images.images import Scene, add_arc, add_object
from skyloom.mock.universe.light.active import RED_BEND, RED_BREAK
from skyloom.mock.universe.light.photometry import flux_scale
from skyloom.mock.universe.light.ssp import SSPGrid
from skyloom.mock.universe.light.wavelengths import C_ANGSTROM_S
from skyloom.mock.universe.population.furnish import magnitudes
from skyloom.mock.universe.population.nuclei import BOLOMETRIC_3000
from skyloom.mock.universe.population.population import Population

KINDS = ("blend", "wrong_image", "calibration_step", "lensed_arc", "qso_in_host")
LIGHT = ("sfh", "log_z", "log_z_gas", "log_u", "av", "dust_slope", "av_birth")  # fields that make a host's light
LENS_MASS = 10.7  # log10 Msun: what lenses is massive (Auger et al. 2009, ApJ 705, 1099)
REFERENCE = 6420.0  # Angstrom, of r
BLEND_REDSHIFT = 0.02  # in ln(1+z), at least
LARGEST_BLEND = 1.5  # arcsec, half-light radius of a second galaxy: larger ones would not look like a blend


@dataclass(frozen=True)
class Anomalies:
    """What is wrong with n galaxies.

    kind : (n,) '<U16', one of KINDS or ""
    other : (n,) row of the galaxy that is in the way (blend, wrong_image), or -1
    """

    kind: np.ndarray
    other: np.ndarray


def none(n: int) -> Anomalies:
    """Nothing is wrong with n galaxies."""
    return Anomalies(np.zeros(n, "<U16"), np.full(n, -1))


def draw(
    population: Population, imaged: np.ndarray, observed: np.ndarray, rate: float, rng: np.random.Generator
) -> Anomalies:
    """Choose a share `rate` of n galaxies, and for each one of the kinds it can have.

    Lenses are massive, quasars have no second nucleus, and what is in the images or the spectrum needs these: `imaged`
    and `observed` (n,) say who has them.
    """
    n = len(population)
    quiet = population.agn_type != 2
    possible = {
        "blend": quiet & imaged & observed,
        "wrong_image": imaged & (n > 1),
        "calibration_step": observed,
        "lensed_arc": quiet & imaged & (population.log_mstar > LENS_MASS),
        "qso_in_host": quiet & imaged & observed,
    }
    # what few can have is chosen more often for these: the kinds are about equally many
    rare = {kind: 1 / max(1, np.count_nonzero(mask)) for kind, mask in possible.items()}
    found = none(n)
    for row in np.flatnonzero(rng.random(n) < rate):
        weight = np.array([rare[kind] * possible[kind][row] for kind in KINDS])
        kind = str(rng.choice(KINDS, p=weight / weight.sum())) if weight.any() else ""
        if kind in ("blend", "wrong_image"):
            far = np.abs(np.log((1 + population.redshift) / (1 + population.redshift[row]))) > BLEND_REDSHIFT
            others = np.flatnonzero(far & quiet if kind == "blend" else np.arange(n) != row)
            if not len(others):
                continue
            found.other[row] = rng.choice(others)
        found.kind[row] = kind
    return found


def with_quasars(population: Population, anomalies: Anomalies, grid: SSPGrid, rng: np.random.Generator) -> Population:
    """The population in which the hosts of `qso_in_host` have a nucleus .4 to 2.5 times as bright in r as they are."""
    rows = np.flatnonzero(anomalies.kind == "qso_in_host")
    if not len(rows):
        return population
    z, slope = population.redshift[rows], population.agn_slope[rows]
    ratio = 10 ** rng.uniform(-0.4, 0.4, len(rows))
    # AB magnitude -> 1e-17 erg/s/cm2/Angstrom at REFERENCE -> Lsun/Angstrom at the rest wavelength -> at 3000 Angstrom
    flux = ratio * 10 ** (-0.4 * (population.mag_r[rows] + 48.6)) * C_ANGSTROM_S / REFERENCE**2 * 1e17
    at_rest = flux * (1 + z) / flux_scale(z)
    at_3000 = at_rest * (3000.0 * (1 + z) / REFERENCE) ** slope
    at_3000 /= np.maximum(REFERENCE / (1 + z) / RED_BREAK, 1.0) ** RED_BEND
    changed = {name: getattr(population, name).copy() for name in ("l_agn", "agn_type", "agn_ebv", "agn_hardness")}
    changed["l_agn"][rows] = BOLOMETRIC_3000 * 3000.0 * at_3000
    changed["agn_type"][rows] = 2
    changed["agn_ebv"][rows] = 0.0
    changed["agn_hardness"][rows] = 1.0
    population = replace(population, **changed)
    hosts = vars(population[rows])
    brighter = magnitudes({name: hosts[name] for name in LIGHT}, hosts["redshift"], hosts, grid)
    for name, values in brighter.items():
        brighter[name] = getattr(population, name).copy()
        brighter[name][rows] = values
    return replace(population, **brighter)


def blend_scale(flux: float, other_flux: float, rng: np.random.Generator) -> float:
    """Factor that makes a galaxy of `other_flux` .4 to 1 times as bright as one of `flux`."""
    return rng.uniform(0.4, 1.0) * flux / other_flux


def blended(
    scene: Scene, row: int, other: Population, flux: np.ndarray, rng: np.random.Generator
) -> tuple[Scene, float]:
    """The scene with galaxy `other` (one row) of `flux` (5,) on target `row`, and its light's share in the fibre.

    For the share both galaxy and seeing are Gaussians.
    """
    distance, direction = rng.uniform(0.4, 0.9), rng.uniform(0, 2 * np.pi)
    bulge = other.bulge_fraction[0, 1] > 0.5
    size, ratio = (other.r_bulge[0], other.q_bulge[0]) if bulge else (other.r_disk[0], other.q_disk[0])
    size = min(size, LARGEST_BLEND)
    x, y = distance * np.cos(direction), distance * np.sin(direction)
    scene = add_object(scene, row, x, y, flux, size, ratio, other.angle[0], "bulge" if bulge else "disc")
    variance = FIBRE_SEEING**2 + ratio * (size / 1.1774) ** 2
    return scene, float(ncx2.cdf(FIBRE_RADIUS**2 / variance, 2, distance**2 / variance))


def with_arc(scene: Scene, row: int, rng: np.random.Generator) -> Scene:
    """The scene with arcs of a blue galaxy of r = 19.8 to 20.8, magnified, 1.6 to 2.6 arcsec around target `row`."""
    # g - r = .2, flat towards the red: a star-forming galaxy at z of 1 to 2
    colour = np.array([0.2, 0.0, -0.1, -0.15, -0.2])
    flux = 10 ** (0.4 * (22.5 - rng.uniform(19.8, 20.8) - colour))
    return add_arc(scene, row, flux, rng.uniform(1.6, 2.6), rng)


def step_calibration(observation, rows: np.ndarray, rng: np.random.Generator) -> None:
    """Multiply one arm of spectra `rows` of an instrument.Observation by 1.4 to 2 or its inverse, in place."""
    for row in rows:
        arm = list(observation.flux)[rng.integers(3)]
        factor = rng.uniform(1.4, 2.0) ** rng.choice([-1, 1])
        observation.flux[arm][row] *= factor
        observation.ivar[arm][row] /= factor**2
