"""Figures of populations: relations, counts, colours, emission lines, learning difficulty."""

import numpy as np

from skyloom.analysis.mock_validation import abundance, published, scaling
from skyloom.analysis.mock_validation.checks import Ledger
from skyloom.analysis.mock_validation.observations import Observations
from skyloom.analysis.mock_validation.samples import Library
from skyloom.figures import style

MOCK, REAL, PAPER, OTHER = "#0072B2", "#D55E00", "#222222", "#009E73"
POINTS = {"s": 2.5, "lw": 0, "alpha": 0.35, "rasterized": True}


@style.look()
def draw_relations(path, local: dict, volume: float, ledger: Ledger) -> None:
    """Mass function, quenched fraction, main sequence, metals, sizes of the local sample beside published relations."""
    fig = style.figure(height=6.0)
    axes = fig.subplots(2, 3)
    grid = np.linspace(9.3, 11.9, 100)
    _mass_function(axes[0, 0], local, volume, grid)
    _quenched(axes[0, 1], local, ledger)
    forming = local["star_forming"]
    mass = local["log_mstar"]
    axes[0, 2].scatter(mass[forming], local["log_sfr"][forming], color=MOCK, **POINTS)
    axes[0, 2].scatter(mass[~forming], np.maximum(local["log_sfr"][~forming], -4), color=REAL, **POINTS)
    axes[0, 2].plot(grid, published.main_sequence(grid), color=PAPER, label="Renzini & Peng 2015")
    axes[0, 2].set(ylabel="log SFR [Msun/yr], 100 Myr", ylim=(-4.1, 2.2))
    axes[1, 0].scatter(mass, local["log_z"], color=MOCK, **POINTS)
    low, middle, high = published.stellar_metallicity(grid)
    axes[1, 0].plot(grid, middle, color=PAPER, label="Gallazzi et al. 2005")
    axes[1, 0].fill_between(grid, low, high, color=PAPER, alpha=0.12, lw=0)
    axes[1, 0].set(ylabel="stars: log Z [Z_sun]", ylim=(-1.7, 0.7))
    axes[1, 1].scatter(mass[forming], local["oxygen"][forming], color=MOCK, **POINTS)
    axes[1, 1].plot(grid, published.oxygen_curti(grid), color=PAPER, label="Curti et al. 2020")
    axes[1, 1].plot(grid, published.oxygen_tremonti(grid), color=PAPER, ls="--", label="Tremonti et al. 2004")
    axes[1, 1].set(ylabel="gas: 12 + log(O/H)", ylim=(7.8, 9.4))
    axes[1, 2].scatter(mass[forming], local["log_size"][forming], color=MOCK, **POINTS)
    axes[1, 2].scatter(mass[~forming], local["log_size"][~forming], color=REAL, **POINTS)
    axes[1, 2].plot(grid, published.size_late(grid), color=PAPER, label="van der Wel et al. 2014, late")
    red = grid[grid > np.log10(2e10)]
    axes[1, 2].plot(red, published.size_early(red), color=PAPER, ls="--", label="early")
    axes[1, 2].set(ylabel="log half-light radius [kpc]", ylim=(-0.4, 1.6))
    for axis in axes.flat:
        axis.set(xlabel="log M* [Msun]", xlim=(9.3, 11.9))
        axis.legend(loc="lower right" if axis is not axes[0, 0] else "lower left", fontsize=7.5)
    _population_key(fig, len(mass))
    style.save(fig, path)


def _population_key(fig, n):
    handles = [fig.axes[0].plot([], [], "o", color=c, ms=4)[0] for c in (MOCK, REAL)]
    labels = ["mock, sSFR > 1e-11 /yr", "mock, less"]
    fig.legend(handles, labels, loc="outside upper right", ncol=2, title=f"{n:,} galaxies, 0.03 < z < 0.1")


def _mass_function(axis, local, volume, grid):
    mass, density, count = scaling.mass_function(local["log_mstar"], volume)
    seen = count > 0
    error = 0.434 / np.sqrt(count[seen])
    axis.errorbar(mass[seen], np.log10(density[seen]), error, fmt="o", color=MOCK, ms=4, label="mock")
    axis.plot(grid, np.log10(published.mass_function_driver(grid)), color=PAPER, label="Driver et al. 2022")
    axis.plot(grid, np.log10(published.mass_function_baldry(grid)), color=PAPER, ls="--", label="Baldry et al. 2012")
    axis.set(ylabel="log density [1/Mpc3/dex]", ylim=(-5.2, -1.4))


