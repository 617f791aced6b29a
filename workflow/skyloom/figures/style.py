"""One look for every figure: sizes, colours that survive colour blindness (Okabe & Ito 2008), reproducible PNG."""

import contextlib
import os
from collections.abc import Iterator, Mapping

import matplotlib
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from skyloom.core.files import atomic
from skyloom.settings.names import PROPERTIES

WIDTH = 9.0  # inches: the text width of the report
DPI = 130
INK, GRID = "#222222", "#d9d9d9"
BANDS = {"g": "#009E73", "r": "#D55E00", "z": "#7B2D8B"}
SPLITS = {"train": "#0072B2", "validation": "#E69F00", "test": "#CC79A7"}
MARK, OTHER_MARK = "#0072B2", "#D55E00"
"""Two colours for what is laid over data: lines at one redshift and at another."""
MATCH = "#009E73"
GREYS = ["#6f6f6f", "#a6a6a6", "#3d3d3d", "#8a7f72"]
CYCLE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7B2D8B", "#b8a300", "#222222"]
CONTINUOUS = "viridis"
LOW, HIGH = "#0072B2", "#E69F00"

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


_WANTED: dict[str, str] = {}
"""PNG -> the same figure in another form, of the running job."""
MANY = 2000
"""Points of a line or a cloud that are pixels in a vector figure."""
UNDATED = {"pdf": {"Creator": None, "Producer": None, "CreationDate": None}, "svg": {"Creator": None, "Date": None}}


@contextlib.contextmanager
def also(forms: Mapping[str, str]) -> Iterator[None]:
    """Within this, `save` writes figures in another form too: PNG -> path that ends in .pdf or .svg."""
    _WANTED.update(forms)
    try:
        yield
    finally:
        _WANTED.clear()


def save(fig: Figure, path: str | os.PathLike) -> None:
    """Write a PNG atomically, without date or software version: the same figure gives the same bytes. And another form
    beside it, where the job wants one (`also`): text stays text, clouds of many points become pixels."""
    with atomic(path) as temporary:
        fig.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})
    other = _WANTED.get(str(path))
    if other is None:
        return
    for artist in fig.findobj(lambda artist: isinstance(artist, Line2D | PathCollection)):
        points = artist.get_xdata() if isinstance(artist, Line2D) else artist.get_offsets()
        if len(points) > MANY:
            artist.set_rasterized(True)
    form = str(other).rpartition(".")[2]
    with atomic(other) as temporary, matplotlib.rc_context({"svg.hashsalt": "skyloom", "svg.fonttype": "none"}):
        fig.savefig(temporary, format=form, dpi=2 * DPI, metadata=UNDATED[form])


class Palette:
    """Colours of models: one a kind, in the order in which kinds appear, what is built on others last; baselines grey.

    Parameters
    ----------
    models : name -> traits, the dict that lies in the metadata of its embeddings (kind, trained, baseline, ...); a
        trait that is not there is that of a trained model of a kind of its own
    """

    def __init__(self, models: Mapping[str, Mapping]):
        self._models = dict(models)
        self._colours: dict[str, str] = {}
        ordered = sorted(models.items(), key=lambda item: rank(item[1]) > 3)  # so that figures of a few models agree
        for baseline, cycle in ((False, CYCLE), (True, GREYS)):
            kinds = dict.fromkeys(self._kind(m) for m, t in ordered if bool(t.get("baseline")) is baseline)
            self._colours |= {kind: cycle[place % len(cycle)] for place, kind in enumerate(kinds)}

    def _kind(self, model: str) -> str:
        return self._models.get(model, {}).get("kind") or model

    def colour(self, model: str) -> str:
        """The colour of its kind: an untrained network has that of the trained one."""
        return self._colours.get(self._kind(model), CYCLE[0])

    def face(self, model: str) -> str:
        """What fills its markers: white for a network that was not trained."""
        return "white" if untrained(self._models.get(model, {})) else self.colour(model)


def untrained(traits: Mapping) -> bool:
    """A network as it starts: not trained, and no baseline that needs no training."""
    return not traits.get("trained", True) and not traits.get("baseline", False)


def rank(traits: Mapping) -> int:
    """The order of models: photometry, baselines, untrained, trained, and what is built on other models last."""
    if traits.get("baseline"):
        return 0 if traits.get("photometry") else 1
    return 2 if untrained(traits) else 4 if traits.get("backbones") else 3


def label(name: str) -> str:
    """What a property is called on an axis."""
    return PROPERTIES.get(name, name)


def pretty(name: str) -> str:
    """The name of a model or modality for people: `my_model` -> `my model`."""
    return name.replace("_", " ")


def empty(axis, text: str) -> None:
    """Say in an axis why nothing is drawn."""
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes, color="#6f6f6f")
    axis.set_axis_off()


def nothing(text: str, path: str | os.PathLike) -> None:
    """A figure that says why there is none."""
    with look():
        fig = figure(height=1.0)
        empty(fig.subplots(), text)
        save(fig, path)


def line(colour: str, text: str):
    """An entry of a legend: a line."""
    return Line2D([], [], color=colour, label=text)
