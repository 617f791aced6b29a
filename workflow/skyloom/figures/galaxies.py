"""Images and spectra of single galaxies."""

import numpy as np

from skyloom.figures import style

FLUX_LABEL = "flux [1e-17 erg/s/cm2/Angstrom]"
LABEL_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
SMOOTH = 5  # pixels of the running mean drawn over the raw spectrum, of a fine grid
COARSE = 2000  # pixels up to which a spectrum is drawn as it is
# Main galaxy lines, rest frame, vacuum, Angstrom
LINES = [
    ("[OII]", 3728.5),
    ("CaHK", 3952.2),
    ("Hβ", 4862.7),
    ("[OIII]", 5008.2),
    ("Mg", 5176.6),
    ("Na", 5895.6),
    ("Hα", 6564.6),
    ("[SII]", 6725.5),
    ("[SIII]", 9533.2),
    ("HeI", 10833.3),
    ("Paβ", 12821.6),
]


def draw_image(axis, rgb: np.ndarray) -> None:
    """An arcsinh RGB image (3, S, S) with values in 0..1."""
    axis.imshow(np.moveaxis(np.clip(rgb, 0, 1), 0, -1))
    axis.set(xticks=[], yticks=[])


def draw_spectrum(
    axis,
    wavelength: np.ndarray,
    flux: np.ndarray,
    ivar: np.ndarray | None = None,
    z: float | None = None,
    compact=False,
) -> None:
    """A spectrum (P,) at `wavelength` (P,), Angstrom: raw in grey, smoothed in ink; lines marked at redshift `z`;
    masked pixels left out."""
    flux = np.asarray(flux, dtype=float)
    good = np.isfinite(flux) if ivar is None else np.asarray(ivar) > 0
    width = SMOOTH if len(flux) > COARSE else 1
    smooth = _smooth(flux, good, 3 * width if compact else width)
    if not compact:
        axis.plot(wavelength, np.where(good, flux, np.nan), color="#c4c4c4", lw=0.4)
    axis.plot(wavelength, smooth, color=style.INK, lw=0.6 if compact else 0.7)
    bounds = np.nanpercentile(np.where(usual(ivar, good), smooth, np.nan), [0.3, 99.95])
    margin = 0.15 * (bounds[1] - bounds[0]) + 1e-6
    axis.set(xlim=(wavelength[0], wavelength[-1]), ylim=(bounds[0] - margin, bounds[1] + 2 * margin))
    if compact:
        axis.set(xticks=[], yticks=[])
    elif z is not None:
        mark_lines(axis, z, style.MARK)


def usual(ivar: np.ndarray | None, good: np.ndarray) -> np.ndarray:
    """Pixels whose noise is at most five times the typical one: the others, at the ends of a range, set no scale."""
    if ivar is None or not good.any():
        return np.ones_like(good)
    return good & (25 * np.asarray(ivar) >= np.median(np.asarray(ivar)[good]))


def mark_lines(axis, z: float, colour: str, ls: str = ":", names: bool = True) -> None:
    """Vertical marks at (1 + z) times the main rest-frame lines that fall inside the axis."""
    low, high = axis.get_xlim()
    transform = axis.get_xaxis_transform()
    for level, (name, rest) in enumerate(LINES):
        place = rest * (1 + z)
        if low < place < high:
            axis.axvline(place, color=colour, lw=0.8, ls=ls, zorder=0)
            if names:
                height = 0.99 - 0.09 * (level % 2)  # neighbours at two heights, so that names do not overlap
                axis.text(
                    place,
                    height,
                    name,
                    transform=transform,
                    ha="center",
                    va="top",
                    fontsize=7,
                    color=colour,
                    bbox=LABEL_BOX,
                )


def _smooth(flux: np.ndarray, good: np.ndarray, width: int) -> np.ndarray:
    """Running mean over the good ones of `width` pixels; NaN where there are none.

    Not weighted by ivar: a bright line has more photon noise, and weights would flatten it.
    """
    kernel = np.ones(width)
    count = np.convolve(good, kernel, "same")
    total = np.convolve(np.where(good, flux, 0), kernel, "same")
    return np.where(count > 0.5, total / np.maximum(count, 1), np.nan)
