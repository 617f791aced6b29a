"""Redshifts of the same galaxies in two archives: one against the other, and how far they are apart."""

import numpy as np
import pandas

from skyloom.analysis.parents import Settings
from skyloom.figures import style

FAR = 4
"""Limits of the histogram, in units of what agrees."""


@style.look()
def draw(pairs: pandas.DataFrame, settings: Settings, path) -> None:
    """`pairs` has z_desi, z_hsc and dz."""
    if not len(pairs):
        return style.nothing("no galaxy has a redshift of DESI and one of HSC's files", path)
    fig = style.figure(height=4.6)
    left, right = fig.subplots(1, 2, width_ratios=(1, 1.1))
    dz = pairs["dz"].to_numpy()
    wrong, outlier = np.abs(dz) >= settings.agree, np.abs(dz) > settings.outlier
    _against(left, pairs, wrong, outlier, settings)
    _histogram(right, dz, wrong, settings)
    handles, labels = left.get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncol=3, markerscale=2 if len(pairs) > 1000 else 1)
    style.save(fig, path)


def _against(axis, pairs: pandas.DataFrame, wrong: np.ndarray, outlier: np.ndarray, settings: Settings) -> None:
    x, y = np.log1p(pairs["z_desi"].clip(lower=0)), np.log1p(pairs["z_hsc"].clip(lower=0))
    size = float(np.clip(120 / len(pairs) ** 0.5, 1, 5))
    looks = (
        (~wrong, style.GREYS[1], ".", size, "agree"),
        (wrong & ~outlier, style.MARK, "o", 4, f"differ by {settings.agree:g} and more"),
        (outlier, style.OTHER_MARK, "x", 5, f"by more than {settings.outlier:g}"),
    )
    for mask, colour, marker, points, label in looks:
        if mask.any():
            how = {"mew": 1.2} if marker == "x" else {"mew": 0}
            axis.plot(
                x[mask], y[mask], marker, color=colour, ms=points, ls="", label=f"{label} ({mask.sum():,})", **how
            )
    top = float(max(x.max(), y.max())) * 1.03
    ticks = [z for z in (0, 0.2, 0.5, 1, 1.5, 2, 3, 4, 5, 6) if np.log1p(z) <= top]
    for which in (axis.xaxis, axis.yaxis):
        which.set_ticks(np.log1p(ticks), [f"{z:g}" for z in ticks])
    axis.set(xlim=(-0.01, top), ylim=(-0.01, top), xlabel="redshift, DESI", ylabel="redshift, HSC's files")
    axis.set_aspect("equal")


def _histogram(axis, dz: np.ndarray, wrong: np.ndarray, settings: Settings) -> None:
    far = FAR * settings.agree
    bins = np.linspace(-far, far, 81)
    inside = np.abs(dz) <= far
    axis.hist(dz[inside & ~wrong], bins, color=style.GREYS[1])
    axis.hist(dz[inside & wrong], bins, color=style.MARK)
    for limit in (-settings.agree, settings.agree):
        axis.axvline(limit, color=style.INK, lw=0.8, ls="--")
    axis.set_yscale("log")
    axis.set_ylim(bottom=0.7)
    beyond = (dz < -far).sum(), (dz > far).sum()
    for place, side, count in ((0.01, "left", beyond[0]), (0.99, "right", beyond[1])):
        axis.text(place, 0.97, f"{count:,} beyond", ha=side, va="top", transform=axis.transAxes)
    axis.set(xlabel="(z of HSC's files - z of DESI) / (1 + z of DESI)", ylabel="galaxies", xlim=(-far, far))
