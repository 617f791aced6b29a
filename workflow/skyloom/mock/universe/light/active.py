"""Active nuclei in the rest frame: the light of a quasar, and the narrow lines of every active galaxy.

- Continuum: power law normalised by L_bol = 5.15 lambda L_lambda(3000 Angstrom) (Richards et al. 2006, ApJS 166, 470;
  Runnoe et al. 2012, MNRAS 422, 478 find 5.2), its breaks and the hot dust of Temple et al. 2021 (MNRAS 508, 737), the
  Balmer continuum of Grandi 1982 (ApJ 255, 25), and Fe II. The host's light is not part of it.
- Broad lines: positions and strengths of the SDSS composite (Vanden Berk et al. 2001, AJ 122, 549, table 2), which fade
  as luminosity grows (Baldwin effect, slopes of Dietrich et al. 2002, ApJ 581, 912). Fe II is weaker where lines are
  broader (Boroson & Green 1992, ApJS 80, 109; Shen & Ho 2014, Nature 513, 210).
- Narrow lines: L[O III] = L_bol / 3500 (Heckman et al. 2004, ApJ 613, 109), ratios between those of LINERs and Seyferts
  (Kewley et al. 2006, MNRAS 372, 961). The nucleus is reddened as by the Small Magellanic Cloud; the narrow lines,
  whose relation is to light as it is seen, are not.
"""

import functools

import numpy as np

from skyloom.mock.universe.light.cosmology import LSUN_IN_ERG_S
from skyloom.mock.universe.light.nuclear_lines import BROAD, FE_OPTICAL, FE_UV, HARD, METAL_LINES, NARROW
from skyloom.mock.universe.light.wavelengths import C_KM_S

NUCLEUS_FIELDS = ("l_agn", "agn_type", "agn_slope", "agn_width", "agn_lines", "agn_hardness", "agn_ebv")

OXYGEN = 3500.0  # L_bol / L[O III] 5008
BOLOMETRIC = 5.15  # L_bol / lambda L_lambda at 3000 Angstrom
FWHM = 2.3548  # of a Gaussian, in sigmas
UV_BREAK, RED_BREAK = 1200.0, 3880.0  # Angstrom
UV_BEND, RED_BEND = 1.0, -0.94  # what the breaks add to the slope on their far side
DUST_TEMPERATURE = 1243.6  # K
DUST_LEVEL = 3.961  # f_nu of the hot dust at 2 micron over that of the power law at 5500 Angstrom
BALMER_EDGE, BALMER_LEVEL = 3646.0, 0.10  # Angstrom; of the power law at 3000 Angstrom
REFERENCE_LUMINOSITY = 46.6  # log10 erg/s: quasars that show the ultraviolet lines in the composite
FE_UV_TO_MGII, FE_OPTICAL_TO_HBETA = 2.8, 0.5  # fluxes at 2200-3090 and 4434-4684 Angstrom, at WIDTH
WIDTH = 4000.0  # km/s

WINDS = ("C IV", "Si IV + O IV]", "He II 1640")  # shifted further to the blue in luminous quasars
WIND_SLOPE = -500.0  # km/s for each dex (Richards et al. 2011, AJ 141, 167)
CORE, CORE_WIDTH, WING_WIDTH = 0.5, 0.826, 2.185  # a line is two Gaussians: share, and widths for a joint FWHM of 1

FE_WIDTHS = np.array([1000.0, 2000.0, 4000.0, 8000.0, 16000.0])  # km/s


def nucleus_of(population) -> dict[str, np.ndarray]:
    """The fields of a Population that describe its active nuclei."""
    return {name: getattr(population, name) for name in NUCLEUS_FIELDS}


def continuum(wavelength: np.ndarray, nucleus: dict[str, np.ndarray]) -> np.ndarray:
    """Light of the nuclei that are seen directly: continuum, Fe II and broad lines, behind their dust.

    Parameters
    ----------
    wavelength : (V,) Angstrom, rest frame, vacuum, rising
    nucleus : NUCLEUS_FIELDS, each (n,), as in Population

    Returns
    -------
    (n, V) f4, Lsun/Angstrom; 0 unless agn_type is 2
    """
    light = np.zeros((len(nucleus["l_agn"]), len(wavelength)), "f4")
    rows = np.flatnonzero((nucleus["agn_type"] == 2) & (nucleus["l_agn"] > 0))
    if len(rows):
        part = {name: np.asarray(nucleus[name])[rows].astype(float) for name in NUCLEUS_FIELDS}
        shape = _power_law(wavelength, part["agn_slope"])
        shape += _balmer_continuum(wavelength)
        _add_broad_lines(shape, wavelength, part)
        _add_iron(shape, wavelength, part)
        shape *= np.exp(np.outer(part["agn_ebv"], -0.4 * np.log(10) * small_magellanic(wavelength)).astype("f4"))
        light[rows] = shape * (part["l_agn"] / (BOLOMETRIC * 3000.0))[:, None].astype("f4")
    return light


