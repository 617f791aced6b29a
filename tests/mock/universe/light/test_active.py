"""Active nuclei against the SDSS composite, bolometric corrections, and the classification of narrow lines."""

import numpy as np
import pytest

from skyloom.mock.universe.light import active, cosmology
from skyloom.mock.universe.light.nuclear_lines import BROAD
from skyloom.mock.universe.light.synthesis import line_luminosities
from skyloom.mock.universe.population.draw import draw

# Angstrom: centre, equivalent width, flux over that of Mg II; Vanden Berk et al. 2001, table 2
COMPOSITE = {
    "C IV": (1546.15, 23.78, 25.291 / 14.725),
    "C III]": (1905.97, 21.19, None),
    "Mg II": (2800.26, 32.28, 1.0),
    "H-beta": (4853.13, None, 8.649 / 14.725),
    "H-alpha": (6564.93, None, 30.832 / 14.725),
}
WINDOW = {  # Angstrom: continuum to the left and right of a line
    "C IV": (1450, 1480, 1700, 1730),
    "C III]": (1780, 1800, 1995, 2015),
    "Mg II": (2690, 2700, 2905, 2915),
    "H-beta": (4700, 4720, 5080, 5110),
    "H-alpha": (6100, 6130, 6950, 7000),
}
TYPICAL = 10**active.REFERENCE_LUMINOSITY / cosmology.LSUN_IN_ERG_S
NAMES = np.array(
    ["H  1  4861.32A", "O  3  5006.84A", "O  3  4958.91A", "H  1  6562.80A", "N  2  6583.45A", "Fe 2  1.0m"]
)


def nuclei(n=1, **fields):
    usual = {
        "l_agn": TYPICAL,
        "agn_type": 2,
        "agn_slope": -1.5,
        "agn_width": 4000.0,
        "agn_lines": 0.0,
        "agn_hardness": 1.0,
        "agn_ebv": 0.0,
    }
    return {name: np.broadcast_to(np.asarray(value), n).copy() for name, value in (usual | fields).items()}


@pytest.fixture(scope="module")
def wavelength():
    return np.arange(900.0, 9000.0, 0.5)


@pytest.fixture(scope="module")
def typical(wavelength):
    return active.continuum(wavelength, nuclei())[0]


def measured(name, wavelength, spectrum):
    """Flux, equivalent width and centre of a line above a straight line between its two windows, as observers do."""
    a, b, c, d = WINDOW[name]
    left, right = ((wavelength > a) & (wavelength < b)), ((wavelength > c) & (wavelength < d))
    anchors = [wavelength[left].mean(), wavelength[right].mean()], [spectrum[left].mean(), spectrum[right].mean()]
    part = (wavelength > b) & (wavelength < c)
    under = np.interp(wavelength[part], *anchors)
    excess = spectrum[part] - under
    return excess.sum() * 0.5, (excess / under).sum() * 0.5, wavelength[part][np.argmax(excess)]


def test_lines_are_as_strong_as_in_the_composite(wavelength, typical):
    magnesium, *_ = measured("Mg II", wavelength, typical)
    for name, (_, width, ratio) in COMPOSITE.items():
        flux, equivalent_width, _ = measured(name, wavelength, typical)
        if width:
            assert equivalent_width == pytest.approx(width, rel=0.2), name
        if ratio:
            assert flux / magnesium == pytest.approx(ratio, rel=0.2), name
    alpha = (wavelength > 1150) & (wavelength < 1290)
    without = active.continuum(wavelength, nuclei(agn_lines=-9.0))[0]
    # Ly-alpha and N V, 92.9 + 1.1
    assert ((typical - without) / without)[alpha].sum() * 0.5 == pytest.approx(94, rel=0.1)


def test_lines_are_where_the_composite_has_them(wavelength, typical):
    for name, (centre, *_) in COMPOSITE.items():
        if name != "C III]":  # a blend there
            assert measured(name, wavelength, typical)[2] == pytest.approx(centre, rel=400 / active.C_KM_S), name
    assert wavelength[np.argmax(typical)] == pytest.approx(1216.25, abs=1.0)


def test_luminous_quasars_have_weaker_and_bluer_carbon(wavelength):
    faint, bright = (active.continuum(wavelength, nuclei(l_agn=TYPICAL * f))[0] for f in (0.1, 10.0))
    widths, centres = zip(*(measured("C IV", wavelength, s)[1:] for s in (faint, bright)), strict=True)
    # Dietrich et al. 2002: equivalent width ~ L^-.14
    assert np.log10(widths[1] / widths[0]) / 2 == pytest.approx(-0.14, abs=0.02)
    assert centres[1] < centres[0] - 3
    assert measured("H-beta", wavelength, bright)[1] == pytest.approx(
        measured("H-beta", wavelength, faint)[1], rel=0.06
    )