def _quenched(axis, local, ledger):
    edges = scaling.MASS_EDGES
    place = np.digitize(local["log_mstar"], edges) - 1
    for i in range(len(edges) - 1):
        inside = place == i
        if inside.sum() >= 5:
            share = np.mean(~local["star_forming"][inside])
            error = np.sqrt(max(share * (1 - share), 0.02) / inside.sum())
            axis.errorbar(edges[i] + 0.125, share, error, fmt="o", color=MOCK, ms=4)
    for centre in (10.0, 10.5, 11.0):
        axis.fill_between(
            [centre - 0.2, centre + 0.2], *ledger.bounds(f"quenched_{centre:g}"), color=PAPER, alpha=0.12, lw=0
        )
    axis.fill_between([], [], [], color=PAPER, alpha=0.12, label="expected (Wetzel et al. 2012)")
    axis.set(ylabel="share with sSFR < 1e-11 /yr", ylim=(0, 1))


@style.look()
def draw_counts(path, library: Library) -> None:
    """Redshift distributions of the programs, and counts of BGS with magnitude."""
    found = abundance.per_square_degree(library)
    fig = style.figure(height=2.7)
    axes = fig.subplots(1, 3)
    bright = library.bgs.mag_r < 19.5
    for kind, colour in (("bright", MOCK), ("faint", REAL)):
        _steps(axes[0], *found[kind], colour, f"BGS {kind}, {_density(library, kind)}")
    for kind, colour in (("lrg", REAL), ("elg", MOCK), ("qso", OTHER)):
        _steps(axes[1], *found[kind], colour, f"{kind.upper()}, {_density(library, kind)}")
    edges = np.arange(14.5, 20.3, 0.25)
    count, _ = np.histogram(library.bgs.mag_r, edges)
    scale = np.nan_to_num(library.density["bright"] / max(bright.sum(), 1), nan=1.0) / 0.25
    middle = 0.5 * (edges[1:] + edges[:-1])
    seen = count > 0
    axes[2].semilogy(middle[seen], count[seen] * scale, "o", color=MOCK, ms=3.5, label="mock BGS")
    near = (middle > 16.5) & (middle < 19.5) & seen
    if near.any():
        level = np.median(np.log10(count[near] * scale) - 0.5 * middle[near])
        axes[2].semilogy(middle, 10 ** (0.5 * middle + level), color=PAPER, lw=1, label="slope 0.5")
    axes[2].axvline(19.5, color=PAPER, ls=":", lw=0.8)
    axes[2].set(xlabel="r [AB mag]", ylabel="per deg2 and mag")
    for axis in axes[:2]:
        axis.set(xlabel="redshift", ylabel="targets per deg2 and bin", ylim=(0, None))
    for axis in axes:
        axis.legend(fontsize=7.5, loc="upper right" if axis is not axes[2] else "upper left")
    style.save(fig, path)


def _density(library, kind) -> str:
    value = library.density[kind]
    return f"{value:.0f} / deg2" if np.isfinite(value) else "density not known"


def _steps(axis, edges, values, colour, label):
    axis.stairs(values, edges, color=colour, lw=1.4, label=label)


@style.look()
def draw_colours(path, library: Library, observed: Observations) -> None:
    """Colours against redshift of BGS and LRG, with real galaxies where there are any."""
    fig = style.figure(height=3.1)
    axes = fig.subplots(1, 3)
    p, q = library.bgs, library.programs["lrg"]
    rows = slice(0, 2500)
    for axis, (one, two) in zip(axes, (("g", "r"), ("r", "z")), strict=False):
        colour = [getattr(s, f"mag_{one}") - getattr(s, f"mag_{two}") for s in (p, q)]
        axis.scatter(p.redshift[rows], colour[0][rows], color=MOCK, label="mock BGS", **POINTS)
        axis.scatter(q.redshift, colour[1], color="#56B4E9", label="mock LRG", **POINTS)
        axis.set(
            xlabel="redshift", ylabel=f"{one} - {two} [AB mag]", xlim=(0, 1.2), ylim=(0, 2.6 if one == "g" else 2.2)
        )
    axes[2].scatter((p.mag_g - p.mag_r)[rows], (p.mag_r - p.mag_z)[rows], color=MOCK, **POINTS)
    axes[2].set(xlabel="g - r [AB mag]", ylabel="r - z [AB mag]", xlim=(0, 2.2), ylim=(0, 1.8))
    if observed.dc2 is not None:
        t = observed.dc2[(observed.dc2["r"] < 20.175) & (observed.dc2["redshift"] < 0.6)]
        label = f"cosmoDC2 (simulated), r < 20.175, {len(t)}"
        axes[0].plot(t["redshift"], t["g"] - t["r"], "+", color=OTHER, ms=4, label=label)
        axes[1].plot(t["redshift"], t["r"] - t["z"], "+", color=OTHER, ms=4)
        axes[2].plot(t["g"] - t["r"], t["r"] - t["z"], "+", color=OTHER, ms=4)
    for kind, marker in (("bgs", "o"), ("lrg", "s")):
        if kind in observed.spectra:
            real = observed.spectra[kind]
            g, r, z = real.magnitude.T
            style_of = {"color": REAL, "ms": 4, "mec": "white", "mew": 0.4}
            axes[0].plot(real.z, g - r, marker, label=f"real mini-SV {kind.upper()}, {len(g)}", **style_of)
            axes[1].plot(real.z, r - z, marker, **style_of)
            if kind == "bgs":
                axes[2].plot(g - r, r - z, marker, **style_of)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=5, markerscale=1.6, fontsize=7.5)
    style.save(fig, path)