def narrow_lines(line_names: np.ndarray, line_wavelength: np.ndarray, nucleus: dict[str, np.ndarray]) -> np.ndarray:
    """Luminosity (n, L) in Lsun of the narrow lines of active nuclei of both types, for the grid's lines.

    Parameters
    ----------
    line_names : (L,) as in SSPGrid, or of HARD; a line that is in neither table has none
    line_wavelength : (L,) Angstrom, not used: a name says it all
    nucleus : NUCLEUS_FIELDS, each (n,)
    """
    names = [str(name) for name in line_names]
    table = {**NARROW, **{name: ratios for name, (_, *ratios) in HARD.items()}}
    known = [i for i, name in enumerate(names) if name in table]
    liner, seyfert = np.array([table[names[i]] for i in known]).T
    # metal lines follow the nucleus' line strength further: the scatter across the branch of the BPT plane
    follow = np.array([1.5 if names[i].startswith(METAL_LINES) else 1.0 for i in known])
    rows = np.flatnonzero((np.asarray(nucleus["agn_type"]) > 0) & (np.asarray(nucleus["l_agn"]) > 0))
    part = {name: np.asarray(nucleus[name], float)[rows, None] for name in ("l_agn", "agn_hardness", "agn_lines")}
    log_ratio = liner + part["agn_hardness"] * (seyfert - liner) + part["agn_lines"] * follow
    lines = np.zeros((len(nucleus["l_agn"]), len(names)))
    lines[np.ix_(rows, known)] = part["l_agn"] / OXYGEN * 10**log_ratio
    return lines


def small_magellanic(wavelength: np.ndarray) -> np.ndarray:
    """A(wavelength) / E(B-V) of the Small Magellanic Cloud, as in Richards et al. 2003 (AJ 126, 1131)."""
    return 1.39 * (np.asarray(wavelength) / 1e4) ** -1.2


def _power_law(wavelength, slope):
    """Broken power law and hot dust (n, V) f4, the former 1 at 3000 Angstrom."""
    logs = np.log(wavelength / 3000.0).astype("f4")
    bend = UV_BEND * np.minimum(np.log(wavelength / UV_BREAK), 0) + RED_BEND * np.maximum(
        np.log(wavelength / RED_BREAK), 0
    )
    shape = np.exp(np.outer(slope.astype("f4"), logs) + bend.astype("f4"))
    at_5500 = np.exp(slope * np.log(5500.0 / 3000.0) + RED_BEND * np.log(5500.0 / RED_BREAK))
    dust = _black_body(wavelength, DUST_TEMPERATURE) / _black_body(2e4, DUST_TEMPERATURE)
    # from f_nu to f_lambda
    shape += np.outer(at_5500 * DUST_LEVEL * (5500.0 / 2e4) ** 2, dust).astype("f4")
    return shape


def _black_body(wavelength, temperature):
    """Planck's f_lambda, not normalised."""
    x = 1.43877735e8 / (temperature * np.asarray(wavelength))
    return wavelength**-5.0 / np.expm1(np.minimum(x, 700.0))


def _balmer_continuum(wavelength):
    """Optically thin at 15,000 K (V,) f4, level BALMER_LEVEL at 3000 Angstrom.

    Beyond its edge the high Balmer lines crowd together; they carry it on, fading over 120 Angstrom.
    """
    edge = np.minimum(wavelength, BALMER_EDGE)
    light = _black_body(edge, 15000.0) * -np.expm1(-((edge / BALMER_EDGE) ** 3))
    level = _black_body(3000.0, 15000.0) * -np.expm1(-((3000.0 / BALMER_EDGE) ** 3))
    return (BALMER_LEVEL * light / level * np.exp(-np.maximum(wavelength - BALMER_EDGE, 0) / 120.0)).astype("f4")


