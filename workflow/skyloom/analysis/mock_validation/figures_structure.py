"""Figures of structure, and of what it teaches."""

import numpy as np

from skyloom.analysis.mock_validation import structure
from skyloom.analysis.mock_validation.checks import Ledger
from skyloom.analysis.mock_validation.figures import MOCK, PAPER, POINTS, REAL
from skyloom.figures import style
from skyloom.mock.universe.population.morphology import half_light_radius


@style.look()
def draw_learning_curve(path, curve) -> None:
    """R2 of the redshift against the number of training galaxies, by what it is learned from."""
    if not len(curve):
        style.nothing("no number of training galaxies asked for (learning_curve)", path)
        return
    fig = style.figure(height=2.9)
    axes = fig.subplots()
    names = [name for name in dict.fromkeys(curve["model"]) if name != "gain"]
    for shift, (name, colour) in enumerate(zip(names, (REAL, MOCK, PAPER), strict=True)):
        rows = curve[curve["model"] == name]
        error = [rows["value"] - rows["ci_low"], rows["ci_high"] - rows["value"]]
        axes.errorbar(rows["method"].astype(int) * 1.02**shift, rows["value"], yerr=error, fmt="o-", color=colour, ms=4,
                      label=name)  # fmt: skip
    axes.set(xscale="log", xlabel="galaxies to learn from", ylabel="R2 of redshift, other galaxies")
    axes.legend(fontsize=7)
    style.save(fig, path)


@style.look()
def draw_structure(path, local, ledger: Ledger) -> None:
    """Attenuation against inclination, sizes in z over g, colours of bulges and discs, of the local sample."""
    fig = style.figure(height=2.9)
    axes = fig.subplots(1, 3)
    for rows, colour, name in ((~local.quenched, MOCK, "star-forming"), (local.quenched, REAL, "quenched")):
        some = local[rows]
        axes[0].scatter(np.log10(some.q_disk) ** 2, some.av, color=colour, label=name, **POINTS)
        ratio = half_light_radius(vars(some), 2) / half_light_radius(vars(some), 0)
        axes[1].scatter(some.log_mstar, ratio, color=colour, **POINTS)
        axes[2].scatter(*structure.colours(some), color=colour, **POINTS)
    low, high = (ledger.bounds(f"size_z_over_g_{kind}") for kind in ("late", "early"))
    axes[1].axhspan(min(low[0], high[0]), max(low[1], high[1]), color=PAPER, alpha=0.12, lw=0)
    axes[2].plot([0, 1.2], [0, 1.2], color=PAPER, lw=0.8)
    axes[0].set(xlabel="log(q)$^2$ of the disc", ylabel="A$_V$ [mag]", ylim=(0, 2.5))
    axes[1].set(xlabel="log M* [Msun]", ylabel="half-light radius, z over g", ylim=(0.7, 1.05))
    axes[2].set(xlabel="g - r of the bulge [AB mag]", ylabel="g - r of the disc [AB mag]", xlim=(0, 1.3), ylim=(0, 1.3))
    axes[0].legend(fontsize=7)
    style.save(fig, path)
