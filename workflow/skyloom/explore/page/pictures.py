"""Images, spectra and posteriors of a few galaxies at a time, small enough for a page."""

import base64
import io
import math

import numpy as np
from PIL import Image

from skyloom.analysis.common.posteriors import PosteriorFile
from skyloom.figures.galaxies import usual
from skyloom.figures.samples import Pictures

SIDE = 96
"""Pixels of a thumbnail at most."""
ACROSS = 8
"""Thumbnails beside each other on a sheet."""
PIXELS = 1000
"""Of a spectrum at most; several pixels of the survey's become one."""
STEPS = 65534
BINS, CLOSE = 240, 81
"""Numbers of a posterior: over all redshifts, and around its peak."""


def encoded(values: np.ndarray) -> str:
    """The bytes of an array, little-endian, as base64."""
    return base64.b64encode(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()).decode()


def sheet(pictures: Pictures, targetid: np.ndarray) -> bytes:
    """Thumbnails (JPEG) of galaxies, ACROSS beside each other, north up; black where there is none."""
    there, rgb = pictures.read_many(targetid)
    side = thumbnail_side(pictures)
    canvas = np.zeros((math.ceil(len(targetid) / ACROSS) * side, ACROSS * side, 3), "u1")
    for place, values in zip(np.flatnonzero(there), rgb, strict=True):
        pixels = (np.moveaxis(values[:3], 0, -1)[::-1].clip(0, 1) * 255).round().astype("u1")
        if pixels.shape[0] != side:
            pixels = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX))
        row, column = divmod(int(place), ACROSS)
        canvas[row * side : (row + 1) * side, column * side : (column + 1) * side] = pixels
    file = io.BytesIO()
    Image.fromarray(canvas).save(file, "JPEG", quality=80, subsampling="4:2:0")
    return file.getvalue()


def thumbnail_side(pictures: Pictures) -> int:
    """Pixels of a side of a thumbnail."""
    return min(SIDE, pictures.shape[-1])


def binning(pictures: Pictures) -> int:
    """How many pixels of the survey become one on the page."""
    return math.ceil(len(pictures.wavelength) / PIXELS)


def grid(pictures: Pictures) -> tuple[float, float, int]:
    """Wavelength of the first pixel on the page, the step, and how many there are."""
    size, wavelength = binning(pictures), pictures.wavelength
    step = size * (wavelength[1] - wavelength[0])
    return float(wavelength[:size].mean()), float(step), len(wavelength) // size


def spectra(pictures: Pictures, targetid: np.ndarray) -> dict:
    """Spectra of galaxies: `data` base64 of (m, W) int16, -32768 where masked, for the m galaxies in `there`; `scale`
    (m, 2) what -32767 and 32767 mean, in the flux of the survey; `shown` (m, 2) the flux at the ends of an axis.

    A pixel is the mean of the good ones it is made of, not weighted: weights would flatten bright lines.
    """
    there, found = pictures.read_many(targetid)
    size, (_, _, count) = binning(pictures), grid(pictures)
    flux, ivar = (found[:, k, : size * count].reshape(len(found), count, size) for k in (1, 2))
    good = (ivar > 0) & np.isfinite(flux)
    number = good.sum(axis=-1)
    binned = np.where(number, np.where(good, flux, 0).sum(axis=-1) / np.maximum(number, 1), np.nan)
    noise = np.where(number, number**2 / np.where(good, 1 / np.where(good, ivar, 1), 0).sum(axis=-1).clip(1e-30), 0)
    packed, scale, shown = np.full(binned.shape, -32768, "<i2"), [], []
    for line, values, inverse in zip(packed, binned, noise, strict=True):
        known = np.isfinite(values)
        low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0.0, 0.0)
        width = high - low or 1.0
        line[known] = np.rint((values[known] - low) / width * STEPS - STEPS / 2)
        scale.append([rounded(low), rounded(low + width)])
        typical = values[usual(inverse, known) & known]
        bounds = np.percentile(typical, [0.3, 99.95]) if len(typical) else (low, low + width)
        margin = 0.12 * (bounds[1] - bounds[0]) + 1e-6
        shown.append([rounded(bounds[0] - margin), rounded(bounds[1] + 2 * margin)])
    return {"there": there.astype(int).tolist(), "data": encoded(packed), "scale": scale, "shown": shown}


def posteriors(file: PosteriorFile, targetid: np.ndarray) -> list[dict | None]:
    """Posteriors of galaxies: `p` the probability of each of BINS bins of ln(1+z), in thousandths of the largest, and
    `close` the density around the peak, in the bins of the file, from redshift `from` to `to`."""
    there = np.isin(targetid, file.targetid)
    found = file.of(targetid[there])
    edges = np.linspace(0, len(file.grid), BINS + 1).astype(int)
    width = np.gradient(file.grid)
    answers: list[dict | None] = [None] * len(targetid)
    for place, density in zip(np.flatnonzero(there), found, strict=True):
        mass = np.add.reduceat(density * width, edges[:-1])
        peak = int(density.argmax())
        first = min(max(peak - CLOSE // 2, 0), max(len(density) - CLOSE, 0))
        close = density[first : first + CLOSE]
        ends = file.grid[first], file.grid[first + len(close) - 1]
        answers[place] = {
            "p": np.rint(1000 * mass / mass.max()).astype(int).tolist(),
            "close": np.rint(1000 * close / close.max()).astype(int).tolist(),
            "from": rounded(ends[0]),
            "to": rounded(ends[1]),
            "peak": rounded(file.grid[peak]),
        }
    return answers


def rounded(value: float) -> float | None:
    """A number with six significant digits; None for one that is not finite, which JSON has not."""
    return float(f"{value:.6g}") if np.isfinite(value) else None
