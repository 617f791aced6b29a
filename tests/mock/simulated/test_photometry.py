"""LSST and SPHEREx magnitudes against speclite and against the integral over the spectrum."""

import astropy.units as u
import numpy as np
import pytest
from speclite.filters import FilterSequence

from skyloom.core.errors import BadInput
from skyloom.mock.simulated import channels
from skyloom.mock.universe.light import cosmology, igm
from skyloom.mock.universe.light.active import nucleus_of
from skyloom.mock.universe.light.photometry import HC, LSST_FILTERS, flux_scale, responses


@pytest.fixture(scope="module")
def light(fast, galaxies):
    p = galaxies
    return fast.light(p.sfh, p.log_z, p.log_z_gas, p.log_u, p.av, p.dust_slope, p.av_birth, nucleus_of(galaxies))


@pytest.fixture(scope="module")
def magnitudes(fast, light, galaxies):
    return 22.5 - 2.5 * np.log10(fast.fluxes(*light, galaxies.redshift))


def test_there_are_102_channels_in_order_from_three_quarters_to_five_micron(spherex):
    wavelength = channels.effective_wavelengths(spherex)
    assert len(spherex) == 102 and (np.diff(wavelength) > 0).all()
    assert wavelength[0] == pytest.approx(7590, abs=30) and wavelength[-1] == pytest.approx(49800, abs=100)


def test_a_source_of_constant_flux_density_has_one_magnitude_in_all_filters(fast, grid, galaxies):
    """F_nu constant, in the rest frame from 912 Angstrom to 6 micron, no lines, nearer than any forest."""
    edges = grid.wide.edges
    light = np.broadcast_to(1 / (edges[1:] * edges[:-1]), (2, len(edges) - 1)).astype("f4")
    z = np.array([0.001, 0.15])
    flux = fast.fluxes(light, np.zeros((2, len(grid.line_wavelength))), z)
    magnitude = 22.5 - 2.5 * np.log10(flux)
    # the source, at its distance, in erg/s/cm2/Hz: L_nu = L_lambda lambda^2 / c
    density = (1 + z) * flux_scale(z) * 1e-17 / 2.99792458e18
    expected = -2.5 * np.log10(density) - 48.6
    np.testing.assert_allclose(magnitude, np.repeat(expected[:, None], 108, axis=1), atol=2e-3)


def test_magnitudes_agree_with_speclite_on_the_spectrum(fast, grid, galaxies, light, magnitudes, spherex):
    """The same light as a spectrum of 25 km/s pixels, every line a Gaussian of 60 km/s, through speclite."""
    rows = np.flatnonzero(galaxies.redshift < 2)[:20]  # beyond, the forest needs finer bins than a spectrum shown here
    filters = FilterSequence((*responses(LSST_FILTERS), *spherex))
    for row in rows:
        z = galaxies.redshift[row]
        rest = grid.wide.edges[0] * np.exp(np.arange(0, np.log(60000 / 912), 25 / 299792.458))
        flux = light[0][row][(np.searchsorted(grid.wide.edges, rest, side="right") - 1).clip(max=len(light[0][0]) - 1)]
        flux = flux.astype(float)
        for wavelength, luminosity in zip(grid.line_wavelength, light[1][row], strict=True):
            sigma = wavelength * 60 / 299792.458
            near = slice(*np.searchsorted(rest, [wavelength - 5 * sigma, wavelength + 5 * sigma]))
            flux[near] += (
                luminosity * np.exp(-0.5 * ((rest[near] - wavelength) / sigma) ** 2) / sigma / np.sqrt(2 * np.pi)
            )
        flux *= igm.transmission(rest * (1 + z), np.array([z]))[0] * flux_scale(z) / (1 + z)
        observed = filters.get_ab_magnitudes(
            flux * 1e-17 * u.erg / u.s / u.cm**2 / u.AA, rest * (1 + z) * u.AA, mask_invalid=True
        )
        expected = np.array([observed[name][0] for name in filters.names])
        np.testing.assert_allclose(magnitudes[row], expected, atol=0.01)


def test_a_line_counts_where_it_is(fast, grid, spherex):
    """H-alpha alone: the photons of the line, weighted by the response there, over those of a source of magnitude 0."""
    lines = np.zeros((1, len(grid.line_wavelength)))
    line = np.argmin(np.abs(grid.line_wavelength - 6564.6))
    lines[0, line] = 1e8  # Lsun
    for z in (0.3, 0.83, 2.5):
        flux = fast.fluxes(np.zeros((1, len(grid.wide.edges) - 1), "f4"), lines, np.array([z]))[0, 6:]
        distance = cosmology.luminosity_distance(z) * 3.0857e24
        arriving = 1e8 * 3.828e33 / (4 * np.pi * distance**2)  # erg/s/cm2
        observed = grid.line_wavelength[line] * (1 + z)
        photons = [arriving * observed / HC * response(observed * u.AA) for response in spherex]
        expected = 1e9 * np.array(photons) / [response.ab_zeropoint.value for response in spherex]
        assert expected.max() > 0
        np.testing.assert_allclose(flux, expected, atol=0.01 * expected.max())


def test_files_that_are_no_filters_get_one_line(tmp_path, spherex_paths):
    with pytest.raises(BadInput, match="expected spherex_band1.par"):
        channels.spherex_filters(spherex_paths[:5])
    broken = tmp_path / "spherex_band3.par"
    broken.write_text("1.0 2.0\n2.0 3.0\n")
    with pytest.raises(BadInput, match="spherex_band3.par: table of shape"):
        channels.spherex_filters([*spherex_paths[:2], broken, *spherex_paths[3:]])