@style.look()
def draw_lines(path, found: dict) -> None:
    """The BPT plane with the dividing lines."""
    fig = style.figure(height=4.0, width=5.6)
    axis = fig.subplots()
    bgs, sdss = found["bgs"], found["sdss"]
    axis.scatter(bgs["x"], bgs["y"], color="#b8b8b8", label=f"mock BGS, {len(bgs['x']):,}", **POINTS)
    for kind, colour in (("forming", MOCK), ("composite", "#E69F00"), ("active", REAL)):
        rows = sdss["kind"] == kind
        label = f"SDSS-like: {kind}, {rows.mean():.0%} of {len(rows):,}" if len(rows) else f"SDSS-like: {kind}"
        axis.scatter(sdss["x"][rows], sdss["y"][rows], color=colour, label=label, **{**POINTS, "s": 4, "alpha": 0.6})
    x = np.linspace(-1.9, 0.46, 300)
    for curve, ls, label in (
        (published.kauffmann_line, "--", "Kauffmann et al. 2003"),
        (published.kewley_line, "-", "Kewley et al. 2001"),
        (published.star_forming_ridge, ":", "ridge, Kewley et al. 2013"),
    ):
        y = curve(x)
        axis.plot(x[y > -1.6], y[y > -1.6], color=PAPER, ls=ls, lw=1.1, label=label)
    axis.set(xlabel="log [NII] 6584 / Hα", ylabel="log [OIII] 5007 / Hβ", xlim=(-1.9, 0.8), ylim=(-1.4, 1.3))
    axis.legend(loc="lower left", fontsize=7.5)
    style.save(fig, path)


@style.look()
def draw_difficulty(path, scores: dict, truth: dict, bounds: dict) -> None:
    """R2 of each property from photometry with its interval, and predicted against true."""
    fig = style.figure(height=4.6)
    axes = fig.subplots(2, 3).ravel()
    names = list(scores)
    for i, name in enumerate(names):
        s = scores[name]
        low, high = (float(np.clip(b, -0.1, 1)) for b in bounds.get(name, (0, 1)))
        axes[0].fill_betweenx([i - 0.3, i + 0.3], low, high, color=PAPER, alpha=0.12, lw=0)
        axes[0].errorbar(s["r2"], i, xerr=[[s["r2"] - s["low"]], [s["high"] - s["r2"]]], fmt="o", color=MOCK, ms=4)
    labels = [style.label(name) for name in names]
    axes[0].set(yticks=range(len(names)), xlim=(-0.1, 1), xlabel="R2 (band: expected)")
    axes[0].set_yticklabels([label.split(" [")[0] for label in labels])
    axes[0].invert_yaxis()
    for axis, name, label in zip(axes[1:], names, labels, strict=True):
        known = np.isfinite(scores[name]["predicted"])
        t, p = truth[name][known], scores[name]["predicted"][known]
        axis.scatter(t, p, color=MOCK, **POINTS)
        low, high = np.percentile(t, [0.5, 99.5])
        axis.plot([low, high], [low, high], color=PAPER, lw=0.8)
        axis.set(xlim=(low, high), ylim=(low, high), xlabel=f"true {label}", ylabel="predicted")
        axis.set_title(f"R2 = {scores[name]['r2']:.2f}, {len(t):,} galaxies", fontsize=8)
    style.save(fig, path)
