"""Real spectra with the main lines where redrock and where the neighbours put them."""

import numpy as np
import pandas

from skyloom.core.errors import BadInput
from skyloom.figures import style
from skyloom.figures.galaxies import FLUX_LABEL, draw_spectrum, mark_lines
from skyloom.tokens.store import Shards

REDROCK, ESTIMATE = style.FAMILIES["specformer"], style.FAMILIES["astrodino"]


@style.look()
def draw_redshifts(table: pandas.DataFrame, shard_paths, path, shown: int = 12) -> None:
    """One panel a spectrum, those with a redrock redshift first; `table` as in `analysis.redshift`."""
    order = table["z_redrock"].isna().sort_values(kind="stable").index
    rows = table.loc[order].head(shown)
    shards = Shards(shard_paths)
    place = shards.rows(rows["targetid"].to_numpy())
    if (place < 0).any():
        missing = rows["targetid"].to_numpy()[place < 0][0]
        raise BadInput(f"{shard_paths[0]}: targetid {missing} has an embedding but no spectrum in the token shards")
    spectra = shards.read(place, ["flux", "ivar"])
    fig = style.figure(height=1.75 * max(len(rows), 1) + 0.6)
    axes = fig.subplots(max(len(rows), 1), 1, sharex=True, squeeze=False)[:, 0]
    if not len(rows):
        style.empty(axes[0], "no spectrum passed the cuts")
    for axis, row, flux, ivar in zip(axes, rows.itertuples(), spectra["flux"], spectra["ivar"], strict=False):
        draw_spectrum(axis, flux, ivar)
        mark_lines(axis, row.z_estimate, ESTIMATE, "--", names=not np.isfinite(row.z_redrock))
        text = f"neighbours z = {row.z_estimate:.4f} ± {row.z_spread:.4f}"
        if np.isfinite(row.z_redrock):
            mark_lines(axis, row.z_redrock, REDROCK, "-")
            text = f"redrock z = {row.z_redrock:.4f}, {text}"
        axis.set_title(
            f"TARGETID {row.targetid}: {text}" + (f" ({row.note})" if row.note else ""), loc="left", fontsize=8.5
        )
    axes[-1].set_xlabel("observed wavelength [Angstrom]")
    axes[len(axes) // 2].set_ylabel(FLUX_LABEL)
    handles = [axes[0].plot([], [], color=c, ls=ls)[0] for c, ls in ((REDROCK, "-"), (ESTIMATE, "--"))]
    fig.legend(handles, ["lines at redrock's z", "lines at the neighbours' z"], loc="outside lower right", ncol=2)
    style.save(fig, path)
