"""Galaxies with what was shown of them, what was drawn and what is there: figures 1 and 2 of Himes et al. 2025."""

import numpy as np

from skyloom.analysis.reconstruction import Settings, schema
from skyloom.analysis.reconstruction.answers import SAMPLES, Answers, Block, Sky, in_flux
from skyloom.figures import style
from skyloom.figures.galaxies import LABEL_BOX, draw_image
from skyloom.formats.hsc import COUNTS_PER_NANOMAGGY
from skyloom.nn.images import HSC_SOFTENING
from skyloom.tokens.images import hsc_rgb

GREY = 0.72
"""Of what was hidden."""
LIGHT = "#a6a6a6"
LABEL, FLUX = "standardised flux", "flux [1e-17 erg/s/cm2/A]"
WAVELENGTH = "observed wavelength in vacuum [Angstrom]"


@style.look()
def draw_low(network, card: dict, answers: Answers | None, sky: Sky, ids: np.ndarray, s: Settings, path) -> None:
    """The network, and below it galaxies: image, what was shown, what was drawn, and the spectrum alike."""
    if answers is None or not len(ids):
        return style.nothing("no query shows a part of the image of a galaxy of low redshift and draws the rest", path)
    fig = style.figure(height=2.6 + 1.75 * len(ids))
    above, below = fig.subfigures(2, 1, height_ratios=[2.6, 1.75 * len(ids)])
    axis = above.subplots()
    schema.draw(axis, network)
    axis.set_title(f"{style.pretty(card.get('name', ''))}, query {style.pretty(answers.query)}", loc="left")
    drawn = "spectrum" in answers.drawn
    grid = below.subplots(len(ids), 4, squeeze=False, width_ratios=[1, 1, 1, 3.6])
    for row, (block, axes) in enumerate(zip(_in_order(answers, sky, ids), grid, strict=True)):
        images = shown_images(network.config, block)
        for axis, (name, rgb) in zip(axes[:3], images.items(), strict=True):
            draw_image(axis, rgb)
            if row == 0:
                axis.set_title(name, fontsize=8.5)
        if drawn and "spectrum" in block.truth:
            draw_spectrum(axes[3], network.wavelength, block, s, sky)
            axes[3].set_title(_title(block, sky), loc="left", fontsize=8.5)
        else:
            style.empty(axes[3], "no spectrum")
    if drawn:
        _labels(grid[:, 3], block)
    below.legend(handles=_handles(parts=True), loc="outside lower center", ncol=3)
    style.save(fig, path)


@style.look()
def draw_high(answers: Answers | None, sky: Sky, ids: np.ndarray, line: str, s: Settings, path) -> None:
    """Galaxies of high redshift of whose spectra nothing was shown."""
    if answers is None or not len(ids):
        return style.nothing("no query draws spectra that are wholly hidden, or no line is observed in them", path)
    fig = style.figure(height=1.9 * len(ids) + 0.7)
    grid = fig.subplots(len(ids), 2, squeeze=False, width_ratios=[1, 4.2])
    pictures = "hsc_image" in sky.shards
    for block, (left, right) in zip(_in_order(answers, sky, ids), grid, strict=True):
        seen = sky.truth(block.targetid)[1]["hsc_image"][0] if pictures else np.array(np.nan)
        if np.isfinite(seen).any():
            draw_image(left, _rgb(sky.model.config, seen))
        else:
            style.empty(left, "no image")
        draw_spectrum(right, sky.model.wavelength, block, s, sky)
        right.set_title(_title(block, sky), loc="left", fontsize=8.5)
    grid[0, 0].set_title("image" if answers.hidden["hsc_image"] == 0 else "image (a part was hidden)", fontsize=8.5)
    _labels(grid[:, 1], block)
    fig.legend(handles=_handles(parts=False), loc="outside lower center", ncol=3)
    style.save(fig, path)


@style.look()
def draw_draws(answers: Answers | None, sky: Sky, ids: np.ndarray, s: Settings, path) -> None:
    """Observed spectra, and under each a few that were drawn of the same galaxy."""
    if answers is None or not len(ids):
        return style.nothing("no query asked for spectra drawn at random (samples)", path)
    wavelength, count = sky.model.wavelength, min(answers.samples, 3)
    fig = style.figure(height=2.3 * len(ids) + 0.6)
    axes = fig.subplots(len(ids), 1, squeeze=False)[:, 0]
    for block, axis in zip(_in_order(answers, sky, ids, images=False), axes, strict=True):
        truth = in_flux(block.truth["spectrum"], block.noise)[0]
        draws = in_flux(block.said[f"spectrum{SAMPLES}"][0].reshape(-1, len(wavelength))[:count], block.noise)
        low, high = _range(truth)
        step = 1.1 * max(high - low, 1e-3)
        axis.plot(wavelength, truth, color=style.INK, lw=0.8)
        for number, draw in enumerate(draws):
            axis.plot(wavelength, draw - (number + 1) * step, color=style.CYCLE[number % len(style.CYCLE)], lw=0.8)
        axis.set(xlim=wavelength[[0, -1]], ylim=(low - (count + 0.3) * step, high + 0.6 * step))
        _mark(axis, s, sky.z[block.targetid[0]])
        axis.set_title(_title(block, sky), loc="left", fontsize=8.5)
    _labels(axes, block)
    handles = [style.line(style.INK, "observed")]
    handles += [style.line(style.CYCLE[n % len(style.CYCLE)], f"drawn, {n + 1}") for n in range(count)]
    fig.legend(handles=handles, loc="outside lower center", ncol=4)
    style.save(fig, path)


