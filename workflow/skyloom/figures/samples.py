"""Single galaxies as their tokens hold them, whatever the modality: an image, a spectrum, or a line of numbers.

What is drawn follows from the datasets of the shards: `rgb`, or `flux` of several bands, is an image; `flux` with
`ivar` of the same pixels is a spectrum, on the grid that the shards state; of anything else the first one-dimensional
dataset is drawn as a line.
"""

import os
from collections.abc import Sequence

import numpy as np

from skyloom.core.errors import BadInput
from skyloom.figures import style
from skyloom.figures.galaxies import FLUX_LABEL, draw_image, draw_spectrum
from skyloom.tokens.images import arcsinh_rgb, hsc_rgb
from skyloom.tokens.store import Shards

IMAGE, SPECTRUM, LINE = "image", "spectrum", "line"


class Pictures:
    """The galaxies of one modality, to draw.

    Attributes
    ----------
    modality : its name
    form : IMAGE, SPECTRUM or LINE
    targetid : (N,) int64
    shape : of what is drawn, of one galaxy
    wavelength : (W,) Angstrom, of a SPECTRUM
    """

    def __init__(self, modality: str, paths: Sequence[str | os.PathLike]):
        self.modality = modality
        self._shards = Shards(paths)
        self.form, self._names = _form(self._shards)
        self.targetid = self._shards.targetid
        self.shape = self._shards.shapes[self._names[0]]
        if self.form == SPECTRUM:
            start, step = (self._shards.attrs[f"wavelength_{name}"] for name in ("start", "step"))
            self.wavelength = start + step * np.arange(*self._shards.shapes["flux"])

    def read(self, targetid: int) -> np.ndarray | None:
        """What `draw` shows: an RGB image (3, S, S), wavelength, flux and ivar (3, W), or values (D,); None if there is
        none."""
        there, found = self.read_many(np.array([targetid]))
        return found[0] if there[0] else None

    def read_many(self, targetid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which (n,) of these galaxies have one, and what `read` gives of those, one after the other."""
        rows = self._shards.rows(targetid)
        there = rows >= 0
        data = self._shards.read(rows[there], self._names)
        first = data[self._names[0]]
        if self.form == SPECTRUM:
            return there, np.stack([np.broadcast_to(self.wavelength, first.shape), first, data["ivar"]], axis=1)
        if self.form == LINE or self._names[0] == "rgb":
            return there, first
        rgb = hsc_rgb if first.shape[1] > 3 else arcsinh_rgb
        return there, rgb(first) if len(first) else first

    def need(self, targetid: int) -> np.ndarray:
        """As `read`; BadInput if there is none."""
        data = self.read(targetid)
        if data is None:
            first = self._shards.paths[0]
            raise BadInput(f"{first}: targetid {targetid} has an embedding but no {self.modality} in the token shards")
        return data


def draw(axis, form: str, data: np.ndarray | None, z: float | None = None, compact: bool = False) -> None:
    """Draw what `Pictures.read` gave; lines of a spectrum are marked at redshift `z` unless it is `compact`."""
    if data is None:
        axis.set_axis_off()
    elif form == IMAGE:
        draw_image(axis, data)
    elif form == SPECTRUM:
        draw_spectrum(axis, *data, z if z is not None and np.isfinite(z) else None, compact)
    else:
        axis.plot(data, ".-" if len(data) < 30 else "-", color=style.INK, lw=0.7, ms=4)
        axis.margins(x=0.02)
        if compact:
            axis.set(xticks=[], yticks=[])


def axis_labels(form: str) -> tuple[str, str]:
    """What stands below and beside a panel of this form."""
    labels = {SPECTRUM: ("observed wavelength [Angstrom]", FLUX_LABEL), LINE: ("element", "")}
    return labels.get(form, ("", ""))


def _form(shards: Shards) -> tuple[str, list[str]]:
    shapes = shards.shapes
    for name in ("rgb", "flux"):
        if len(shapes.get(name, ())) == 3 and shapes[name][0] >= 3:
            return IMAGE, [name]
    placed = {"wavelength_start", "wavelength_step"} <= set(shards.attrs)
    if placed and len(shapes.get("flux", ())) == 1 and shapes["flux"] == shapes.get("ivar"):
        return SPECTRUM, ["flux", "ivar"]
    lines = [name for name, shape in shapes.items() if len(shape) == 1]
    if not lines:
        raise BadInput(f"{shards.paths[0]}: nothing to draw among {', '.join(shapes)}; expected an image or a vector")
    return LINE, [min(lines, key=lambda name: (name != "values", name))]
