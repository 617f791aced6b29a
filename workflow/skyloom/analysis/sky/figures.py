"""Where the clusters of the sky are."""

import numpy as np
import pandas

from skyloom.figures import style


@style.look()
def draw_sky(members: pandas.DataFrame, path) -> None:
    """Positions coloured by cluster, with its number at its middle; right ascension grows to the left, as seen."""
    if members.empty:
        return style.nothing("too few galaxies with a position", path)
    fig = style.figure(height=4.2)
    axis = fig.subplots()
    middle = _middle(members["ra"].to_numpy())
    ra = (members["ra"].to_numpy() - middle + 180) % 360 - 180 + middle  # a survey around 0 h stays in one piece
    dec, cluster = members["dec"].to_numpy(), members["cluster"].to_numpy()
    for number in np.unique(cluster):
        own = cluster == number
        colour = style.CYCLE[number % len(style.CYCLE)]
        marker = "osD^v"[number // len(style.CYCLE) % 5]
        axis.plot(ra[own], dec[own], marker, ms=2.2, mew=0, alpha=0.8, color=colour, rasterized=True)
        axis.annotate(str(number), (ra[own].mean(), dec[own].mean()), ha="center", va="center", weight="bold",
                      bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": colour})  # fmt: skip
    axis.set(xlabel="right ascension [deg]", ylabel="declination [deg]", aspect=1 / np.cos(np.radians(dec.mean())))
    axis.invert_xaxis()
    style.save(fig, path)


def _middle(ra: np.ndarray) -> float:
    angle = np.radians(ra)
    return float(np.degrees(np.arctan2(np.sin(angle).mean(), np.cos(angle).mean())) % 360)
