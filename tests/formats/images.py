"""Files with images in the layouts of their archives, written from arrays (N, bands, S, S) in nanomaggy."""

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.formats import galaxiesml


def astroclip_hdf5(path, images, groups: int = 2, spectra=None, **columns):
    """Groups "0", "1" ... as AstroCLIP's export writes them: an image is `np.array(image).T`, a spectrum (P, 1)."""
    given = {
        "targetids": np.arange(len(images)) + 39_000_000_000_000_000,
        "redshifts": np.linspace(0, 0.5, len(images)),
    }
    with h5py.File(path, "w") as file:
        for name, rows in enumerate(np.array_split(np.arange(len(images)), groups)):
            if images[0] is not None:
                file[f"{name}/images"] = np.array([np.array(images[row]).T.astype("float32") for row in rows])
            if spectra is not None:
                file[f"{name}/spectra"] = np.array([np.reshape(spectra[row], [-1, 1]) for row in rows])
            for column, values in {**given, **columns}.items():
                file[f"{name}/{column}"] = np.asarray(values)[rows]
    return path


def as_compound(path, groups, ends: int = 1):
    """A file of GalaxiesML-Spectra whose two tables are compound datasets, of one whose are groups; without `ends`
    pixels on either side of the spectra, and without their wavelengths."""
    with h5py.File(groups) as old, h5py.File(path, "w") as new:
        for name in ("DESI_fibermap", "HSC_metadata"):
            columns = {column: values[()] for column, values in old[name].items()}
            dtype = [(column, values.dtype, values.shape[1:]) for column, values in columns.items()]
            rows = np.empty(len(old["image"]), dtype)
            for column, values in columns.items():
                rows[column] = values
            new[name] = rows
        for name in ("image", "object_id", "targetid"):
            new[name] = old[name][()]
        for name in ("flux", "ivar"):
            new[f"spectrum/{name}"] = old[f"spectrum/{name}"][:, ends : -ends or None]
        if not ends:
            new["spectrum/wave"] = old["spectrum/wave"][()]
    return path


def nested(array, kind=None):
    """(N, ...) as lists of lists."""
    values = pa.array(np.ascontiguousarray(array).reshape(-1), kind)
    for length in reversed(array.shape[1:]):
        offsets = np.arange(0, len(values) + 1, length)
        values = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)
    return values


def fixed(array):
    """The same in lists of fixed size, with float16 in them."""
    values = pa.array(array.astype("f2").reshape(-1))
    for length in reversed(array.shape[1:]):
        values = pa.FixedSizeListArray.from_arrays(values, length)
    return values


def astroclip_parquet(path, images, spectra=None, column=nested, group: int = 100, **columns):
    """The same as a hub has it: image (S, S, 3), spectrum (P, 1), redshift, targetid."""
    given = {"targetid": np.arange(len(images)) + 39_000_000_000_000_000, "redshift": np.linspace(0, 0.5, len(images))}
    table = {"image": column(np.asarray(images).transpose(0, 3, 2, 1))}
    if spectra is not None:
        table["spectrum"] = nested(np.asarray(spectra, "f4")[..., None])
    pq.write_table(pa.table({**table, **given, **columns}), path, row_group_size=group)
    return path


def counts(images, hsc: bool):
    """The unit of coadds of HSC."""
    return np.asarray(images, "f4") * np.float32(galaxiesml.COUNTS_PER_NANOMAGGY if hsc else 1)


def multimodal_hdf5(path, images, bands, scale, **columns):
    """A file of the Multimodal Universe."""
    with h5py.File(path, "w") as file:
        file.create_dataset("image_array", data=counts(images, scale < 0.2), compression="gzip", chunks=True)
        file["image_band"] = np.tile(np.array(bands, "S5"), (len(images), 1))
        file["image_scale"] = np.full((len(images), len(bands)), scale, "f4")
        file["object_id"] = np.array([f"0421p022-{row}" for row in range(len(images))], "S16")
        for name, values in columns.items():
            file[name] = values
    return path


def multimodal_parquet(path, images, bands, scale, structs=False, pixels="flux", group: int = 1000, **columns):
    """The same in Parquet: image a struct of lists (as on a hub, and in HATS), or a list of `structs`."""
    total, values = len(images), counts(images, scale < 0.2)
    parts = {
        "band": pa.array([list(bands)] * total),
        pixels: nested(values),
        "ivar": nested(np.ones_like(values)),
        "scale": pa.array([[scale] * len(bands)] * total, pa.list_(pa.float32())),
    }
    column = pa.StructArray.from_arrays(list(parts.values()), list(parts))
    if structs:
        inner = pa.StructArray.from_arrays([part.flatten() for part in parts.values()], list(parts))
        column = pa.ListArray.from_arrays(pa.array(np.arange(total + 1) * len(bands), pa.int32()), inner)
    given = {"object_id": [f"{10**17 + row}" for row in range(total)], **columns}
    pq.write_table(pa.table({"image": column, **given}), path, row_group_size=group)
    return path