def draw_spectrum(axis, wavelength: np.ndarray, block: Block, s: Settings, sky: Sky) -> None:
    """Observed in grey, what of it was shown in ink, what was drawn over it; lines at the known redshift."""
    truth, said = (in_flux(values["spectrum"], block.noise)[0] for values in (block.truth, block.said))
    hidden = block.hidden["spectrum"][0]
    axis.plot(wavelength, truth, color=LIGHT, lw=0.8)
    axis.plot(wavelength, np.where(hidden, np.nan, truth), color=style.INK, lw=1.1)
    axis.plot(wavelength, np.where(hidden, said, np.nan), color=style.OTHER_MARK, lw=1.1)
    low, high = _range(truth)
    low, high = min(low, np.nanpercentile(said, 1)), max(high, np.nanmax(said))
    axis.set(xlim=wavelength[[0, -1]], ylim=(low - 0.08 * (high - low), high + 0.35 * (high - low)))
    _mark(axis, s, sky.z[block.targetid[0]])


def _range(truth: np.ndarray) -> tuple[float, float]:
    """What an axis shows of a spectrum: its lines, but not the noise of its blue end."""
    inner = truth[len(truth) // 20 :]
    return (np.nanpercentile(inner, 1), np.nanmax(inner)) if np.isfinite(inner).any() else (-1.0, 1.0)


def shown_images(config, block: Block) -> dict[str, np.ndarray]:
    """What the panels are called -> RGB image (3, S, S): true, with what was hidden in grey, drawn."""
    truth, said = block.truth["hsc_image"][0], block.said["hsc_image"][0]
    true = _rgb(config, truth)
    hidden = block.hidden["hsc_image"][0].reshape(-1, *true.shape[1:])[:3]
    return {"observed": true, "shown": np.where(hidden, GREY, true), "reconstruction": _rgb(config, said)}


def _rgb(config, values: np.ndarray) -> np.ndarray:
    """RGB image (3, S, S) in 0..1 of numbers (5 * S^2,) as the network sees them."""
    flux = np.nan_to_num(values).reshape(-1, config.image_size, config.image_size).astype("f8")
    if config.stretch == "counts":
        return hsc_rgb(flux / COUNTS_PER_NANOMAGGY)
    return hsc_rgb(np.sinh(flux) * np.array(HSC_SOFTENING)[:, None, None])


def _in_order(answers: Answers, sky: Sky, ids: np.ndarray, images: bool = True) -> list[Block]:
    """Blocks of one galaxy each, in the order of `ids`."""
    found = {}
    for block in answers.blocks(sky, ids, images):
        for row, targetid in enumerate(block.targetid):
            parts = ({k: v[[row]] for k, v in d.items()} for d in (block.truth, block.hidden, block.said))
            noise = None if block.noise is None else block.noise[[row]]
            found[targetid] = Block(block.targetid[[row]], *parts, noise)
    return [found[targetid] for targetid in ids]


def _title(block: Block, sky: Sky) -> str:
    said = {name: float(block.said[name][0]) for name in ("z", "z_lower", "z_upper") if name in block.said}
    text = f"z = {sky.z[block.targetid[0]]:.3f}"
    if "z" in said:
        text += f"; the network says {said['z']:.3f}"
    return text + (f" ({said['z_lower']:.3f} to {said['z_upper']:.3f})" if "z_lower" in said else "")


def _mark(axis, s: Settings, z: float) -> None:
    """The lines of the settings at a redshift."""
    low, high = axis.get_xlim()
    places = sorted((line.wavelength * (1 + z), name) for name, line in s.lines.items() if line)
    for level, (place, name) in enumerate((p, n) for p, n in places if low < p < high):
        axis.axvline(place, color=style.MARK, lw=0.8, ls=":", zorder=0)
        look = {"ha": "center", "va": "top", "fontsize": 7, "color": style.MARK, "bbox": LABEL_BOX}
        axis.text(place, 0.99 - 0.11 * (level % 2), name, transform=axis.get_xaxis_transform(), **look)


def _labels(axes, block: Block) -> None:
    axes[-1].set_xlabel(WAVELENGTH)
    for axis in axes[:-1]:
        axis.set_xticklabels([])
    axes[len(axes) // 2].set_ylabel(LABEL if block.noise is None else FLUX, fontsize=8.5)


def _handles(parts: bool) -> list:
    shown = [style.line(style.INK, "shown")] if parts else []
    return [style.line(LIGHT, "observed"), *shown, style.line(style.OTHER_MARK, "reconstruction")]
