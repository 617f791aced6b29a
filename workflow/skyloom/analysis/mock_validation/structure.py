"""What galaxies look like and who is beside them: dust and inclination, sizes and colours, satellites, dimming."""

import numpy as np

from skyloom.analysis.mock_validation.checks import Ledger
from skyloom.analysis.mock_validation.samples import Library
from skyloom.mock.universe.light import cosmology, dust
from skyloom.mock.universe.light.photometry import flux_scale
from skyloom.mock.universe.population import halos, satellites
from skyloom.mock.universe.population.morphology import half_light_radius
from skyloom.mock.universe.population.population import Population

R_BAND, I_BAND, Z_BAND = 6420.0, 7540.0, 9140.0  # Angstrom
HOSTS = 4000  # haloes whose satellites are counted
HOST_MASS, WITHIN, RATIO = (11.0, 11.3), 300.0, -2.0  # log10 Msun; kpc on the sky; log10 of the mass over the host's
SINGLE, REACH = (10.5, 10.9), (30.0, 300.0)  # log10 Msun of galaxies like ours; kpc


def check(ledger: Ledger, library: Library, rng: np.random.Generator) -> None:
    """Of the local sample and of BGS targets; satellites of haloes drawn for this."""
    local = library.local
    _check_inclination(ledger, local)
    _check_gradients(ledger, local)
    _check_components(ledger, local)
    _check_satellites(ledger, rng)
    z = np.geomspace(0.01, 0.6, 50)
    received = flux_scale(z) * cosmology.kpc_per_arcsec(z) ** 2  # of a patch of given luminosity a square kpc
    ledger.add("dimming", np.polyfit(np.log10(1 + z), np.log10(received), 1)[0], len(z))


def _check_inclination(ledger, local: Population):
    """How much discs dim in r with the square of log q."""
    disc = ~local.quenched & (local.bulge_fraction[:, 1] < 0.3) & (local.log_mstar > 9.5) & (local.log_mstar < 11)
    some = local[disc]
    curve = dust.attenuation(np.full(1, R_BAND / 1.06), some.dust_slope)[:, 0]
    tilt = np.log10(some.q_disk) ** 2
    ledger.add("inclination_dimming", np.polyfit(tilt, some.av * curve, 1)[0] if len(some) > 20 else np.nan, len(some))


def _check_gradients(ledger, local: Population):
    """Half-light radius in z over that in g of early and late types."""
    ratio = half_light_radius(vars(local), 2) / half_light_radius(vars(local), 0)
    for kind, rows in (("early", local.quenched), ("late", ~local.quenched)):
        rows = rows & (np.abs(local.log_mstar - 10.25) < 0.5)
        ledger.add(f"size_z_over_g_{kind}", np.mean(ratio[rows]) if rows.any() else np.nan, rows.sum())


def colours(galaxies: Population, band: str = "r") -> tuple[np.ndarray, np.ndarray]:
    """g less `band`, r or i, (n,) of bulges and of discs; NaN where a component has less than a tenth of the light in
    r."""
    share, total = galaxies.bulge_fraction, galaxies.mag_g - getattr(galaxies, f"mag_{band}")
    near = 1 + (np.log(I_BAND / R_BAND) / np.log(Z_BAND / R_BAND) if band == "i" else 0)  # from r, 1, towards z, 2
    red = share[:, 1] * (2 - near) + share[:, 2] * (near - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        bulge = total - 2.5 * np.log10(share[:, 0] / red)
        disc = total - 2.5 * np.log10((1 - share[:, 0]) / (1 - red))
    return np.where(share[:, 1] > 0.1, bulge, np.nan), np.where(share[:, 1] < 0.9, disc, np.nan)


def _check_components(ledger, local: Population):
    """Bulges are redder than their discs; yet those of blue galaxies are bluer than discs of red ones."""
    bulge, disc = colours(local)
    both = np.isfinite(bulge) & np.isfinite(disc)
    forming, massive = both & ~local.quenched, local.log_mstar > 10
    spiral = forming & massive
    ledger.add("bulge_minus_disc", _median(np.subtract(*colours(local, "i"))[spiral]), spiral.sum())
    small = forming & ~massive
    ledger.add("bulge_minus_disc_faint", _median((bulge - disc)[small]) - _median((bulge - disc)[spiral]), small.sum())
    red = local.quenched & np.isfinite(disc) & massive
    blue = np.isfinite(bulge) & ~local.quenched & ~massive
    ledger.add("blue_bulge_red_disc", _median(bulge[blue]) - _median(disc[red]), blue.sum())


def _check_satellites(ledger, rng):
    """Satellites around massive galaxies nearby, their share without star formation, and how they crowd inwards."""
    found = _satellites(HOST_MASS, rng)
    ledger.add("satellites", (np.hypot(found.x, found.y) < WITHIN).sum() / HOSTS, HOSTS)
    some = np.abs(found.log_mstar - 10.0) < 0.3
    ledger.add("satellites_quenched", _mean(found.quenched[some]), some.sum())
    # around single galaxies the surface density falls as a power of the distance
    found, edges = _satellites(SINGLE, rng), np.geomspace(*REACH, 7)
    count, _ = np.histogram(np.hypot(found.x, found.y), edges)
    density = np.log10(np.maximum(count, 0.5) / np.diff(edges**2))
    slope = np.polyfit(np.log10(np.sqrt(edges[1:] * edges[:-1])), density, 1)[0]
    ledger.add("satellites_slope", slope, count.sum())


def _satellites(masses: tuple[float, float], rng) -> satellites.Satellites:
    """Of HOSTS galaxies of `masses` at redshift .02, down to RATIO."""
    log_mstar, z = rng.uniform(*masses, HOSTS), np.full(HOSTS, 0.02)
    return satellites.draw(halos.halo_mass(log_mstar, z, rng), log_mstar, z, log_mstar + RATIO, rng)


def _median(values):
    return float(np.median(values)) if len(values) else np.nan


def _mean(values):
    return float(np.mean(values)) if len(values) else np.nan
