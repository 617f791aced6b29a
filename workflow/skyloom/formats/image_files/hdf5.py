"""Images in HDF5: Stein et al., GalaxiesML, GalaxiesML-Spectra, AstroCLIP, Multimodal Universe."""

import functools

import h5py
import numpy as np

from skyloom.core.errors import BadInput
from skyloom.formats import galaxiesml, galaxiesml_spectra, legacy, published_splits
from skyloom.formats.fits_files import check_rows
from skyloom.formats.hdf5_files import dataset_named, group_number, open_hdf5, read_rows
from skyloom.formats.image_files.images import (
    Images,
    band_letters,
    band_places,
    camera_of,
    catalog,
    checked_shape,
)
from skyloom.formats.spectrum_files.spectra import texts

_SINGLE = ("redshift", "zerr", "ra", "dec", "ebv")


class Stein(Images):
    """Cutouts of the Legacy Surveys (`skyloom.formats.legacy`). The identifier is the source's number, as DESI's
    TARGETID has it, unless the file has others."""

    form = "Stein et al."

    def size(self):
        return legacy.SIZE

    def catalog(self):
        table = legacy.read_cutout_catalog(self.path)
        known = {"ra": table["ra"], "dec": table["dec"]}
        known |= {f"flux_{band}": table["flux"][:, number] for number, band in enumerate(legacy.BANDS)}
        if "ebv" in table.colnames:
            known["ebv"] = table["ebv"]
        if "z_spec" in table.colnames:  # -99 stands for none in the catalogues it comes from (from memory)
            known["redshift"] = np.where(np.asarray(table["z_spec"]) > -90, table["z_spec"], np.nan)
        number = legacy.source_number(*(table[name] for name in ("release", "brickid", "objid")))
        stated = legacy.read_identifiers(self.path)
        identifier = number if stated is None else stated
        return catalog(identifier, published_splits.of_file(self.path, len(table)), known)

    def read(self, rows):
        return legacy.read_cutouts(self.path, rows)


class GalaxiesML(Images):
    """Hyper Suprime-Cam (`skyloom.formats.galaxiesml`)."""

    form = "GalaxiesML"

    def size(self):
        return galaxiesml.image_size(self.path)

    def catalog(self):
        wanted = {"redshift": "specz_redshift", "zerr": "specz_redshift_err"}
        magnitudes = {f"flux_{band}": f"{band}_cmodel_mag" for band in "grz"}
        with open_hdf5(self.path) as file:
            names = [name for name in (*wanted.values(), *magnitudes.values()) if name in file]
        table = galaxiesml.read_catalog(self.path, names)
        known = {"ra": table["ra"], "dec": table["dec"]}
        known |= {quantity: table[name] for quantity, name in wanted.items() if name in names}
        known |= {quantity: galaxiesml.nanomaggy(table[name]) for quantity, name in magnitudes.items() if name in names}
        identifier = np.asarray(table["object_id"], np.int64)
        return catalog(identifier, published_splits.of_file(self.path, len(table)), known)

    def read(self, rows):
        return galaxiesml.read_images(self.path, rows) / np.float32(galaxiesml.COUNTS_PER_NANOMAGGY)


class GalaxiesMLSpectra(GalaxiesML):
    """The same with DESI's spectra (`skyloom.formats.galaxiesml_spectra`). The identifier is DESI's TARGETID."""

    form = "GalaxiesML-Spectra"

    def catalog(self):
        table = galaxiesml_spectra.read_catalog(self.path)
        split = published_splits.of_file(self.path, len(table))
        return catalog(np.asarray(table["targetid"]), split, galaxiesml_spectra.known(table))


class AstroClip(Images):
    """AstroCLIP's file: groups with images (N, 152, 152, 3), of which the export took the transpose of (3, y, x).

    Source: github.com/PolymathicAI/AstroCLIP, data/crossmatch/export_data.py (`np.array(...).T`).
    """

    form = "AstroCLIP"

    def size(self):
        with open_hdf5(self.path) as file:
            return self._images(file)[0].shape[1]

    def catalog(self):
        parts = []
        with open_hdf5(self.path) as file:
            images = self._images(file)
            for images_of_group in images:
                group = images_of_group.name.rpartition("/")[0].lstrip("/")
                columns = []
                for name, kinds in (("targetids", "iu"), ("redshifts", "f")):
                    column = dataset_named(self.path, file, f"{group}/{name}", kinds)
                    good = column.shape == (len(images_of_group),)
                    expected = f"{(len(images_of_group),)} (a row an image)"
                    checked_shape(self.path, f"{group}/{name}", column.shape, expected, good)
                    columns.append(column[()])
                parts.append(columns)
        identifier, redshift = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        split = published_splits.of_astroclip([len(part[0]) for part in parts])
        return catalog(identifier.astype(np.int64), split, {"redshift": redshift})

    def read(self, rows):
        with open_hdf5(self.path) as file:
            images = self._images(file)
            starts = np.cumsum([0, *map(len, images)])
            rows = check_rows(self.path, rows, int(starts[-1]))
            side = images[0].shape[1]
            found = np.empty((len(rows), len(self.camera.bands), side, side), "f4")
            group = np.searchsorted(starts, rows, side="right") - 1
            for number in np.unique(group):
                here = group == number
                block = read_rows(self.path, images[number], rows[here] - starts[number])
                found[here] = block.transpose(0, 3, 2, 1)
        return found

    def _images(self, file: h5py.File) -> list[h5py.Dataset]:
        """The images of every group, in the order of the groups' numbers; BadInput unless all fit."""
        names = sorted((name for name in file if f"{name}/targetids" in file), key=group_number)
        found = [dataset_named(self.path, file, f"{name}/images", "f") for name in names]
        if not found:
            raise BadInput(f"{self.path}: no group with images, found {', '.join(file) or 'nothing'}")
        for images in found:
            shape = images.shape
            square = images.ndim == 4 and shape[1] == shape[2] and shape[3] == len(self.camera.bands)
            fits = square and shape[1:] == found[0].shape[1:]
            checked_shape(self.path, f"dataset {images.name.lstrip('/')}", shape, "(N, S, S, 3), S as in all", fits)
        return found


