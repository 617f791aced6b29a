"""Figures of spectra and images: quality, indices, and real among mock."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from skyloom.analysis.mock_validation import indices
from skyloom.analysis.mock_validation.figures import MOCK, OTHER, PAPER, POINTS, REAL
from skyloom.analysis.mock_validation.pictures import Images
from skyloom.analysis.mock_validation.samples import Spectra
from skyloom.figures import style
from skyloom.figures.galaxies import FLUX_LABEL
from skyloom.formats.desi import WAVELENGTH

LETTERS = "ABCDEFGHIJKLMNOP"


@style.look()
def draw_quality(path, spectra: Spectra, exposures: list, catalogue) -> None:
    """Signal-to-noise against fibre magnitude beside real coadds, and the errors of the redshifts."""
    fig = style.figure(height=2.9)
    axes = fig.subplots(1, 3)
    r_arm = slice(2700, 5025)
    good = spectra.ivar[:, r_arm] > 0
    snr = np.array(
        [np.median((f * np.sqrt(i))[g]) if g.any() else np.nan
         for f, i, g in zip(spectra.flux[:, r_arm], spectra.ivar[:, r_arm], good, strict=True)]
    )  # fmt: skip
    magnitude = 22.5 - 2.5 * np.log10(np.maximum(spectra.table["FIBERFLUX_R"], 1e-3))
    scaled = snr * np.sqrt(1000 / spectra.exposure)
    axes[0].scatter(magnitude, np.maximum(scaled, 0.02), color=MOCK, label=f"mock BGS, {len(snr)}", **POINTS)
    known = [e for e in exposures if np.isfinite(e.magnitude)]
    scale = [np.sqrt(1000 / e.seconds) for e in known]
    axes[0].plot([e.magnitude for e in known], [e.real["r"] * s for e, s in zip(known, scale, strict=True)], "D",
                 color=REAL, ms=5, label="real DESI coadds")  # fmt: skip
    axes[0].plot([e.magnitude for e in known], [e.mock["r"] * s for e, s in zip(known, scale, strict=True)], "x",
                 color=PAPER, ms=6, label="the same, mock spectrograph")  # fmt: skip
    axes[0].set(yscale="log", xlabel="r in the fibre [AB mag]", ylabel="S/N per 0.8 Å pixel, r arm, to 1000 s")
    for k, arm in enumerate("brz"):
        values = [e.noise_ratio[arm] for e in exposures]
        axes[1].plot(k + np.linspace(-0.15, 0.15, len(values)), values, "D", color=REAL, ms=5)
    axes[1].axhspan(0.8, 1.25, color=PAPER, alpha=0.12, lw=0)
    axes[1].set(
        xticks=range(3), xticklabels=[f"arm {a}" for a in "brz"], ylabel="mock noise / real noise", yscale="log"
    )
    axes[1].set(ylim=(0.4, 2.5), yticks=[0.5, 1, 2], yticklabels=["0.5", "1", "2"], xlim=(-0.5, 2.5))
    axes[1].set_title(f"{len(exposures)} real coadds; grey: expected", fontsize=8)
    axes[1].minorticks_off()
    sound = catalogue[catalogue["COADD_FIBERSTATUS"] == 0]
    error = np.log10(np.maximum((sound["Z"] - sound["redshift"]).abs() / (1 + sound["redshift"]), 1e-7))
    axes[2].hist(error, np.arange(-7, 1.01, 0.2), color=MOCK)
    axes[2].axvline(np.log10(0.0033), color=PAPER, ls="--", lw=1, label="failure: 0.0033")
    axes[2].set(yscale="log", xlabel="log |dz| / (1 + z)", ylabel=f"BGS targets of {len(sound):,}")
    axes[0].legend(fontsize=7)
    axes[2].set_ylim(0.7, None)
    axes[2].legend(fontsize=7, loc="upper right")
    style.save(fig, path)


@style.look()
def draw_indices(path, comparisons: dict) -> None:
    """Cumulative distributions of the indices, real and mock, a row a kind of target."""
    fig = style.figure(height=2.3 * max(len(comparisons), 1) + 0.4)
    axes = fig.subplots(max(len(comparisons), 1), len(indices.LABELS), squeeze=False, sharey=True)
    if not comparisons:
        for axis in axes.flat:
            axis.set_axis_off()
        style.empty(axes[0, 3], "no real spectra to compare with: analyses.mock_validation.observations is empty")
    for row, (kind, found) in zip(axes, comparisons.items(), strict=False):
        for axis, (name, label) in zip(row, indices.LABELS.items(), strict=True):
            for values, colour, text in (
                (found.mock_indices[name], MOCK, "mock"),
                (found.real_indices[name], REAL, "real"),
            ):
                known = np.sort(values[np.isfinite(values)])
                if len(known):
                    axis.step(known, (np.arange(len(known)) + 0.5) / len(known), color=colour, where="mid", label=text)
            both = np.concatenate([found.real_indices[name], found.mock_indices[name]])
            axis.set_xlabel(label.replace("continuum colour", "colour"), fontsize=7.5)
            axis.tick_params(labelsize=7)
            if np.isfinite(both).any():
                axis.set_xlim(*np.nanpercentile(both, [1.5, 98.5]))
        row[0].set_ylabel(f"{kind.upper()}: share below")
        row[0].legend(title=f"{len(found.real.z)} real", fontsize=7, title_fontsize=7)
    style.save(fig, path)


@style.look()
def draw_which_spectra(path, comparison, rng: np.random.Generator, count: int = 6) -> str:
    """`count` real and as many mock spectra of like redshift and magnitude, in no order; returns the key."""
    if comparison is None:
        return _nothing(path, "no real spectra to show among the mock ones")
    order = np.argsort(comparison.real.z)
    chosen = order[np.linspace(1, len(order) - 2, count).astype(int)]
    entries = []
    for i in chosen:
        k = int(rng.integers(comparison.rows.shape[1]))
        galaxy = comparison.rows[i, k]
        mock = comparison.flux[i * comparison.rows.shape[1] + k]
        entries.append((True, comparison.real.z[i], comparison.real.magnitude[i, 1], comparison.real.flux[i]))
        entries.append((False, comparison.galaxies.redshift[galaxy], comparison.galaxies.mag_r[galaxy], mock))
    # pairs stay near each other, so that redshift does not tell; which comes first is a toss
    flips = rng.random(count) < 0.5
    shuffled = [entries[2 * k + (side ^ int(flip))] for k, flip in enumerate(flips) for side in (0, 1)]
    fig = style.figure(height=1.05 * count * 2 / 2 + 1.2)
    axes = fig.subplots(count, 2, sharex=True).ravel()
    for axis, letter, (_, z, r, flux) in zip(axes, LETTERS, shuffled, strict=False):
        axis.plot(WAVELENGTH, flux, color=style.INK, lw=0.6)
        axis.set(ylim=_limits(flux), xlim=(WAVELENGTH[0], WAVELENGTH[-1]))
        axis.set_title(f"{letter}   z = {z:.3f}, r = {r:.1f}", loc="left", fontsize=8.5, pad=2)
        axis.tick_params(labelsize=7)
        axis.yaxis.set_major_locator(MaxNLocator(3, prune="upper"))
    for axis in axes[-2:]:
        axis.set_xlabel("observed wavelength [Å]")
    fig.supylabel(FLUX_LABEL, fontsize=9)
    style.save(fig, path)
    real = [letter for letter, entry in zip(LETTERS, shuffled, strict=False) if entry[0]]
    return f"real: {', '.join(real)}; the others are mock"


def _nothing(path, text: str) -> str:
    fig = style.figure(height=1.0)
    style.empty(fig.subplots(), text)
    style.save(fig, path)
    return text


def _limits(flux):
    low, high = np.nanpercentile(flux[30:-30], [0.5, 99.7])
    return low - 0.15 * (high - low), high + 0.45 * (high - low)


@style.look()
def draw_images(path, legacy: Images, hsc: Images | None, observed) -> None:
    """PSF and depth over the survey, and the noise of pixels beside real images."""
    fig = style.figure(height=2.7)
    axes = fig.subplots(1, 3)
    axes[2].semilogy(list("grizy"), [np.nan] * 5)  # the bands in their order
    for i, band in enumerate(legacy.bands):
        colour = style.BANDS[band]
        axes[0].hist(legacy.psfsize[:, i], 25, histtype="step", color=colour, label=f"mock {band}")
        axes[1].hist(legacy.depth[:, i], 25, histtype="step", color=colour, label=f"mock {band}")
        if observed.decam is not None:
            axes[0].axvline(observed.decam.fwhm[i], color=colour, ls="--", lw=1)
    axes[0].set(xlabel="Legacy PSF FWHM [arcsec]", ylabel="cutouts")
    axes[1].set(xlabel="Legacy 5σ point-source depth [AB mag]", ylabel="cutouts")
    axes[0].set_ylim(0, axes[0].get_ylim()[1] * 1.35)
    title = "dashed: one real exposure each" if observed.decam is not None else None
    axes[0].legend(fontsize=7, title=title, title_fontsize=7, loc="upper right", ncol=3, columnspacing=0.8)
    for name, images, real, colour in (("Legacy", legacy, observed.decam, MOCK), ("HSC", hsc, observed.hsc, OTHER)):
        if images is not None:
            axes[2].semilogy(images.bands, np.median(images.sigma, axis=0), "o", color=colour, label=f"mock {name}")
        if real is not None:
            text = "one DECam exposure" if name == "Legacy" else "HSC COSMOS, deep"
            axes[2].semilogy(real.bands, real.sigma, "D", mfc="none", color=colour, label=f"real: {text}")
    axes[2].set(xlabel="band", ylabel="noise of a pixel [nanomaggy]")
    axes[2].set_ylim(None, axes[2].get_ylim()[1] * 60)
    axes[2].legend(fontsize=7, loc="upper left")
    style.save(fig, path)


@style.look()
def draw_which_images(path, panels: list[tuple[bool, str, np.ndarray]], rng: np.random.Generator) -> str:
    """Colour images (3, S, S; 0..1), real among mock, in no order; returns the key."""
    if not panels:
        return _nothing(path, "no real images to show among the mock ones")
    order = rng.permutation(len(panels))
    columns = 4
    rows = -(-len(panels) // columns)
    fig = style.figure(height=2.35 * rows)
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, letter, k in zip(axes, LETTERS, order, strict=False):
        _, name, image = panels[k]
        axis.imshow(np.moveaxis(image, 0, -1))
        axis.set_title(f"{letter}   {name}", loc="left", fontsize=8.5, pad=2)
    style.save(fig, path)
    real = [letter for letter, k in zip(LETTERS, order, strict=False) if panels[k][0]]
    return f"real: {', '.join(real)}; the others are mock"
