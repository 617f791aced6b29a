"""One look for every figure: sizes, colours that survive colour blindness (Okabe & Ito 2008), reproducible PNG."""

import contextlib
import os

import matplotlib
from matplotlib.figure import Figure

from skyloom.core.files import atomic

WIDTH = 9.0  # inches: the text width of the report
DPI = 130
INK, GRID = "#222222", "#d9d9d9"
BANDS = {"g": "#009E73", "r": "#D55E00", "z": "#7B2D8B"}
SPLITS = {"train": "#0072B2", "validation": "#E69F00", "test": "#CC79A7"}
FAMILIES = {
    "astroclip": "#009E73",
    "specformer": "#0072B2",
    "astrodino": "#D55E00",
    "photometry": "#E69F00",
    "pca": "#6f6f6f",
    "chance": "#6f6f6f",
}
CYCLE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7B2D8B", "#6f6f6f", "#b8a300", "#222222"]
CONTINUOUS = "viridis"
LOW, HIGH = "#0072B2", "#E69F00"

LABELS = {
    "z": "redshift",
    "log_mstar": "log M* [Msun]",
    "log_z_mw": "log Z_MW",
    "t_age": "t_age [Gyr]",
    "log_ssfr": "log sSFR [1/yr]",
}
RC = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=CYCLE),
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "figure.facecolor": "white",
    "image.origin": "lower",
    "image.interpolation": "nearest",
}


def look() -> contextlib.AbstractContextManager:
    """Skyloom's matplotlib settings, for `with look():` or as a decorator; the user's own are left as they were."""
    return matplotlib.rc_context(RC)


def figure(height: float, width: float = WIDTH) -> Figure:
    """A figure (inches) that needs no window system and no global pyplot state."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def save(fig: Figure, path: str | os.PathLike) -> None:
    """Write a PNG atomically, without date or software version: the same figure gives the same bytes."""
    with atomic(path) as temporary:
        fig.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def colour(model: str) -> str:
    """The colour of a model's family, the part of its name before "_": `X_untrained` shares the colour of X."""
    return FAMILIES.get(model.split("_")[0], "#CC79A7")


def rank(model: str) -> int:
    """Baselines before trained models, aligned models last."""
    first = {"photometry": 0, "pca": 1, "astroclip": 4}
    return first.get(model.split("_")[0], 2 if model.endswith("_untrained") else 3)


def label(name: str) -> str:
    """What a property is called on an axis."""
    return LABELS.get(name, name)


def pretty(model: str) -> str:
    """A model's name for people: `specformer_untrained` -> `specformer (untrained)`, `pca_image` -> `PCA`."""
    if model.split("_")[0] == "pca":
        return "PCA"
    return f"{model.removesuffix('_untrained')} (untrained)" if model.endswith("_untrained") else model


def source(modality: str) -> str:
    """A modality's name for people: `hsc_image` -> `HSC image`."""
    return modality.replace("hsc_", "HSC ")


def empty(axis, text: str) -> None:
    """Say in an axis why nothing is drawn."""
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes, color="#6f6f6f")
    axis.set_axis_off()
