"""Surface densities, redshift distributions and colours of the surveys' targets."""

import numpy as np

from skyloom.analysis.mock_validation.checks import Ledger
from skyloom.analysis.mock_validation.samples import Library

Z_EDGES = {
    "bright": np.arange(0, 0.61, 0.03),
    "faint": np.arange(0, 0.61, 0.03),
    "lrg": np.arange(0.3, 1.21, 0.05),
    "elg": np.arange(0.5, 1.71, 0.1),
    "qso": np.arange(0.3, 4.11, 0.2),
}


def redshifts(library: Library) -> dict[str, np.ndarray]:
    """Redshifts of each kind of target."""
    bright = library.bgs.mag_r < 19.5
    split = {"bright": library.bgs.redshift[bright], "faint": library.bgs.redshift[~bright]}
    return split | {name: galaxies.redshift for name, galaxies in library.programs.items()}


def per_square_degree(library: Library) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Kind -> edges of redshift bins, and targets per square degree in each (a histogram if there is no density)."""
    found = {}
    for kind, z in redshifts(library).items():
        count, edges = np.histogram(z, Z_EDGES[kind])
        density = library.density[kind]
        found[kind] = edges, count * (density / len(z) if np.isfinite(density) and len(z) else 1.0)
    return found


def check(ledger: Ledger, library: Library) -> None:
    """Densities, and where in redshift the targets are."""
    z = redshifts(library)
    for kind, density in library.density.items():
        ledger.add(f"density_{kind}", density, len(z[kind]))
    ledger.add("z_median_bright", np.median(z["bright"]), len(z["bright"]))
    for kind, name, low, high in (
        ("lrg", "share_lrg", 0.4, 1.0),
        ("elg", "share_elg", 0.6, 1.6),
        ("elg", "share_elg_far", 1.1, 1.6),
        ("qso", "share_qso_lya", 2.1, np.inf),
    ):
        ledger.add(name, np.mean((z[kind] > low) & (z[kind] < high)), len(z[kind]))
    _check_counts(ledger, library)
    _check_colours(ledger, library)


def _check_counts(ledger, library):
    """Slope of the counts of galaxies with magnitude, where neither volume nor selection bends them much."""
    edges = np.array([16.5, 17.0, 17.5, 18.0, 18.5, 19.0, 19.5])
    count, _ = np.histogram(library.bgs.mag_r, edges)
    if (count > 0).all():
        slope = np.polyfit(0.5 * (edges[1:] + edges[:-1]), np.log10(count), 1, w=np.sqrt(count))[0]
        ledger.add("counts_slope", slope, count.sum())


def _check_colours(ledger, library):
    """Observed g - r of the two sequences of BGS Bright around z = .1, as SDSS sees them."""
    p = library.bgs
    near = (np.abs(p.redshift - 0.1) < 0.02) & (p.mag_r < 19.5) & (p.log_mstar > 10)
    colour = p.mag_g - p.mag_r
    red = near & p.quenched
    ledger.add("colour_red_sequence", _median(colour[red]), red.sum())
    blue = near & ~p.quenched & (p.log_mstar < 10.7)
    ledger.add("colour_blue_cloud", _median(colour[blue]), blue.sum())


def _median(values):
    return float(np.median(values)) if len(values) else np.nan
