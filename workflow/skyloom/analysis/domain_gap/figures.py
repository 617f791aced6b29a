"""Votes of a classifier and distances to what was trained on, real against simulated."""

from collections.abc import Sequence

import numpy as np

from skyloom.figures import style


@style.look()
def draw(gaps: Sequence, path) -> None:
    """A row an embedding: left the votes for "real", right the distances; shares of either kind of galaxy."""
    if not gaps:
        return style.nothing("too few galaxies to tell a gap", path)
    fig = style.figure(height=1.9 * len(gaps) + 0.5)
    axes = fig.subplots(len(gaps), 2, squeeze=False, sharex="col")
    far = np.concatenate([np.concatenate([gap.far, gap.far_simulated]) for gap in gaps])
    edges = np.geomspace(max(far.min(initial=0.1), 0.05), max(far.max(initial=2.0), 1.5), 31)
    for (left, right), gap in zip(axes, gaps, strict=True):
        _shares(left, gap.real, gap.simulated, np.linspace(0, 1, 26))
        left.set_title(f"{style.pretty(gap.name)}: AUC {gap.auc:.2f}", loc="left")
        _shares(right, gap.far, gap.far_simulated, edges)
        right.axvline(1, color=style.INK, lw=0.7, ls="--")
        right.set(xscale="log")
        left.set_ylabel("share")
    axes[0, 0].legend()
    axes[-1, 0].set_xlabel('votes for "real"')
    axes[-1, 1].set_xlabel("distance to the training galaxies")
    style.save(fig, path)


def _shares(axis, real: np.ndarray, simulated: np.ndarray, edges: np.ndarray) -> None:
    for values, colour, name in ((simulated, style.GREYS[1], "simulated"), (real, style.OTHER_MARK, "real")):
        weights = np.full(len(values), 1 / max(len(values), 1))
        look = {"histtype": "stepfilled", "alpha": 0.55} if name == "simulated" else {"histtype": "step", "lw": 1.4}
        label = f"{name} ({len(values)})"
        axis.hist(values.clip(edges[0], edges[-1]), edges, weights=weights, color=colour, label=label, **look)
