"""How far the nearest galaxy is, and how many are near."""

import numpy as np
import pandas

from skyloom.analysis.environment import ANGULAR, SPATIAL, Settings
from skyloom.figures import style

COLOURS = ("#56B4E9", "#E69F00", "#D55E00")


@style.look()
def draw_crowding(places: pandas.DataFrame, settings: Settings, path) -> None:
    """Box plot of distances to the nearest, histogram of neighbours by bin, histogram of densities by bin."""
    near = places["nearest"].dropna().to_numpy()
    if not len(near):
        return style.nothing("too few galaxies with a position", path)
    fig = style.figure(height=2.9)
    left, middle, right = fig.subplots(1, 3, width_ratios=[0.8, 1, 1])
    left.boxplot(
        near, widths=0.5, flierprops={"ms": 2, "mec": "#6f6f6f", "rasterized": True}, medianprops={"color": style.INK}
    )
    left.set(ylabel="distance to the nearest galaxy [arcmin]", xticks=[], title=f"{len(near):,} galaxies")
    _stacked(middle, places, "neighbours", "on_the_sky", ANGULAR, np.arange(-0.5, places["neighbours"].max() + 1))
    middle.set(xlabel=f"neighbours within {settings.threshold:g} arcmin", ylabel="galaxies")
    density = places["density"].dropna()
    if len(density):
        top = float(density.quantile(0.98)) or 1.0
        _stacked(right, places, "density", "in_space", SPATIAL, np.append(0, np.geomspace(0.2, max(top, 0.4), 24)))
        right.set_xscale("symlog", linthresh=0.2)  # most of the empty places have 0
        ticks = [tick for tick in (0, 0.5, 1, 2, 5, 10, 20, 50, 100) if tick <= top]
        right.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
        right.set_xticks([], minor=True)
        right.set_xlim(left=0)
        right.set(xlabel=f"density within {settings.radius:g} Mpc [of the mean]", ylabel="galaxies")
    else:
        style.empty(right, "no density is known")
    style.save(fig, path)


def _stacked(axis, places: pandas.DataFrame, column: str, bins: str, names: tuple[str, ...], edges: np.ndarray) -> None:
    values = [places.loc[places[bins] == name, column].clip(upper=edges[-1]).to_numpy() for name in names]
    labels = [f"{name} ({len(own):,})" for name, own in zip(names, values, strict=True)]
    axis.hist(values, edges, stacked=True, color=COLOURS, label=labels)
    axis.legend(loc="upper right")
    axis.set_ylim(top=axis.get_ylim()[1] * 1.35)
