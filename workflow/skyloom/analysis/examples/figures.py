"""A few galaxies as the models see them."""

import numpy as np
import pandas

from skyloom.core.errors import BadInput
from skyloom.figures import style
from skyloom.figures.galaxies import FLUX_LABEL, draw_image, draw_spectrum
from skyloom.tokens.images import hsc_rgb
from skyloom.tokens.store import Shards


@style.look()
def draw_examples(
    galaxies: pandas.DataFrame, image_shards, spectrum_shards, path, count: int = 5, hsc_shards=()
) -> None:
    """Images beside spectrum of `count` galaxies spread over redshift.

    Parameters
    ----------
    galaxies : index targetid, column z
    image_shards, spectrum_shards : token shards (`rgb`; `flux`, `ivar`)
    hsc_shards : token shards of HSC images (`flux`), a column of their own unless there are none
    """
    images, spectra = Shards(image_shards), Shards(spectrum_shards)
    both = np.intersect1d(np.intersect1d(images.targetid, spectra.targetid), galaxies.index.to_numpy())
    if not len(both):
        raise BadInput(f"{image_shards[0]}: no galaxy has both an image and a spectrum in the token shards")
    redshift = galaxies.loc[both, "z"].sort_values(kind="stable")
    chosen = redshift.iloc[np.linspace(0.05, 0.95, min(count, len(redshift))) * (len(redshift) - 1)]
    pictures = [images.read(images.rows(chosen.index.to_numpy()), ["rgb"])["rgb"]]
    pictures += [_hsc_pictures(hsc_shards, chosen.index.to_numpy())] if hsc_shards else []
    got = spectra.read(spectra.rows(chosen.index.to_numpy()), ["flux", "ivar"])
    fig = style.figure(height=1.5 * len(chosen) + 0.4)
    axes = fig.subplots(len(chosen), len(pictures) + 1, width_ratios=[1] * len(pictures) + [5], squeeze=False)
    for row, (targetid, z), flux, ivar, *shown in zip(
        axes, chosen.items(), got["flux"], got["ivar"], *pictures, strict=True
    ):
        for axis, picture in zip(row[:-1], shown, strict=True):
            draw_image(axis, picture)
        draw_spectrum(row[-1], flux, ivar, z)
        row[-1].set_title(f"TARGETID {targetid}, z = {z:.4f}", loc="left", fontsize=8.5)
        row[-1].tick_params(labelbottom=row[-1] is axes[-1][-1])
    for axis, name in zip(axes[0][:-1] if hsc_shards else (), ("Legacy Surveys", "HSC"), strict=False):
        axis.set_title(name, fontsize=8.5)
    axes[-1][-1].set_xlabel("observed wavelength [Angstrom]")
    axes[len(axes) // 2][-1].set_ylabel(FLUX_LABEL)
    style.save(fig, path)


def _hsc_pictures(shards, targetid: np.ndarray) -> np.ndarray:
    """RGB images (n, 3, S, S) from i, r, g; white for a galaxy that has none."""
    store = Shards(shards)
    rows = store.rows(targetid)
    pictures = np.ones((len(rows), 3, *store.shapes["flux"][1:]), "f4")
    flux = store.read(rows[rows >= 0], ["flux"])["flux"]
    pictures[rows >= 0] = hsc_rgb(flux)
    return pictures