class Multimodal(Images):
    """Files of the Multimodal Universe: image_array (N, bands, S, S), image_band, image_scale, and columns.

    Legacy images are in nanomaggy, those of HSC in counts of zero point 27, as the coadds they are cut from. Sources:
    github.com/MultimodalUniverse, scripts/{legacysurvey,hsc}/build_parent_sample.py (units from memory of the coadds).
    """

    form = "Multimodal Universe"

    def size(self):
        with open_hdf5(self.path) as file:
            return self._images(file).shape[-1]

    def catalog(self):
        with open_hdf5(self.path) as file:
            total = len(self._images(file))
            there = {name.lower(): name for name in reversed(list(file))}
            identifier = _column(self.path, file, there.get("object_id", "object_id"), total, "SOiu")
            wanted = multimodal_names(there)
            known = {name: _column(self.path, file, there[column], total) for name, column in wanted.items()}
        return catalog(texts(identifier), published_splits.of_file(self.path, total), multimodal_known(known))

    def read(self, rows):
        with open_hdf5(self.path) as file:
            images = self._images(file)
            places = band_places(self.path, self.bands, self.camera.bands)
            return in_nanomaggy(read_rows(self.path, images, rows)[:, places], self.modality)

    @functools.cached_property
    def bands(self) -> list[str]:
        """Names of the bands, in the order of the images."""
        return multimodal_bands(self.path)[0]

    def _images(self, file: h5py.File) -> h5py.Dataset:
        images = dataset_named(self.path, file, "image_array", "f")
        fits = images.ndim == 4 and images.shape[2] == images.shape[3] and images.shape[1] == len(self.bands)
        checked_shape(self.path, "dataset image_array", images.shape, f"(N, {len(self.bands)}, S, S)", fits)
        return images


def multimodal_bands(path) -> tuple[list[str], float]:
    """The bands of every image of such a file, and the side of a pixel in arcsec (NaN where the file does not say)."""
    with open_hdf5(path) as file:
        bands = dataset_named(path, file, "image_band", "SO")[()]
        scale = file["image_scale"][:1] if isinstance(file.get("image_scale"), h5py.Dataset) else np.empty(0)
    bands = np.array([[name.decode() if isinstance(name, bytes) else str(name) for name in row] for row in bands])
    if not len(bands):
        raise BadInput(f"{path}: no images")
    if (bands != bands[:1]).any():
        raise BadInput(f"{path}: the bands of dataset image_band differ from row to row; expected one order for all")
    return bands[0].tolist(), float(np.ravel(scale)[0]) if scale.size else float("nan")


def multimodal_camera(bands: list[str], scale: float) -> str | None:
    """The modality of images of the Multimodal Universe; by the names of the bands where the file states no scale."""
    if np.isfinite(scale):
        return camera_of(bands, scale)
    hsc = any("hsc" in name.lower() for name in bands) or "y" in band_letters(bands)
    return camera_of(bands, galaxiesml.PIXEL_SCALE if hsc else legacy.PIXEL_SCALE)


def multimodal_names(there) -> dict[str, str]:
    """Quantity -> name, of the columns among `there` (lower case) that say something about a galaxy."""
    wanted = {**{name: name for name in _SINGLE}, **{f"flux_{band}": f"flux_{band}" for band in "grz"}}
    wanted |= {f"mag_{band}": f"{band}_cmodel_mag" for band in "grz"}
    return {quantity: name for quantity, name in wanted.items() if name in there}


def multimodal_known(columns) -> dict[str, np.ndarray]:
    """What `catalog` takes: fluxes of magnitudes where there are no fluxes."""
    known = {name: values for name, values in columns.items() if not name.startswith("mag_")}
    magnitudes = {name: values for name, values in columns.items() if name.startswith("mag_")}
    return {name.replace("mag", "flux"): galaxiesml.nanomaggy(values) for name, values in magnitudes.items()} | known


def in_nanomaggy(images: np.ndarray, modality: str) -> np.ndarray:
    """Images of the Multimodal Universe: HSC's are in counts of zero point 27."""
    return images / np.float32(galaxiesml.COUNTS_PER_NANOMAGGY) if modality == "hsc_image" else images


def _column(path, file: h5py.File, name: str, total: int, kinds: str = "fiu") -> np.ndarray:
    dataset = dataset_named(path, file, name, kinds)
    checked_shape(path, f"dataset {name}", dataset.shape, f"{(total,)} (a row an image)", dataset.shape == (total,))
    return dataset[()]
