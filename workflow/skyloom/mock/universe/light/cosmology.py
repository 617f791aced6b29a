"""Distances and ages of the mock universe (Planck 2018), tabulated once for any number of galaxies."""

import functools

import numpy as np
from astropy import units
from astropy.cosmology import Planck18

MPC_IN_CM = 3.0856775814913673e24
LSUN_IN_ERG_S = 3.828e33


@functools.cache
def _table(z_max: float = 6.0, n: int = 3000) -> dict[str, np.ndarray]:
    z = np.concatenate([[0.0], np.geomspace(1e-4, z_max, n)])
    return {
        "z": z,
        "luminosity_distance": Planck18.luminosity_distance(z).to_value(units.Mpc),
        "age": Planck18.age(z).to_value(units.Gyr),
        "volume": Planck18.comoving_volume(z).to_value(units.Mpc**3),
    }


def luminosity_distance(z: np.ndarray) -> np.ndarray:
    """Luminosity distance in Mpc."""
    table = _table()
    return np.interp(z, table["z"], table["luminosity_distance"])


def age(z: np.ndarray) -> np.ndarray:
    """Age of the universe in Gyr."""
    table = _table()
    return np.interp(z, table["z"], table["age"])


def comoving_volume(z: np.ndarray) -> np.ndarray:
    """Comoving volume of the whole sky out to `z`, in Mpc^3."""
    table = _table()
    return np.interp(z, table["z"], table["volume"])


def kpc_per_arcsec(z: np.ndarray) -> np.ndarray:
    """Proper transverse size of one arcsecond, in kpc."""
    return luminosity_distance(z) / (1 + np.asarray(z)) ** 2 * 1e3 * np.pi / (180 * 3600)
