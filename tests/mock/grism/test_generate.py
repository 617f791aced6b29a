"""A mock grism survey: lines where redshift and physics put them, noise as stated, the same bytes every time."""

import numpy as np
import pytest

from skyloom.formats.spectrum_parts import read_part, read_spectra
from skyloom.mock.grism import generate
from skyloom.mock.instruments import grism as instrument
from skyloom.mock.universe.light.active import nucleus_of
from skyloom.mock.universe.light.photometry import LSST_FILTERS, FastPhotometry, responses
from skyloom.mock.universe.light.ssp import load_grid
from skyloom.settings.survey import Grid

PIXELS = Grid(start=11900.0, step=13.4, pixels=531)
WAVELENGTH = PIXELS.start + PIXELS.step * np.arange(PIXELS.pixels)
CONFIG = {"population": "parametric", "magnitude_limit": 24.0, "redshift_max": 3.0, "line_flux": 15.0}
H_ALPHA, O_III = 6564.6, 5008.2


@pytest.fixture(scope="module")
def light_grid(grid_path):
    return load_grid(grid_path, (0.0, 0.0))


@pytest.fixture(scope="module")
def selected(light_grid):
    return generate.selected(250, np.random.default_rng(1), CONFIG, light_grid, PIXELS)


def test_the_light_of_a_line_is_kept_and_lies_where_the_line_is():
    flux = np.zeros((2, PIXELS.pixels))
    centre, sigma = np.array([[15000.0, 12500.0], [14007.0, 40000.0]]), np.full((2, 2), 20.0)
    instrument.add_lines(flux, PIXELS, np.array([[30.0, 10.0], [5.0, 99.0]]), centre, sigma)
    assert flux.sum(axis=1) * PIXELS.step == pytest.approx([40.0, 5.0], rel=1e-6)
    mean = (flux[1] * WAVELENGTH).sum() / flux[1].sum()
    width = np.sqrt((flux[1] * (WAVELENGTH - mean) ** 2).sum() / flux[1].sum())
    assert mean == pytest.approx(14007, abs=0.01)
    assert width == pytest.approx(np.hypot(20, PIXELS.step / np.sqrt(12)), rel=1e-3)  # a pixel is a box


def test_a_point_source_is_resolved_as_published_and_larger_ones_less():
    resolution = 15000 / (2.3548 * instrument.line_spread(np.array([0.0, 0.25, 0.6])))
    assert resolution[0] > 430 and (np.diff(resolution) < 0).all() and resolution[1] == pytest.approx(380, abs=60)


def test_every_galaxy_has_a_line_in_range_and_most_show_h_alpha(selected):
    galaxies, flux = selected
    z = galaxies.redshift
    seen = (H_ALPHA * (1 + z) > 12050) & (H_ALPHA * (1 + z) < 18850)
    assert 0.5 < seen.mean() < 0.95  # others show [O III], [S III], Paschen lines
    assert (z > 1.95).any() and (z < 0.8).any()
    excess = np.array([row.max() - np.median(row) for row in flux])
    # a line of 1.5e-16 erg/s/cm2 that is twice as wide as the narrowest
    assert (excess > 15 / (np.sqrt(2 * np.pi) * 100)).all()


def test_lines_lie_at_the_redshift_that_is_told(selected):
    galaxies, flux = selected
    z = galaxies.redshift
    alone = galaxies.agn_type == 0  # of active nuclei [N II] moves the peak of the blend with H alpha
    for rest, some in ((H_ALPHA, (z > 0.9) & (z < 1.3) & alone), (O_III, (z > 2.0) & (z < 2.6))):
        assert some.sum() >= 5
        for row, shift in zip(flux[some], z[some], strict=True):
            near = abs(WAVELENGTH - rest * (1 + shift)) < 200
            peak = WAVELENGTH[near][row[near].argmax()]
            assert peak == pytest.approx(rest * (1 + shift), abs=30)


