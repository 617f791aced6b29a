"""Redshift against redshift, completeness against purity, and spectra with their fits and posteriors."""

from dataclasses import dataclass

import numpy as np
import pandas

from skyloom.analysis.redshift import Settings, scores
from skyloom.figures import style
from skyloom.figures.galaxies import FLUX_LABEL, mark_lines
from skyloom.models.redshift import CLOSE

COLOURS = {"GALAXY": style.CYCLE[0], "QSO": style.CYCLE[1], "STAR": style.CYCLE[2], "": style.GREYS[0]}
WORDS = {"GALAXY": "galaxies", "QSO": "quasars", "STAR": "stars", "": "class not known"}


@dataclass(frozen=True)
class Fit:
    """A spectrum (W,) on its wavelengths (Angstrom), NaN where nothing was measured, and the curve fitted to it."""

    wavelength: np.ndarray
    flux: np.ndarray
    fine: np.ndarray
    curve: np.ndarray


@style.look()
def draw_redshifts(table: pandas.DataFrame, scored: pandas.DataFrame, settings: Settings, path) -> None:
    """Left the redshifts against the known ones and their errors below, right completeness against purity."""
    known = table[table["z_known"].notna()]
    if not len(known):
        draw_found(table, path)
        return
    fig = style.figure(height=4.6)
    left, right = fig.subfigures(1, 2, width_ratios=[1.15, 1])
    above, below = left.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    x = np.log1p(known["z_known"].clip(lower=-0.5))
    for name, colour in COLOURS.items():
        for flagged in (False, True):
            some = ((known["class_known"] == name) & ((known["flag"] != 0) == flagged)).to_numpy()
            if not some.any():
                continue
            look = {"facecolors": "none" if flagged else colour, "edgecolors": colour, "s": 14, "lw": 0.7}
            label = WORDS[name] + (", flagged" if flagged else "")
            above.scatter(x[some], np.log1p(known["z"][some]), label=label, **look)
            below.scatter(x[some], known["dz"][some].clip(-0.012, 0.012), **look)
    span = np.array([min(x.min(), 0), max(x.max(), 0.1)])
    above.plot(span, span, color=style.INK, lw=0.6, zorder=0)
    for axis, most in ((above.xaxis, span[1]), (above.yaxis, max(span[1], np.log1p(known["z"]).max()))):
        ticks = [z for z in (0, 0.2, 0.5, 1, 1.5, 2, 3, 4) if np.log1p(z) <= most * 1.05 + 0.02]
        axis.set_ticks(np.log1p(ticks), [f"{z:g}" for z in ticks])
    above.set_ylim(top=above.get_ylim()[1] * 1.2)  # room for the legend
    above.set_ylabel("redshift found")
    above.legend(loc="upper left", handletextpad=0.2, borderpad=0.1)
    for limit in (-settings.right, settings.right):
        below.axhline(limit, color=style.GREYS[1], lw=0.7, ls="--")
    below.axhline(0, color=style.INK, lw=0.6)
    below.set(ylim=(-0.0135, 0.0135), xlabel="redshift known", ylabel="dz / (1 + z)")
    draw_acceptance(right.subplots(), known, settings)
    style.save(fig, path)


