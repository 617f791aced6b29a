"""HATS catalogues of spectra and images in the layout of the Multimodal Universe, written by `lsdb`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tests.formats.images import counts, nested


def spectra(flux: np.ndarray, ivar: np.ndarray, wavelength: np.ndarray) -> pa.StructArray:
    """(N, P) arrays as structs of lists; `mask` is true for bad pixels.

    Wavelengths are doubles: in float32, as on the hub, they are off by up to 3e-4 of a pixel, and bringing them to the
    grid mixes neighbours by as much.
    """
    parts = {
        "flux": nested(flux.astype("f4")),
        "ivar": nested(ivar.astype("f4")),
        "lambda": nested(np.tile(np.float64(wavelength), (len(flux), 1))),
        "mask": nested(ivar <= 0),
    }
    return pa.StructArray.from_arrays(list(parts.values()), list(parts))


def images(pixels: np.ndarray, bands, scale: float) -> pa.StructArray:
    """(N, bands, S, S) nanomaggies as structs of lists."""
    parts = {
        "band": pa.array([list(bands)] * len(pixels)),
        "flux": nested(counts(pixels, scale < 0.2)),
        "scale": pa.array([[scale] * len(bands)] * len(pixels), pa.list_(pa.float32())),
    }
    return pa.StructArray.from_arrays(list(parts.values()), list(parts))


def write(folder: Path, name: str, rows: int, columns: dict) -> Path:
    """A collection by `lsdb`: columns object_id, ra, dec and others, in partitions of about so many rows."""
    import lsdb

    table = pa.table(columns)
    frame = pd.DataFrame({key: pd.Series(pd.arrays.ArrowExtensionArray(table[key])) for key in table.column_names})
    catalog = lsdb.from_dataframe(
        frame, catalog_name=name, partition_rows=rows, highest_order=8, margin_threshold=10.0, schema=table.schema
    )
    catalog.write_catalog(folder, catalog_name=name, progress_bar=False)
    return folder
