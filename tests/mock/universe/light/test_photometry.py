"""Fast photometry with nuclei and forest: from the wide grid, at any redshift."""

import numpy as np
import pytest
from speclite.filters import load_filter

from skyloom.mock.universe.light import igm, ssp
from skyloom.mock.universe.light.active import NUCLEUS_FIELDS
from skyloom.mock.universe.light.photometry import (
    FILTERS,
    HSC_FILTERS,
    LSST_FILTERS,
    WISE,
    FastPhotometry,
    flux_scale,
    photometry,
)
from skyloom.mock.universe.light.wavelengths import OBSERVED, PIXEL


@pytest.fixture(scope="module")
def fast(grid_path):
    return FastPhotometry.of(ssp.load_grid(grid_path, (0, 0)), FILTERS + HSC_FILTERS + LSST_FILTERS + WISE)


def galaxy(grid, rows: int) -> dict:
    """Arguments of magnitudes: old stars, 10^11 Msun, no dust."""
    sfh = np.zeros((rows, len(grid.age_edges) - 1))
    sfh[:, 25:30] = 2e10
    zero = np.zeros(rows)
    return dict(sfh=sfh, log_z=zero, log_z_gas=zero, log_u=zero - 3, av=zero, dust_slope=zero, av_birth=zero)


def nothing(fast, rows):
    grid = fast.templates.grid
    return np.zeros((rows, len(grid.wide.wavelength)), "f4"), np.zeros((rows, len(grid.line_wavelength)))


def test_exact_photometry_of_a_constant_spectrum():
    """1e-17 erg/s/cm2/Angstrom everywhere: F_nu grows as wavelength squared; at the pivot wavelength both agree."""
    magnitude = 22.5 - 2.5 * np.log10(photometry(np.ones((1, len(OBSERVED)), "f4"), FILTERS + HSC_FILTERS))[0]
    pivot = np.array([4826, 6438, 9168, 4816, 6234, 7741, 8912, 9780.0])
    np.testing.assert_allclose(magnitude, -2.5 * np.log10(1e-17 * pivot**2 / 2.998e18) - 48.6, atol=0.05)
    assert PIXEL * len(OBSERVED) == pytest.approx(7700, abs=2)


def test_redshift_and_bins_do_not_matter_for_light_of_constant_flux_density(fast):
    light, lines = nothing(fast, 400)
    edges = fast.templates.grid.wide.edges
    light += (1 / (edges[1:] * edges[:-1])).astype("f4")
    z = np.linspace(0.01, 0.3, 400)
    flux = fast.fluxes(light, lines, z) / (flux_scale(z) * (1 + z))[:, None]
    np.testing.assert_allclose(flux / flux.mean(axis=0), 1, rtol=5e-4)
    np.testing.assert_allclose(flux.mean(axis=0) / flux.mean(), 1, rtol=2e-3)


def test_the_forest_dims_what_is_bluer_than_lyman_alpha(fast):
    """Constant F_lambda from z = 3: the transmission averaged over the filter; nothing redder is touched."""
    light, lines = nothing(fast, 1)
    light += 1
    z = np.array([3.05])
    bare = FastPhotometry(fast.templates, fast.curves, fast.bins, np.ones_like(fast.igm))
    ratio = (fast.fluxes(light, lines, z) / bare.fluxes(light, lines, z))[0]
    names = FILTERS + HSC_FILTERS + LSST_FILTERS + WISE
    # decam g: 4000 to 5500 Angstrom, Ly-alpha at 4923
    wavelength = np.arange(3700.0, 10000, 0.5)
    for name in ("decam2014-g", "lsst2023-u"):
        response = load_filter(name)
        weight = np.interp(wavelength, response.wavelength, response.response) * wavelength
        share = igm.transmission(wavelength, z)[0]
        assert ratio[names.index(name)] == pytest.approx((weight * share).sum() / weight.sum(), abs=0.01)
    assert ratio[1:3] == pytest.approx(1, abs=2e-4)  # the curves leak .01 % there


def test_a_nucleus_adds_its_light(fast):
    grid = fast.templates.grid
    rows, z = 2, np.array([1.5, 1.5])
    nucleus = {name: np.zeros(rows) for name in NUCLEUS_FIELDS}
    nucleus |= {
        "l_agn": np.array([0.0, 1e13]),
        "agn_type": np.array([0, 2], "i1"),
        "agn_slope": np.full(rows, -1.5),
        "agn_width": np.full(rows, 4000.0),
    }
    host = fast.magnitudes(**galaxy(grid, rows), redshift=z)
    both = fast.magnitudes(**galaxy(grid, rows), redshift=z, nucleus=nucleus)
    np.testing.assert_allclose(both[0], host[0], atol=1e-4)
    assert (both[1] < host[1] - 0.3).all()
    # L_bol = 5.15 lambda L_lambda at 3000 Angstrom: at z = 1.5 r (6420 Angstrom) sees 2570
    expected = 1e13 / (5.15 * 3000) * (2570 / 3000) ** -1.5 * flux_scale(z[1]) / 2.5 * 1e-17
    r = -2.5 * np.log10(expected * 6420**2 / 2.998e18) - 48.6
    assert both[1, 1] == pytest.approx(r, abs=0.35)  # Fe II, Balmer continuum and broad lines come on top
