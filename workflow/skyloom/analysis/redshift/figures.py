"""Real spectra with the main lines where redrock and where the neighbours put them."""

import numpy as np
import pandas

from skyloom.figures import style
from skyloom.figures.galaxies import mark_lines
from skyloom.figures.samples import SPECTRUM, Pictures, axis_labels, draw

REDROCK, ESTIMATE = style.MARK, style.OTHER_MARK


@style.look()
def draw_redshifts(table: pandas.DataFrame, pictures: Pictures, path, shown: int = 12) -> None:
    """One panel a galaxy, those with a redrock redshift first; `table` as in `neighbours.COLUMNS`."""
    order = table["z_redrock"].isna().sort_values(kind="stable").index
    rows = table.loc[order].head(shown)
    data = [pictures.need(targetid) for targetid in rows["targetid"]]
    spectra = pictures.form == SPECTRUM
    fig = style.figure(height=1.75 * max(len(rows), 1) + 0.6)
    axes = fig.subplots(max(len(rows), 1), 1, sharex=spectra, squeeze=False)[:, 0]
    if not len(rows):
        style.empty(axes[0], "no galaxy passed the cuts")
    for axis, row, values in zip(axes, rows.itertuples(), data, strict=False):
        draw(axis, pictures.form, values)
        if spectra:
            mark_lines(axis, row.z_estimate, ESTIMATE, "--", names=not np.isfinite(row.z_redrock))
            if np.isfinite(row.z_redrock):
                mark_lines(axis, row.z_redrock, REDROCK, "-")
        text = f"neighbours z = {row.z_estimate:.4f} ± {row.z_spread:.4f}"
        if np.isfinite(row.z_redrock):
            text = f"redrock z = {row.z_redrock:.4f}, {text}"
        axis.set_title(
            f"TARGETID {row.targetid}: {text}" + (f" ({row.note})" if row.note else ""), loc="left", fontsize=8.5
        )
    below, beside = axis_labels(pictures.form)
    axes[-1].set_xlabel(below)
    axes[len(axes) // 2].set_ylabel(beside)
    if spectra:
        handles = [axes[0].plot([], [], color=c, ls=ls)[0] for c, ls in ((REDROCK, "-"), (ESTIMATE, "--"))]
        fig.legend(handles, ["lines at redrock's z", "lines at the neighbours' z"], loc="outside lower right", ncol=2)
    style.save(fig, path)
