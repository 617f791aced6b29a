"""What the survey holds: redshifts, magnitudes, colours and positions, by split."""

import numpy as np
import pandas
from matplotlib.ticker import MaxNLocator

from skyloom.analysis.common import tables
from skyloom.figures import style
from skyloom.settings.analysis import Job

COLUMNS = ("ra", "dec", "z", "mag_g", "mag_r", "mag_z", "log_mstar")
NAMES = {"z": "redshift", "mag_r": "r [AB mag]", "gr": "g - r [mag]", "rz": "r - z [mag]", "log_mstar": "log M* [Msun]"}
PANELS = [("z",), ("mag_r",), ("gr", "rz"), ("z", "gr"), ("z", "mag_r"), ("log_mstar",), ("z", "log_mstar")]
PANELS += [("ra", "dec")]


def run(job: Job) -> None:
    """Inputs: galaxies, splits. Output: figure (png)."""
    path = job.one("galaxies")
    there = set(tables.column_names(path))
    galaxies = tables.read_galaxies(path, job.one("splits"), [name for name in COLUMNS if name in there])
    draw_catalog(galaxies, job.outputs["figure"])


@style.look()
def draw_catalog(galaxies: pandas.DataFrame, path) -> None:
    """`galaxies` has split and any of ra, dec [deg], z, mag_g, mag_r, mag_z [AB], log_mstar; what is there is drawn."""
    galaxies = galaxies.reindex(columns=[*COLUMNS, "split"])
    colours = galaxies.assign(gr=galaxies["mag_g"] - galaxies["mag_r"], rz=galaxies["mag_r"] - galaxies["mag_z"])
    shown = [panel for panel in PANELS if np.isfinite(colours[list(panel)].astype(float)).all(axis=1).any()]
    if not shown:
        return style.nothing("the catalogue has no positions, redshifts or magnitudes", path)
    lines = -(-len(shown) // 3)
    fig = style.figure(height=2.6 * lines + 0.4)
    axes = fig.subplots(lines, 3, squeeze=False).ravel()
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    for axis, panel in zip(axes, shown, strict=False):
        _panel(axis, colours, panel)
    counts = galaxies["split"].value_counts()
    there = [name for name in style.SPLITS if counts.get(name, 0)]
    handles = [axes[0].plot([], [], color=style.SPLITS[name])[0] for name in there]
    labels = [f"{name} ({counts[name]})" for name in there]
    fig.legend(handles, labels, loc="outside upper center", ncol=3)
    style.save(fig, path)


def _panel(axis, table: pandas.DataFrame, columns: tuple[str, ...]) -> None:
    if columns == ("ra", "dec"):
        _sky(axis, table)
    elif len(columns) == 1:
        _histograms(axis, table, columns[0], NAMES[columns[0]])
    else:
        _density(axis, table, *columns, tuple(NAMES[name] for name in columns))
    if columns[-1] == "mag_r" and len(columns) == 2:
        axis.invert_yaxis()  # bright galaxies at the top


def _histograms(axis, galaxies: pandas.DataFrame, column: str, label: str) -> None:
    values = galaxies[column][np.isfinite(galaxies[column])]
    axis.set_xlabel(label)
    axis.set_ylabel("fraction of the split")
    if not len(values):
        return style.empty(axis, "no values")
    low, high = _middle(values.to_numpy(), 0.1)
    bins = np.linspace(low, high + 1e-6, 1 + int(np.clip(len(values) ** 0.5, 5, 30)))
    for split, colour in style.SPLITS.items():
        some = values[galaxies["split"] == split]
        if len(some):
            axis.hist(some, bins, weights=np.full(len(some), 1 / len(some)), histtype="step", color=colour, lw=1.3)


def _density(axis, table: pandas.DataFrame, x: str, y: str, names: tuple[str, str]) -> None:
    points = table[[x, y]].replace([np.inf, -np.inf], np.nan).dropna()
    axis.set(xlabel=names[0], ylabel=names[1])
    if not len(points):
        return style.empty(axis, "no values")
    limits = _middle(points.to_numpy(), 0.2) + [[-0.02], [0.02]]
    if len(points) > 20000:
        extent = (*limits[:, 0], *limits[:, 1])
        axis.hexbin(points[x], points[y], gridsize=60, extent=extent, bins="log", mincnt=1, cmap="Greys", lw=0)
    else:
        axis.plot(points[x], points[y], ".", ms=_size(len(points), 1), mew=0, alpha=0.5, color=style.INK)
    axis.set(xlim=limits[:, 0], ylim=limits[:, 1])


def _middle(values: np.ndarray, percent: float) -> np.ndarray:
    """Lowest and highest of (N,) or (N, 2) values, without that share on either side when there are enough."""
    cut = percent if len(values) >= 1000 else 0
    return np.percentile(values, [cut, 100 - cut], axis=0)


def _size(count: int, least: float) -> float:
    """Diameter in points of one of so many dots."""
    return float(np.clip(120 / count**0.5, least, 6))


def _sky(axis, galaxies: pandas.DataFrame, most: int = 20000) -> None:
    galaxies = galaxies.dropna(subset=["ra", "dec"])
    shown = galaxies.sample(most, random_state=0) if len(galaxies) > most else galaxies
    ra = shown["ra"].to_numpy()
    if np.ptp(ra) > 180:  # a field across RA = 0: drawn in one piece
        ra = np.where(ra > 180, ra - 360, ra)
    for split, colour in style.SPLITS.items():
        some = (shown["split"] == split).to_numpy()
        axis.plot(ra[some], shown["dec"][some], ".", ms=_size(len(ra), 2.4), mew=0, color=colour, alpha=0.8)
    axis.set(xlabel="RA [deg]", ylabel="Dec [deg]")
    if np.ptp(ra) < 60:
        axis.set_aspect(1 / np.cos(np.radians(shown["dec"].mean())), adjustable="datalim")
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.invert_xaxis()
