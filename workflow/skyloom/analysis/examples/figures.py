"""A few galaxies as the models see them, whatever the modalities of the survey."""

from collections.abc import Sequence

import numpy as np
import pandas

from skyloom.analysis.common import tables
from skyloom.core.errors import BadInput
from skyloom.figures import style
from skyloom.figures.samples import IMAGE, LINE, SPECTRUM, Pictures, axis_labels, draw
from skyloom.settings.analysis import Job

WIDTHS = {IMAGE: 1.0, SPECTRUM: 5.0, LINE: 1.5}


def run(job: Job) -> None:
    """Inputs: galaxies (targetid, z), tokens_{modality} (shards). Output: figure (png)."""
    galaxies = tables.read_galaxies(job.one("galaxies"), columns=["z"])
    roles = [role for role in job.inputs if role.startswith("tokens_")]
    pictures = [Pictures(role.removeprefix("tokens_"), job.inputs[role]) for role in roles]
    draw_examples(galaxies, pictures, job.outputs["figure"], job.settings.galaxies)


@style.look()
def draw_examples(galaxies: pandas.DataFrame, pictures: Sequence[Pictures], path, count: int = 5) -> None:
    """`count` galaxies spread over redshift, a row each, those with most of the modalities; `galaxies` has index
    targetid and column z. Images stand left of lines.

    BadInput : no galaxy of the catalogue is in the token shards.
    """
    pictures = sorted(pictures, key=lambda shown: shown.form != IMAGE)
    chosen = choose(galaxies["z"], pictures, count)
    fig = style.figure(height=1.5 * len(chosen) + 0.4)
    widths = [WIDTHS[shown.form] for shown in pictures]
    axes = fig.subplots(len(chosen), len(pictures), width_ratios=widths, squeeze=False)
    for line, (row, (targetid, z)) in enumerate(zip(axes, chosen.items(), strict=True)):
        for axis, shown in zip(row, pictures, strict=True):
            draw(axis, shown.form, shown.read(targetid), z)
            if shown.form != IMAGE:
                axis.tick_params(labelbottom=line == len(axes) - 1)
        name = f"TARGETID {targetid}, z = {z:.4f}" if np.isfinite(z) else f"TARGETID {targetid}"
        if pictures[-1].form == SPECTRUM:
            row[-1].set_title(name, loc="left", fontsize=8.5)
        else:
            row[0].set_ylabel(name.replace(", ", "\n"), fontsize=7.5)
    for axis, shown in zip(axes[0], pictures, strict=True):
        if shown is not pictures[-1] or shown.form != SPECTRUM:
            axis.set_title(style.pretty(shown.modality), fontsize=8.5)
    for axis, shown in zip(axes[-1], pictures, strict=True):
        axis.set_xlabel(axis_labels(shown.form)[0])
    for axis, shown in zip(axes[len(axes) // 2], pictures, strict=True):
        if axis_labels(shown.form)[1]:
            axis.set_ylabel(axis_labels(shown.form)[1])
    style.save(fig, path)


def choose(z: pandas.Series, pictures: Sequence[Pictures], count: int) -> pandas.Series:
    """Redshifts by targetid of `count` galaxies, spread over redshift, among those with most of the modalities."""
    held = pandas.Series(0, index=np.sort(z.index.to_numpy()))
    for shown in pictures:
        held[np.isin(held.index, shown.targetid)] += 1
    if not len(held) or not held.max():
        names = ", ".join(shown.modality for shown in pictures)
        raise BadInput(f"no galaxy of the catalogue is in the token shards of {names}; expected some")
    found = z.loc[held.index[held == held.max()]].sort_values(kind="stable")
    return found.iloc[np.linspace(0.05, 0.95, min(count, len(found))) * (len(found) - 1)]
