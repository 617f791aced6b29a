"""Maps of attention over images and along spectra."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import LogNorm
from scipy.ndimage import gaussian_filter

from skyloom.analysis.attention.scores import Attention
from skyloom.figures import style
from skyloom.figures.galaxies import FLUX_LABEL, draw_image, draw_spectrum, mark_lines
from skyloom.figures.samples import IMAGE, SPECTRUM, Pictures
from skyloom.nn.places import Patches, Stretches

OF_PATCHES, OF_STRETCHES = LogNorm(1 / 30, 30, clip=True), LogNorm(1 / 10, 10, clip=True)
MAP = "RdBu_r"
LABEL = "attention, in units of even attention"
CONTOURS = (0.25, 0.5, 0.75)
"""Of the way from an image's sky to its brightest part."""


def choose(z: np.ndarray, count: int) -> np.ndarray:
    """Rows of `count` galaxies, spread over redshift; those without one only where none has."""
    order = np.argsort(z, kind="stable")
    order = order[: np.isfinite(z).sum() or len(order)]
    places = np.linspace(0.1, 0.9, min(count, len(order))) * (len(order) - 1)
    return order[np.unique(places.round().astype(int))]


@style.look()
def draw_images(found: Sequence[Attention], pictures: Mapping[str, Pictures], ids, z, chosen, path) -> None:
    """A line a galaxy and model: the part of the image that is seen, and a map a head."""
    shown = [one for one in found if isinstance(one.places, Patches) and pictures[one.modality].form == IMAGE]
    if not shown or not len(chosen):
        return style.nothing("no model pools patches of images of test galaxies by attention", path)
    heads = max(one.weights.shape[1] for one in shown)
    lines = [(row, one) for row in chosen for one in shown]
    width = min(style.WIDTH, 1.35 * (1 + heads) + 0.8)
    fig = style.figure(height=1.5 * len(lines) + 0.7, width=width)
    axes = fig.subplots(len(lines), 1 + heads, squeeze=False)
    for (row, one), panels in zip(lines, axes, strict=True):
        rgb = _cut(pictures[one.modality].need(ids[row]), one.places.size)
        draw_image(panels[0], rgb)
        panels[0].set_ylabel(f"{style.pretty(one.model)}\n{_redshift(z[row])}", fontsize=8)
        for axis in panels[1 + one.weights.shape[1] :]:
            axis.set_axis_off()
        for head, axis in zip(range(one.weights.shape[1]), panels[1:], strict=False):
            drawn = _map(axis, one, row, head, rgb)
            axis.set_title(", ".join([f"head {head + 1}", *_others(one, row, head)]), fontsize=7.5)
    _scale(fig, drawn, axes)
    style.save(fig, path)


@style.look()
def draw_spectra(found: Sequence[Attention], pictures: Mapping[str, Pictures], ids, z, chosen, path) -> None:
    """A spectrum a galaxy, with its lines, and below it for each model a strip a head."""
    shown = [one for one in found if isinstance(one.places, Stretches) and pictures[one.modality].form == SPECTRUM]
    if not shown or not len(chosen):
        return style.nothing("no model pools stretches of spectra of test galaxies by attention", path)
    heads = [one.weights.shape[1] for one in shown]
    ratios = [1.5, *(0.17 * count + 0.1 for count in heads)]
    fig = style.figure(height=(sum(ratios) + 0.45) * len(chosen) + 0.9)
    axes = fig.subplots(len(ratios) * len(chosen), 1, squeeze=False, height_ratios=ratios * len(chosen))[:, 0]
    for place, row in enumerate(chosen):
        top, *strips = axes[place * len(ratios) : (place + 1) * len(ratios)]
        wavelength, flux, ivar = pictures[shown[0].modality].need(ids[row])
        draw_spectrum(top, wavelength, flux, ivar, z[row] if np.isfinite(z[row]) else None)
        top.set_ylabel("flux", fontsize=8.5)
        top.set_title(f"TARGETID {ids[row]}, {_redshift(z[row])}; {FLUX_LABEL}", loc="left", fontsize=8.5)
        top.tick_params(labelbottom=False)
        for one, axis in zip(shown, strips, strict=True):
            drawn = _strip(axis, one, row, z[row], top.get_xlim())
            axis.tick_params(labelbottom=axis is strips[-1])
    axes[-1].set_xlabel("observed wavelength [Angstrom]")
    _scale(fig, drawn, axes)
    style.save(fig, path)


