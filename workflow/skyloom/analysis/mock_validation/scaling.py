"""Scaling relations of a volume-limited sample: masses, star formation, metals and sizes."""

import numpy as np

from skyloom.analysis.mock_validation import published
from skyloom.analysis.mock_validation.checks import Ledger
from skyloom.mock.universe.light import cosmology
from skyloom.mock.universe.light.ssp import SSPGrid
from skyloom.mock.universe.population import histories
from skyloom.mock.universe.population.morphology import half_light_radius
from skyloom.mock.universe.population.population import Population

QUIESCENT = -11.0  # log10 of the specific star-formation rate (1/yr) that divides the sequences
SFR_TIME = 1e8  # yr over which the rate is averaged, as ultraviolet light does
SOLAR_OXYGEN = 8.93  # 12 + log(O/H) of the nebular grid at log Z = 0: Cloudy's old solar abundances
COMPLETE = 9.5  # log10 Msun; below it the local sample is not complete
MASS_EDGES = np.arange(9.5, 11.76, 0.25)


def measure(local: Population, grid: SSPGrid) -> dict[str, np.ndarray]:
    """What the relations are made of, each (n,): log_mstar, log_sfr, star_forming, log_z, oxygen, log_size (kpc), z."""
    sfr = histories.recent_rate(local.sfh, grid.age_edges, SFR_TIME)
    log_sfr = np.log10(np.maximum(sfr, 1e-6))
    radius = half_light_radius(vars(local)) * cosmology.kpc_per_arcsec(local.redshift)
    return {
        "log_mstar": local.log_mstar,
        "log_sfr": log_sfr,
        "star_forming": log_sfr - local.log_mstar > QUIESCENT,
        "log_z": local.log_z,
        "oxygen": SOLAR_OXYGEN + local.log_z_gas,
        "log_size": np.log10(radius),
        "z": local.redshift,
    }


def mass_function(log_mstar: np.ndarray, volume: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mass (m,), galaxies / Mpc^3 / dex (m,) and how many they are (m,), of galaxies that fill `volume` (Mpc^3)."""
    count, _ = np.histogram(log_mstar, MASS_EDGES)
    return 0.5 * (MASS_EDGES[1:] + MASS_EDGES[:-1]), count / volume / np.diff(MASS_EDGES), count


def check_mass_function(ledger: Ledger, log_mstar: np.ndarray, volume: float) -> None:
    """log10 of the density over that of Driver et al. 2022, in dex, in bins .5 wide."""
    for centre in (9.75, 10.25, 10.75, 11.25):
        edges = np.array([centre - 0.25, centre + 0.25])
        n = int(((log_mstar >= edges[0]) & (log_mstar < edges[1])).sum())
        fine = np.linspace(*edges, 51)
        expected = np.mean(published.mass_function_driver(fine)) * 0.5 * volume
        ledger.add(f"smf_{centre:g}", np.log10(n / expected) if n else np.nan, n)


def check(ledger: Ledger, local: dict[str, np.ndarray]) -> None:
    """Main sequence, quenched fraction, metals and sizes of the output of `measure`."""
    mass, forming = local["log_mstar"], local["star_forming"]
    _check_main_sequence(ledger, mass[forming], local["log_sfr"][forming])
    for centre in (10.0, 10.5, 11.0):
        near = np.abs(mass - centre) < 0.2
        ledger.add(f"quenched_{centre:g}", _mean(~forming[near]), near.sum())
    for centre in (9.75, 10.25, 11.0):
        near = np.abs(mass - centre) < 0.2
        ledger.add(f"stellar_metallicity_{centre:g}", _median(local["log_z"][near]), near.sum())
    near = np.abs(mass - 10.5) < 0.25
    ledger.add("stellar_metallicity_scatter", half_range(local["log_z"][near]), near.sum())
    for centre in (9.5, 10.5):
        near = forming & (np.abs(mass - centre) < 0.2)
        ledger.add(f"oxygen_{centre:g}", _median(local["oxygen"][near]), near.sum())
    _check_sizes(ledger, local)


def _check_main_sequence(ledger, mass, log_sfr):
    inside = (mass > COMPLETE) & (mass < 10.75)
    if inside.sum() < 20:
        return
    slope, level = np.polyfit(mass[inside] - 10, log_sfr[inside], 1)
    left = log_sfr[inside] - level - slope * (mass[inside] - 10)
    for name, value in (("slope", slope), ("level", level), ("scatter", half_range(left))):
        ledger.add(f"main_sequence_{name}", value, inside.sum())


def _check_sizes(ledger, local):
    at = np.log10(5e10)
    for kind, rows, lowest in (
        ("late", local["star_forming"], COMPLETE),
        ("early", ~local["star_forming"], np.log10(2e10)),
    ):
        inside = rows & (local["log_mstar"] > lowest)
        if inside.sum() < 20:
            continue
        slope, level = np.polyfit(local["log_mstar"][inside] - at, local["log_size"][inside], 1)
        left = local["log_size"][inside] - level - slope * (local["log_mstar"][inside] - at)
        ledger.add(f"size_{kind}_level", level, inside.sum())
        ledger.add(f"size_{kind}_slope", slope, inside.sum())
        ledger.add(f"size_{kind}_scatter", half_range(left), inside.sum())


def half_range(values: np.ndarray) -> float:
    """Half of the range from the 16th to the 84th percentile: the standard deviation, if it is Gaussian."""
    if not len(values):
        return np.nan
    low, high = np.percentile(values, [16, 84])
    return float(high - low) / 2


def _median(values):
    return float(np.median(values)) if len(values) else np.nan


def _mean(values):
    return float(np.mean(values)) if len(values) else np.nan
