"""What the survey holds: redshifts, magnitudes, colours and positions, by split."""

import numpy as np
import pandas
from matplotlib.ticker import MaxNLocator

from skyloom.figures import style


@style.look()
def draw_catalog(galaxies: pandas.DataFrame, path) -> None:
    """`galaxies` has ra, dec [deg], z, mag_g, mag_r, mag_z [AB] and split."""
    fig = style.figure(height=5.6)
    axes = fig.subplots(2, 3)
    colours = galaxies.assign(gr=galaxies["mag_g"] - galaxies["mag_r"], rz=galaxies["mag_r"] - galaxies["mag_z"])
    _histograms(axes[0, 0], galaxies, "z", "redshift")
    _histograms(axes[0, 1], galaxies, "mag_r", "r [AB mag]")
    for axis, (x, y), names in (
        (axes[0, 2], ("gr", "rz"), ("g - r [mag]", "r - z [mag]")),
        (axes[1, 0], ("z", "gr"), ("redshift", "g - r [mag]")),
        (axes[1, 1], ("z", "mag_r"), ("redshift", "r [AB mag]")),
    ):
        _density(axis, colours, x, y, names)
    axes[1, 1].invert_yaxis()
    _sky(axes[1, 2], galaxies)
    handles = [axes[0, 0].plot([], [], color=c)[0] for c in style.SPLITS.values()]
    counts = galaxies["split"].value_counts()
    labels = [f"{name} ({counts.get(name, 0)})" for name in style.SPLITS]
    fig.legend(handles, labels, loc="outside upper center", ncol=3)
    style.save(fig, path)


def _histograms(axis, galaxies: pandas.DataFrame, column: str, label: str) -> None:
    values = galaxies[column][np.isfinite(galaxies[column])]
    axis.set_xlabel(label)
    axis.set_ylabel("fraction of the split")
    if not len(values):
        return style.empty(axis, "no values")
    low, high = np.percentile(values, [0.1, 99.9])
    bins = np.linspace(low, high + 1e-6, 31)
    for split, colour in style.SPLITS.items():
        some = values[galaxies["split"] == split]
        if len(some):
            axis.hist(some, bins, weights=np.full(len(some), 1 / len(some)), histtype="step", color=colour, lw=1.3)


def _density(axis, table: pandas.DataFrame, x: str, y: str, names: tuple[str, str]) -> None:
    points = table[[x, y]].replace([np.inf, -np.inf], np.nan).dropna()
    axis.set(xlabel=names[0], ylabel=names[1])
    if not len(points):
        return style.empty(axis, "no values")
    limits = np.percentile(points, [0.2, 99.8], axis=0) + [[-0.02], [0.02]]
    if len(points) > 20000:
        extent = (*limits[:, 0], *limits[:, 1])
        axis.hexbin(points[x], points[y], gridsize=60, extent=extent, bins="log", mincnt=1, cmap="Greys", lw=0)
    else:
        axis.plot(
            points[x], points[y], ".", ms=np.clip(120 / len(points) ** 0.5, 1, 6), mew=0, alpha=0.5, color=style.INK
        )
    axis.set(xlim=limits[:, 0], ylim=limits[:, 1])


def _sky(axis, galaxies: pandas.DataFrame, most: int = 20000) -> None:
    shown = galaxies.sample(most, random_state=0) if len(galaxies) > most else galaxies
    ra = shown["ra"].to_numpy()
    if np.ptp(ra) > 180:  # a field across RA = 0: drawn in one piece
        ra = np.where(ra > 180, ra - 360, ra)
    for split, colour in style.SPLITS.items():
        some = (shown["split"] == split).to_numpy()
        axis.plot(ra[some], shown["dec"][some], ".", ms=2.4, mew=0, color=colour, alpha=0.8)
    axis.set(xlabel="RA [deg]", ylabel="Dec [deg]")
    if np.ptp(ra) < 60:
        axis.set_aspect(1 / np.cos(np.radians(shown["dec"].mean())), adjustable="datalim")
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.invert_xaxis()
