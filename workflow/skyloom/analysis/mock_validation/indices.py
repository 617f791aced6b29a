"""Spectral indices, the same function for mock and real spectra: breaks, absorption and emission equivalent widths.

All work on spectra of one observed grid, at any redshift, and leave out bad pixels. Bands are given as published, in
air, and are moved to vacuum, where DESI spectra are.

Sources: D4000n and [OII] Balogh et al. 1999 (ApJ 527, 54), table 1; Hdelta_A Worthey & Ottaviani 1997 (ApJS 111, 377),
table 1; Hbeta Trager et al. 1998 (ApJS 116, 1), table 2. [OIII] and Halpha+[NII] have bands of their own, wide enough
to hold lines of 300 km/s; Halpha and [NII] are taken together, since smoothed spectra blend them.
"""

from dataclasses import dataclass

import numpy as np

VACUUM = 1.000278  # vacuum over air wavelength, within 2e-6 from 3700 to 6700 Angstrom
COVERED = 0.7  # share of a band's pixels that must be good


@dataclass(frozen=True)
class Index:
    """An equivalent width: the central band and its two pseudo-continua, Angstrom in air; `sign` 1 counts emission."""

    band: tuple[float, float]
    blue: tuple[float, float]
    red: tuple[float, float]
    sign: int


BREAK = ((3850.0, 3950.0), (4000.0, 4100.0))
CONTINUUM = ((4150.0, 4250.0), (5400.0, 5500.0))
INDICES = {
    "hdelta_a": Index((4083.5, 4122.25), (4041.6, 4081.5), (4128.5, 4161.0), -1),
    "ew_oii": Index((3713.0, 3741.0), (3653.0, 3713.0), (3741.0, 3805.0), 1),
    "ew_hbeta": Index((4847.875, 4876.625), (4827.875, 4847.875), (4876.625, 4891.625), 1),
    "ew_oiii": Index((4996.0, 5018.0), (4972.0, 4996.0), (5018.0, 5058.0), 1),
    "ew_halpha": Index((6533.0, 6598.0), (6483.0, 6530.0), (6602.0, 6650.0), 1),
}
LABELS = {
    "d4000": "D4000n",
    "colour": "continuum colour 4200 - 5450 [mag]",
    "hdelta_a": "Hδ_A [Å]",
    "ew_oii": "EW([OII]) [Å]",
    "ew_hbeta": "EW(Hβ) [Å]",
    "ew_oiii": "EW([OIII] 5007) [Å]",
    "ew_halpha": "EW(Hα+[NII]) [Å]",
}


def measure(wavelength: np.ndarray, flux: np.ndarray, z: np.ndarray, good: np.ndarray | None = None) -> dict:
    """All of LABELS for spectra.

    Parameters
    ----------
    wavelength : (W,) Angstrom in vacuum, evenly spaced
    flux : (n, W) per Angstrom, any scale
    z : (n,) redshift
    good : (n, W) bool, all if None

    Returns
    -------
    dict
        name -> (n,): rest-frame equivalent widths in Angstrom (emission positive for lines, absorption for Hdelta_A),
        D4000n as a ratio of mean f_nu, the continuum colour in AB magnitudes; NaN where a band is not covered.
    """
    flux = np.asarray(flux, float)
    good = np.isfinite(flux) if good is None else np.asarray(good) & np.isfinite(flux)
    z = np.asarray(z, float)
    return {
        "d4000": break_4000(wavelength, flux, z, good),
        "colour": continuum_colour(wavelength, flux, z, good),
        **{name: equivalent_width(wavelength, flux, z, index, good) for name, index in INDICES.items()},
    }


def break_4000(wavelength, flux, z, good) -> np.ndarray:
    """D4000n (n,): mean f_nu at 4000-4100 over that at 3850-3950 Angstrom."""
    f_nu = flux * wavelength**2
    blue, red = (band_mean(wavelength, f_nu, z, band, good) for band in BREAK)
    return np.where(blue > 0, red / np.where(blue > 0, blue, 1), np.nan)


def continuum_colour(wavelength, flux, z, good) -> np.ndarray:
    """AB magnitudes (n,) between the line-free bands around 4200 and 5450 Angstrom, rest frame."""
    f_nu = flux * wavelength**2
    blue, red = (band_mean(wavelength, f_nu, z, band, good) for band in CONTINUUM)
    both = (blue > 0) & (red > 0)
    return np.where(both, -2.5 * np.log10(np.where(both, blue, 1) / np.where(both, red, 1)), np.nan)


def equivalent_width(wavelength, flux, z, index: Index, good) -> np.ndarray:
    """Equivalent width (n,), rest-frame Angstrom, over a straight line through the means of the two continuum bands."""
    blue, red = (band_mean(wavelength, flux, z, band, good) for band in (index.blue, index.red))
    rest = wavelength / (1 + z[:, None])
    low, high = (VACUUM * np.mean(band) for band in (index.blue, index.red))
    continuum = blue[:, None] + (red - blue)[:, None] * (rest - low) / (high - low)
    width = VACUUM * (index.band[1] - index.band[0])
    usable = continuum > 0
    relative = np.where(usable, flux / np.where(usable, continuum, 1), np.nan)
    excess = band_mean(wavelength, relative, z, index.band, good & usable) - 1
    return index.sign * width * excess


def band_mean(wavelength, flux, z, band: tuple[float, float], good) -> np.ndarray:
    """Mean (n,) of `flux` over the good part of a rest-frame `band` (air); parts of pixels count in part."""
    step = wavelength[1] - wavelength[0]
    edges = VACUUM * np.asarray(band) * (1 + z[:, None])  # (n, 2)
    low, high = ((edges[:, side : side + 1] - wavelength[0]) / step + 0.5 for side in (0, 1))
    pixel = np.arange(len(wavelength))
    share = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, 1) * good
    covered = share.sum(axis=1)
    enough = covered > COVERED * (high - low)[:, 0]
    total = np.einsum("nw,nw->n", share, np.where(good, flux, 0))
    return np.where(enough, total / np.where(enough, covered, 1), np.nan)