def _map(axis, one: Attention, row: int, head: int, rgb: np.ndarray):
    """One head over an image: patches in colour, the image as contours."""
    size, grid = rgb.shape[-1], one.places.grid
    even = one.parts[row, head].reshape(grid, grid) * one.weights.shape[2]
    drawn = axis.imshow(even, norm=OF_PATCHES, cmap=MAP, extent=(-0.5, size - 0.5, -0.5, size - 0.5))
    light = gaussian_filter(rgb.mean(0), size / 48)
    low, high = np.median(light), light.max()
    if high > low:
        levels = [low + share * (high - low) for share in CONTOURS]
        axis.contour(light, levels=levels, colors=style.INK, linewidths=0.6)
    axis.set(xticks=[], yticks=[])
    return drawn


def _strip(axis, one: Attention, row: int, z: float, limits: tuple[float, float]):
    """Every head along the observed wavelength, with marks of the main lines."""
    places, heads = one.places, one.weights.shape[1]
    edges = np.append(places.lower, places.upper[-1])
    if places.rest_frame:
        edges = edges * (1 + (z if np.isfinite(z) else 0.0))
    even = one.parts[row] * one.weights.shape[2]
    drawn = axis.pcolormesh(edges, np.arange(heads + 1), even, norm=OF_STRETCHES, cmap=MAP, rasterized=True)
    labels = [f"head {head + 1}" for head in range(heads)]
    axis.set(xlim=limits, ylim=(heads, 0))
    axis.set_yticks(np.arange(heads) + 0.5, labels, fontsize=6.5)
    axis.tick_params(axis="y", length=0)
    axis.set_title(style.pretty(one.model), loc="left", fontsize=7.5, pad=1.5)
    for head in range(heads):
        others = ", ".join(_others(one, row, head))
        axis.text(1.005, head + 0.5, others, transform=axis.get_yaxis_transform(), fontsize=6.5, va="center")
    if np.isfinite(z):
        mark_lines(axis, z, style.INK, names=False)
        for line in axis.lines:
            line.set_zorder(3)
    return drawn


def _others(one: Attention, row: int, head: int) -> list[str]:
    """What tokens that show no part have of a head's attention, from 2 % on."""
    shares = {name: one.weights[row, head, place] for place, name in one.places.others.items()}
    return [f"{name} {100 * share:.0f} %" for name, share in shares.items() if share >= 0.015]


def _cut(rgb: np.ndarray, size: int) -> np.ndarray:
    """The central `size` pixels of (3, S, S)."""
    margin = (rgb.shape[-1] - size) // 2
    return rgb[:, margin : margin + size, margin : margin + size]


def _redshift(z: float) -> str:
    return f"z = {z:.3f}" if np.isfinite(z) else "redshift unknown"


def _scale(fig, drawn, axes) -> None:
    bar = fig.colorbar(drawn, ax=axes, orientation="horizontal", location="bottom", aspect=50, pad=0.02, fraction=0.03)
    bar.set_label(LABEL, fontsize=8.5)
    ticks = [n for n in (-30, -10, -3, 1, 3, 10, 30) if abs(n) <= drawn.norm.vmax]
    bar.set_ticks([n if n > 0 else -1 / n for n in ticks], labels=[f"{n}" if n > 0 else f"1/{-n}" for n in ticks])
    bar.ax.minorticks_off()