def test_continua_have_the_magnitudes_that_other_filters_measure(light_grid, selected):
    galaxies, flux = selected
    names = ("lsst2023-y",)
    nearer = Grid(start=9000.0, step=13.4, pixels=200)  # pixels that span a filter whose photometry has its own tests
    some = galaxies[np.arange(60)]
    light, lines = generate._light(some, light_grid)
    spectrum = generate.noiseless(some, light, lines, light_grid, nearer)
    places = nearer.start + nearer.step * np.arange(nearer.pixels)
    (response,) = responses(names)
    padded = [response.pad_spectrum(row * 1e-17, places, method="zero") for row in spectrum]
    got = [response.get_ab_magnitude(*pair) for pair in padded]
    fast = FastPhotometry.of(light_grid, LSST_FILTERS)
    wanted = ("sfh", "log_z", "log_z_gas", "log_u", "av", "dust_slope", "av_birth")
    given = {name: getattr(some, name) for name in wanted}
    known = fast.magnitudes(redshift=some.redshift, nucleus=nucleus_of(some), **given)[:, -1]
    assert np.array(got) == pytest.approx(known, abs=0.05)


def test_noise_is_more_than_stated_and_shared_by_neighbours():
    rng = np.random.default_rng(0)
    sigma = instrument.stated_noise(3000, PIXELS, rng)
    drawn = instrument.noise(sigma, rng) / sigma
    inner = drawn[:, 40:480]
    good = np.isfinite(sigma[:, 40:480])
    typical = 1.4826 * np.median(np.abs(np.where(good, inner, np.nan)[:, 100:200]), axis=1)
    assert np.nanmedian(typical) == pytest.approx(instrument.TRUE_NOISE[0], rel=0.05)
    pairs = good[:, 1:] & good[:, :-1]
    shared = (inner[:, 1:] * inner[:, :-1])[pairs].mean() / (inner[good] ** 2).mean()
    weight = instrument.NEIGHBOUR
    assert shared == pytest.approx(2 * weight / (1 + 2 * weight**2), abs=0.02)
    apart = good[:, 3:] & good[:, :-3]
    assert abs((inner[:, 3:] * inner[:, :-3])[apart].mean()) < 0.02


def test_nothing_is_measured_beyond_the_filter_and_noise_rises_at_its_ends():
    sigma = instrument.stated_noise(400, PIXELS, np.random.default_rng(2))
    assert np.isinf(sigma[:, (WAVELENGTH < 11950) | (WAVELENGTH > 18990)]).all()
    typical = np.median(sigma, axis=0)
    assert typical[250] == pytest.approx(0.09, rel=0.2)
    assert typical[10] > 1.4 * typical[250] and typical[-3] > 4 * typical[250]


def test_a_part_holds_truth_and_is_the_same_every_time(grid_path, tmp_path):
    config = CONFIG | {"galaxies_per_part": 60, "quasars": 0.1, "grid": PIXELS.plain()}
    paths = [tmp_path / f"{name}.h5" for name in "ab"]
    for path in paths:
        generate.make_part(3, 7, config, grid_path, path)
    kept, aside = read_part(paths[0])
    assert len(kept["row"]) == 60 and not len(aside["row"])
    assert (kept["spectype_true"] == "QSO").sum() == 6 and (kept["z_true"] == kept["redshift"]).all()
    assert kept["identifier"][1] == "3000000001" and np.isfinite(kept["log_mstar"]).all()
    both = [read_spectra(path, np.arange(60), PIXELS.plain()) for path in paths]
    assert all(np.array_equal(one, two) for one, two in zip(*both, strict=True))
    generate.make_part(4, 7, config | {"quasars": 1.0, "galaxies_per_part": 5}, grid_path, paths[1])
    assert (read_part(paths[1])[0]["spectype_true"] == "QSO").all()
    generate.make_part(4, 7, config, grid_path, paths[1])
    assert not np.isin(read_part(paths[1])[0]["z_true"], kept["z_true"]).any()
    flux, ivar = both[0]
    assert ((flux == 0) | (ivar > 0)).all() and 0.9 < (ivar > 0).mean() < 1