def test_broad_lines_have_their_width(wavelength):
    for width in (2000.0, 4000.0, 8000.0):
        spectrum = active.continuum(wavelength, nuclei(agn_width=width))[0]
        spectrum = spectrum - active.continuum(wavelength, nuclei(agn_width=width, agn_lines=-9.0))[0]
        near = np.abs(wavelength - BROAD["H-alpha"][0]) < 600
        above = wavelength[near][spectrum[near] > spectrum[near].max() / 2]
        expected = width * BROAD["H-alpha"][2]
        assert np.ptp(above) / 6565 * active.C_KM_S == pytest.approx(expected, rel=0.05)


def test_luminosity_is_bolometric():
    """Corrections of Runnoe et al. 2012 (1450, 3000, 5100 Angstrom: 4.2, 5.2, 8.1) and Richards et al. 2006 (10.3)."""
    at = np.array([1450.0, 3000.0, 5100.0])
    light = active.continuum(at, nuclei(agn_lines=-9.0))[0]
    np.testing.assert_allclose(TYPICAL / (light * at), [4.0, 5.2, 8.5], rtol=0.15)


def test_iron_is_half_of_hydrogen_and_more_where_lines_are_narrow(wavelength):
    ratios = []
    for width in (2000.0, 4000.0, 8000.0):
        shape = np.zeros((1, len(wavelength)), "f4")
        nucleus = nuclei(agn_width=width)
        active._add_iron(shape, wavelength, nucleus)
        part = (wavelength > 4434) & (wavelength < 4684)
        ratios.append(shape[0, part].sum() * 0.5 / active.broad_line_fluxes(nucleus)["H-beta"][0])
    assert ratios[1] == pytest.approx(0.5, rel=0.15) and ratios[0] > 1.4 * ratios[1] > 1.9 * ratios[2]


def test_dust_before_the_nucleus_is_smc_like(wavelength, typical):
    red = active.continuum(wavelength, nuclei(agn_ebv=0.1))[0]
    loss = -2.5 * np.log10(red / typical) / 0.1
    # A_V = 2.74 E(B-V), and 3.4 times as much at 2000 Angstrom (Prevot et al. 1984)
    assert np.interp(5500, wavelength, loss) == pytest.approx(2.74, rel=0.06)
    assert np.interp(2000, wavelength, loss) / np.interp(5500, wavelength, loss) == pytest.approx(3.4, rel=0.05)


def test_only_bare_nuclei_have_a_continuum(wavelength):
    light = active.continuum(wavelength, nuclei(3, agn_type=[0, 1, 2]))
    assert (light[:2] == 0).all() and (light[2] > 0).all() and light.dtype == np.float32


def test_narrow_lines_follow_the_luminosity():
    lines = active.narrow_lines(NAMES, np.zeros(len(NAMES)), nuclei(3, agn_type=[0, 1, 2]))
    assert (lines[0] == 0).all() and (lines[:, 5] == 0).all()
    # Heckman et al. 2004; the doublet by atomic physics
    np.testing.assert_allclose(TYPICAL / lines[1:, 1], 3500)
    np.testing.assert_allclose(lines[1:, 1] / lines[1:, 2], 2.98, rtol=0.01)


def test_hardness_runs_from_liners_to_seyferts():
    names = np.append(NAMES[:5], ["S  2  6716.44A", "S  2  6730.82A", "O  1  6300.30A"])
    nucleus = nuclei(2, agn_hardness=[0.0, 1.0])
    hb, o3, _, ha, n2, s2a, s2b, o1 = active.narrow_lines(names, np.zeros(8), nucleus).T
    x, y = np.log10(n2 / ha), np.log10(o3 / hb)
    assert (y > 0.61 / (x - 0.47) + 1.19).all()  # Kewley et al. 2001: not stars
    # Kewley et al. 2006, equations 11 and 13: Seyferts above, LINERs below
    for other in (1.89 * np.log10((s2a + s2b) / ha) + 0.76, 1.18 * np.log10(o1 / ha) + 1.30):
        assert y[0] < other[0] and y[1] > other[1]


def test_star_forming_galaxies_sit_on_the_bpt_sequence(grid):
    galaxies = draw(600, np.random.default_rng(11), {}, grid, "bgs")
    p = galaxies[~galaxies.quenched]
    lines = line_luminosities(grid, p.sfh, p.log_z_gas, p.log_u, p.av, p.dust_slope, p.av_birth)
    hb, o3, ha, n2 = (lines[:, list(grid.line_name).index(NAMES[i])] for i in (0, 1, 3, 4))
    x, y = np.log10(n2 / ha), np.log10(o3 / hb)
    # Kauffmann et al. 2003: stars below; Kewley et al. 2013, equation 3: the locus at z = 0
    below = (x < 0.04) & (y < 0.61 / (np.minimum(x, 0.04) - 0.05) + 1.3)
    assert below.mean() > 0.9
    track = np.linspace(-2, -0.35, 800)
    distance = np.hypot(x[:, None] - track, y[:, None] - (0.61 / (track + 0.08) + 1.1)).min(axis=1)
    assert np.median(distance) < 0.12
    assert np.ptp(np.percentile(x, [5, 95])) > 0.5