def draw_acceptance(axis, known: pandas.DataFrame, settings: Settings) -> None:
    """Completeness against purity as the least probability falls; a point where spectra without flag are."""
    lowest = 1.0
    for name, colour in COLOURS.items():
        some = known[known["class_known"] == name]
        if len(some) < scores.LEAST or name == "STAR":
            continue
        limit = settings.right_quasar if name == "QSO" else settings.right
        hits = (some["dz"].abs() < limit).to_numpy()
        complete, pure, _ = scores.curve(some["probability"].to_numpy(), hits)
        axis.plot(complete, pure, color=colour, label=f"{WORDS[name]} ({len(some)})")
        plain = (some["flag"] == 0).to_numpy()
        if plain.any():
            axis.plot((hits & plain).mean(), hits[plain].mean(), "o", color=colour, ms=6)
        lowest = min(lowest, pure[len(pure) // 4 :].min())
    axis.axhline(settings.purity, color=style.GREYS[1], lw=0.7, ls="--")
    axis.set(xlabel="completeness: accepted and right", ylabel="purity: right among the accepted", xlim=(0, 1.02))
    axis.set_ylim(min(lowest, 0.97) - 0.01, 1.003)
    if axis.lines[1:]:
        axis.legend(loc="lower left")


@style.look()
def draw_found(table: pandas.DataFrame, path) -> None:
    """Where no redshift is known: how many were found where."""
    fig = style.figure(height=2.8)
    axis = fig.subplots()
    z = table["z"].to_numpy(float)
    edges = np.linspace(min(0, z.min(initial=0)), max(z.max(initial=0.1), 0.1), 40)
    plain = (table["flag"] == 0).to_numpy()
    axis.hist([z[plain], z[~plain]], edges, stacked=True, color=style.CYCLE[:2], label=["without flag", "flagged"])
    axis.set(xlabel="redshift found", ylabel="spectra", title="no redshift is known: how many were found where")
    axis.legend()
    style.save(fig, path)


@style.look()
def draw_fits(table: pandas.DataFrame, fits: list[Fit], densities: dict, path) -> None:
    """A line a spectrum: flux with the fit over it and its lines marked, and beside it the posterior."""
    fig = style.figure(height=1.45 * max(len(table), 1) + 0.6)
    axes = fig.subplots(max(len(table), 1), 2, width_ratios=[4, 1], squeeze=False)
    if not len(table):
        style.empty(axes[0, 0], "no spectrum")
        axes[0, 1].set_axis_off()
    for (left, right), row, fit in zip(axes, table.rename(columns={"class": "kind"}).itertuples(), fits, strict=False):
        draw_fit(left, fit)
        mark_lines(left, row.z, style.MARK)
        name = getattr(row, "identifier", "") or row.targetid
        text = f"{name}: {row.kind} z = {row.z:.5f} ± {row.zerr:.5f}"
        text += f", known {row.z_known:.4f}" if np.isfinite(row.z_known) else ""
        left.set_title(text + (f" ({row.doubt})" if row.doubt else ""), loc="left", fontsize=8.5)
        draw_posterior(right, *densities[int(row.targetid)], row)
    axes[-1, 0].set_xlabel("observed wavelength in vacuum [Angstrom]")
    axes[len(axes) // 2, 0].set_ylabel(FLUX_LABEL)
    axes[-1, 1].set_xlabel("redshift")
    style.save(fig, path)


def draw_fit(axis, fit: Fit) -> None:
    """Flux in grey and the fit over it, over the wavelengths that were measured."""
    axis.plot(fit.wavelength, fit.flux, color="#b5b5b5", lw=0.5)
    axis.plot(fit.fine, fit.curve, color=style.OTHER_MARK, lw=0.9)
    inside = fit.wavelength[np.isfinite(fit.flux)]
    if len(inside):
        low, high = np.nanpercentile(fit.flux, [1, 99.5])
        top = np.interp(inside, fit.fine, fit.curve).max(initial=high)
        axis.set(xlim=(inside.min(), inside.max()), ylim=(low - 0.15 * (top - low), top + 0.25 * (top - low)))


def draw_posterior(axis, z: np.ndarray, probability: np.ndarray, row) -> None:
    """The probability within .003 (1 + z) of every redshift, on a logarithmic scale: second peaks show."""
    step = np.log1p(z[1]) - np.log1p(z[0])
    reach = max(1, round(np.log1p(CLOSE) / step))
    near = np.convolve(probability, np.ones(2 * reach + 1), "same")
    axis.fill_between(z, 1e-4, np.clip(near, 1e-4, 1), color=style.MARK, lw=0.8, alpha=0.85)
    if np.isfinite(row.z_known):
        axis.plot(row.z_known, 1.6, "v", color=style.INK, ms=4, clip_on=False)
    axis.set(yscale="log", ylim=(1e-4, 1.2), yticks=[1e-4, 1e-2, 1])
    axis.text(0.97, 0.9, f"p = {row.probability:.3f}", transform=axis.transAxes, ha="right", va="top", fontsize=8)
