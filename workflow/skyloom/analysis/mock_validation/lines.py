"""The plane of [NII]/Halpha and [OIII]/Hbeta, and which galaxies lie where in it."""

import numpy as np

from skyloom.analysis.mock_validation import published
from skyloom.analysis.mock_validation.checks import Ledger
from skyloom.mock.universe.light import active
from skyloom.mock.universe.light.photometry import flux_scale
from skyloom.mock.universe.light.ssp import SSPGrid
from skyloom.mock.universe.light.synthesis import line_luminosities
from skyloom.mock.universe.population.population import Population
from skyloom.mock.universe.population.programs import fibre_share

LINES = {
    "hbeta": ("H  1  4861.32A",),
    "oiii": ("O  3  5006.84A",),
    "halpha": ("H  1  6562.80A",),
    "nii": ("N  2  6583.45A",),
    "sii": ("S  2  6716.44A", "S  2  6730.82A"),
}
PLANE = ("hbeta", "oiii", "halpha", "nii")
FAINTEST = 3.0  # 1e-17 erg/s/cm2 in the fibre: three sigma of a line in 180 s of the bright program
Z_LIMITS = (0.02, 0.2)  # of the SDSS galaxies among which the shares were counted


def line_fluxes(galaxies: Population, grid: SSPGrid) -> dict[str, np.ndarray]:
    """Flux (n,) of LINES in the fibre, 1e-17 erg/s/cm2: of HII regions and of narrow-line regions."""
    p = galaxies
    stars = line_luminosities(grid, p.sfh, p.log_z_gas, p.log_u, p.av, p.dust_slope, p.av_birth)
    stars *= fibre_share(p)[:, None]
    nuclei = active.narrow_lines(grid.line_name, grid.line_wavelength, active.nucleus_of(p))
    total = (stars + nuclei) * flux_scale(p.redshift)[:, None]
    names = [str(name).strip() for name in grid.line_name]
    return {key: total[:, [names.index(name) for name in of_it]].sum(axis=1) for key, of_it in LINES.items()}


def plane(flux: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log [NII]/Halpha, log [OIII]/Hbeta (n,), and whether its four lines are bright enough."""
    seen = np.all([flux[name] > FAINTEST for name in PLANE], axis=0)
    safe = {name: np.maximum(values, 1e-9) for name, values in flux.items()}
    return np.log10(safe["nii"] / safe["halpha"]), np.log10(safe["oiii"] / safe["hbeta"]), seen


def classes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """ "forming", "composite" (between the lines of Kauffmann and Kewley) or "active", (n,)."""
    return np.select(
        [y < published.kauffmann_line(x), y < published.kewley_line(x)], ["forming", "composite"], "active"
    )


def check(ledger: Ledger, bgs: Population, sdss: Population, grid: SSPGrid) -> dict[str, dict[str, np.ndarray]]:
    """Shares of composites and active galaxies in an SDSS-like sample, and the height of the star-forming sequence.

    Returns x, y and kind of those whose lines are seen, of `bgs` and `sdss`, for the figure.
    """
    found = {}
    near = (sdss.redshift > Z_LIMITS[0]) & (sdss.redshift < Z_LIMITS[1])
    for name, galaxies in (("bgs", bgs), ("sdss", sdss[near])):
        flux = line_fluxes(galaxies, grid)
        x, y, seen = plane(flux)
        sulphur = np.log10(flux["sii"][seen] / flux["halpha"][seen])
        found[name] = {"x": x[seen], "y": y[seen], "kind": classes(x[seen], y[seen]), "sulphur": sulphur}
    x, y, kind, sulphur = found["sdss"].values()
    if len(kind):
        ledger.add("bpt_composite", np.mean(kind == "composite"), len(kind))
        ledger.add("bpt_active", np.mean(kind == "active"), len(kind))
        ledger.add("sulphur", np.median(sulphur[kind == "forming"]), (kind == "forming").sum())
    forming = (kind == "forming") & (x < -0.3)
    if forming.any():
        ledger.add("bpt_ridge", np.median(y[forming] - published.star_forming_ridge(x[forming])), forming.sum())
    return found