def _composite_continuum(wavelength):
    """Continuum under the lines of the composite, 1 at 3000 Angstrom: flux over equivalent width in its table 2."""
    return (wavelength / 3000.0) ** -1.5 * np.maximum(wavelength / 4861.0, 1.0) ** 0.74


def broad_line_fluxes(nucleus: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Flux (n,) of each broad line in Angstrom of the power law at 3000 Angstrom."""
    brightness = np.log10(nucleus["l_agn"] * LSUN_IN_ERG_S) - REFERENCE_LUMINOSITY
    return {
        name: width * _composite_continuum(centre) * 10 ** (slope * brightness + nucleus["agn_lines"])
        for name, (centre, width, _, slope) in BROAD.items()
    }


def _add_broad_lines(shape, wavelength, nucleus):
    brightness = np.log10(nucleus["l_agn"] * LSUN_IN_ERG_S) - REFERENCE_LUMINOSITY
    for name, flux in broad_line_fluxes(nucleus).items():
        centre, _, relative, _ = BROAD[name]
        velocity = np.clip(WIND_SLOPE * brightness, -1500.0, 500.0) if name in WINDS else 0.0
        centres = centre * (1 + np.broadcast_to(velocity, flux.shape) / C_KM_S)
        sigma = centres * nucleus["agn_width"] * relative / FWHM / C_KM_S
        for share, width in ((CORE, CORE_WIDTH), (1 - CORE, WING_WIDTH)):
            _add_gaussians(shape, wavelength, centres, sigma * width, flux * share)


def _add_gaussians(shape, wavelength, centre, sigma, flux):
    """Add one Gaussian to each row of `shape` (n, V): centre, sigma (Angstrom) and flux are (n,)."""
    reach = 5 * sigma.max()
    low, high = np.searchsorted(wavelength, [centre.min() - reach, centre.max() + reach])
    if high > low:
        x = (wavelength[low:high] - centre[:, None]) / sigma[:, None]
        peak = flux / (np.sqrt(2 * np.pi) * sigma)
        shape[:, low:high] += peak[:, None].astype("f4") * np.exp(-0.5 * np.square(x.astype("f4")))


def _add_iron(shape, wavelength, nucleus):
    """Fe II in the two regions, blended by the width of the broad lines."""
    lines = broad_line_fluxes(nucleus)
    # narrower lines go with stronger iron
    trend = np.clip((nucleus["agn_width"] / WIDTH) ** -0.8, 0.3, 2.5)
    position = np.interp(np.log(nucleus["agn_width"]), np.log(FE_WIDTHS), np.arange(len(FE_WIDTHS)))
    low = np.minimum(position.astype(int), len(FE_WIDTHS) - 2)
    part = position - low
    grid = wavelength.tobytes()
    for region, flux in (
        ("uv", lines["Mg II"] * FE_UV_TO_MGII * np.sqrt(trend)),
        ("optical", lines["H-beta"] * FE_OPTICAL_TO_HBETA * trend),
    ):
        first, templates = _iron_templates(region, grid)
        weights = np.zeros((len(flux), len(FE_WIDTHS)))
        weights[np.arange(len(flux)), low] = flux * (1 - part)
        weights[np.arange(len(flux)), low + 1] = flux * part
        shape[:, first : first + templates.shape[1]] += weights.astype("f4") @ templates


@functools.lru_cache(maxsize=8)
def _iron_templates(region, grid):
    """Blended Fe II (len(FE_WIDTHS), ...) f4, flux 1 in the window that defines its strength, and its first pixel."""
    wavelength = np.frombuffer(grid)
    features = np.array(FE_UV if region == "uv" else FE_OPTICAL)
    window = (2200.0, 3090.0) if region == "uv" else (4434.0, 4684.0)
    low, high = np.searchsorted(wavelength, [features[0, 0] * 0.9, features[-1, 0] * 1.1])
    centre, flux, own = features.T
    inside = flux[(centre > window[0]) & (centre < window[1])].sum()
    templates = np.zeros((len(FE_WIDTHS), high - low), "f4")
    for centre_i, flux_i, own_i in zip(centre, flux / inside, own, strict=True):
        sigma = np.hypot(own_i, centre_i * FE_WIDTHS / FWHM / C_KM_S)
        _add_gaussians(
            templates, wavelength[low:high], np.full(len(sigma), centre_i), sigma, np.full(len(sigma), flux_i)
        )
    return low, templates
