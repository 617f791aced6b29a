"""Spectra of a user's own tables, by a column map (`skyloom.surveys.common.places.ColumnMap`).

Three forms are told apart by the shape of the flux: (N, P), a row a spectrum; (P,), one spectrum a file, a row a pixel;
and, where the name of the column has a ``*``, a column a spectrum, whose identifier is what the star stands for.
"""

import functools
import logging
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from skyloom.core.errors import BadInput
from skyloom.formats.spectrum_files.sources import Source, open_source, padded
from skyloom.formats.spectrum_files.spectra import (
    FLUX_UNIT,
    NOISE,
    NUMBERS,
    Spectra,
    angstrom,
    blank,
    classes,
    flux_factor,
    inverse_variance,
    is_flux_unit,
    is_length,
    same_length,
    texts,
)

log = logging.getLogger(__name__)

BLOCK = 256  # spectra in memory at once: about 50 MB


def read_table(
    path: str | os.PathLike, columns: Mapping[str, Mapping], groups: Sequence[str] = ()
) -> Iterator[Spectra]:
    """Yield the spectra of a file, a few hundred at a time.

    Parameters
    ----------
    columns : quantity -> where it is and in which unit, as `skyloom.surveys.common.places.ColumnMap` has it
    groups : folders inside an HDF5 file that have these columns each; rows are counted through them

    Raises
    ------
    BadInput : the file cannot be read, lacks a column, or its columns do not fit together.
    BadConfig : a unit that is none of flux, or of wavelength.
    """
    with open_source(path) as source:
        first = 0
        for group in groups or ("",):
            table = _Table(source, columns, f"{group}/" if group else "")
            for spectra in table.blocks():
                spectra.row += first
                yield spectra
            first += table.rows


class _Table:
    """The columns of one table: found, their shapes compared, then read a block at a time."""

    def __init__(self, source: Source, columns: Mapping[str, Mapping], group: str):
        self.source, self.path, self.columns = source, source.path, columns
        self.group = group
        self.wide = "*" in str(columns["flux"].get("column", ""))
        self.stars = self._stars() if self.wide else []
        self.flux, stated = self._pixels("flux")
        self.one = not self.wide and len(np.shape(self.flux)) == 1 and np.asarray(self.flux[:1]).dtype.kind != "O"
        self.rows = 1 if self.one else len(self.flux)
        self.unit = columns["flux"].get("unit") or _flux_unit(stated)
        self.noise = next((name for name in NOISE if name in columns), None)

    def blocks(self) -> Iterator[Spectra]:
        """Yield the spectra; one block of an empty table has none."""
        others = {name: self._pixels(name)[0] for name in (self.noise, "mask") if name in self.columns}
        wave, self.length = self._wavelength()
        for start in range(0, self.rows, BLOCK):
            rows = slice(start, min(start + BLOCK, self.rows))
            flux = self._block(self.flux, rows)
            parts = {name: self._block(values, rows) for name, values in others.items()}
            wavelength = self._block(wave, rows) if wave is not None and self._by_row(wave) else wave
            yield self._spectra(rows, flux, parts, wavelength)

    def _stars(self) -> list[str]:
        """What the star of the flux column stands for, of every column that fits."""
        pattern = self.columns["flux"]["column"]
        before, after = pattern.split("*", 1)
        names = [name.removeprefix(before) for name in self.source.matching(pattern)]
        return [name.removesuffix(after) for name in names]

    def _pixels(self, name: str):
        """An array of pixels of every spectrum, (P,) or (N, P) or (N,) of arrays, and the unit the file states."""
        place = dict(self.columns[name])
        if "column" in place:
            place["column"] = self.group + place["column"]
        if "*" in str(place.get("column", "")):
            found = [self.source.find({**place, "column": place["column"].replace("*", star)}) for star in self.stars]
            lengths = {len(values) for values, _ in found}
            if len(lengths) > 1:
                raise BadInput(f"{self.path}: lengths differ: columns {place['column']} have {sorted(lengths)} rows")
            return np.stack([np.asarray(values, np.float64) for values, _ in found]), found[0][1]
        values, unit = self.source.find(place)
        if "row" in place:
            if place["row"] >= len(values):
                raise BadInput(f"{self.path}: columns.{name}.row: {place['row']}, the array has {len(values)} rows")
            values = values[place["row"]]
        if not np.shape(values):
            raise BadInput(f"{self.path}: columns.{name}: a single number; expected one a pixel")
        return values, unit

    def _wavelength(self):
        """The wavelengths as the file has them (None where they are numbered by start and step), and their unit."""
        place = self.columns.get("wavelength", {})
        if not {"column", "hdu", "row"} & set(place):
            return None, place.get("unit", "Angstrom")
        values, stated = self._pixels("wavelength")
        single = len(np.shape(values)) == 2 and len(values) == 1 and self.rows != 1
        own = stated if place.get("scale", "linear") == "linear" and is_length(stated) else "Angstrom"
        return np.asarray(values[0:1])[0] if single else values, place.get("unit", own)

    def _by_row(self, values) -> bool:
        """True for an array with a row a spectrum."""
        return not self.one and (len(np.shape(values)) > 1 or np.asarray(values[:1]).dtype.kind == "O")

    def _block(self, values, rows: slice) -> np.ndarray:
        """Pixels (n, P) f8 of some spectra, of a column of whatever shape."""
        if not self._by_row(values):
            return np.atleast_2d(np.asarray(values[:], np.float64))
        if len(values) < self.rows:
            raise BadInput(f"{self.path}: lengths differ: {self.rows} spectra, but a column has {len(values)} rows")
        part = np.asarray(values[rows])
        part = padded(list(part)) if part.dtype.kind == "O" else part
        return np.asarray(part.reshape(len(part), -1), np.float64)

    def _spectra(self, rows: slice, flux, parts: Mapping[str, np.ndarray], wavelength) -> Spectra:
        count, place = rows.stop - rows.start, self.columns["flux"]
        wavelength = self._angstrom(wavelength, flux.shape[1])
        mask, noise = parts.get("mask"), parts.get(self.noise)
        same_length(self.path, flux=flux, **{self.noise or "noise": noise}, mask=mask, wavelength=wavelength)
        factor = place.get("factor", 1.0)
        if isinstance(factor, str):
            factor = float(self.source.keyword(place, factor))
        scale = factor * flux_factor(self.unit, wavelength)
        ivar = None if noise is None else np.broadcast_to(self._ivar(noise, scale, wavelength), flux.shape)
        return Spectra(
            row=np.arange(rows.start, rows.stop),
            wavelength=wavelength,
            flux=flux * scale,
            ivar=ivar,
            good=np.isfinite(flux) & (True if mask is None else self._good(mask)),
            identifier=self._texts("identifier", rows),
            spectype=classes(self._texts("class", rows), self.columns.get("class", {}).get("names")),
            numbers={name: self._numbers(name, rows) for name in NUMBERS},
            reason=blank(count),
        )

    def _ivar(self, noise: np.ndarray, scale: np.ndarray, wavelength: np.ndarray) -> np.ndarray:
        """Inverse variances in `FLUX_UNIT`; noise is in the unit of the flux unless its own is given."""
        place = self.columns[self.noise]
        own = "unit" in place
        scale = flux_factor(place["unit"], wavelength) if own else scale
        return inverse_variance(noise, self.noise) / scale**2

    def _good(self, mask: np.ndarray) -> np.ndarray:
        place = self.columns["mask"]
        if "bits" in place:
            mask = np.nan_to_num(mask).astype(np.int64) & place["bits"]
        return (mask != 0) == place.get("good", False)

    def _angstrom(self, values, pixels: int) -> np.ndarray:
        place = self.columns.get("wavelength", {})
        scale = place.get("scale", "linear")
        if values is None:
            start, step = place.get("start"), place.get("step")
            if start is None:
                start, step, scale = self._from_header(scale)
            values = start + step * np.arange(pixels)
        return angstrom(np.asarray(values, np.float64), self.length, scale, place.get("medium", "vacuum"))

    def _from_header(self, scale: str) -> tuple[float, float, str]:
        """First wavelength, step and scale of the image's own header (FITS paper III; DC-FLAG 1 means log10)."""
        place = self.columns["flux"]
        step = next((key for key in ("CD1_1", "CDELT1") if self._has(place, key)), "CDELT1")
        if not self._has(place, "CRVAL1"):
            raise BadInput(f"{self.path}: no wavelengths: no columns.wavelength, and no CRVAL1 in the header")
        first, step = (float(self.source.keyword(place, key)) for key in ("CRVAL1", step))
        pixel = float(self.source.keyword(place, "CRPIX1")) if self._has(place, "CRPIX1") else 1.0
        if self._has(place, "DC-FLAG") and int(self.source.keyword(place, "DC-FLAG")) == 1:
            scale = "log10"
        return first + (1 - pixel) * step, step, scale

    def _has(self, place: Mapping, name: str) -> bool:
        try:
            self.source.keyword(place, name)
        except BadInput:
            return False
        return True

    def _texts(self, name: str, rows: slice) -> np.ndarray:
        count = rows.stop - rows.start
        if name not in self.columns:
            wide = name == "identifier" and self.wide
            return np.array(self.stars[rows], dtype=object) if wide else blank(count)
        return texts(self._values(name, rows))

    def _numbers(self, name: str, rows: slice) -> np.ndarray:
        """(n,) f8, NaN where the file has none."""
        count = rows.stop - rows.start
        if name not in self.columns:
            return np.full(count, np.nan)
        return _floats(self.path, name, self._values(name, rows))

    def _values(self, name: str, rows: slice) -> np.ndarray:
        """One value a spectrum, (n,)."""
        place = self.columns[name]
        if "header" in place:
            return np.full(rows.stop - rows.start, self.source.keyword(place, place["header"]))
        if isinstance(place.get("column"), list):
            parts = [texts(self._values_at({**place, "column": column}, name, rows)) for column in place["column"]]
            return np.array(["-".join(words) for words in zip(*parts, strict=True)], dtype=object)
        return self._values_at(place, name, rows)

    def _values_at(self, place: Mapping, name: str, rows: slice) -> np.ndarray:
        if "column" in place:
            place = {**place, "column": self.group + place["column"]}
        values = self.source.find(place)[0]
        shape = np.shape(values)
        if not self.wide and not self.one and shape == (self.rows,):
            return np.asarray(values[rows])
        values = np.asarray(values[()]).reshape(-1)
        same = self.one and len(set(texts(values))) == 1  # as in the row of every pixel
        if len(values) != 1 and not same:
            raise BadInput(f"{self.path}: columns.{name}: {shape} values for {self.rows} spectra")
        return np.full(rows.stop - rows.start, values[0], dtype=values.dtype)


def read_catalog(path: str | os.PathLike, columns: Mapping[str, Mapping]) -> dict[str, np.ndarray]:
    """What a table says of objects: quantity of `columns` -> (N,) texts (identifier, class) or numbers. BadInput."""
    with open_source(path) as source:
        found = {}
        for name, place in columns.items():
            names = place["column"] if isinstance(place["column"], list) else [place["column"]]
            parts = [np.asarray(source.find({**place, "column": column})[0][:]) for column in names]
            if any(part.ndim != 1 or len(part) != len(parts[0]) for part in parts):
                raise BadInput(f"{path}: column {', '.join(names)}: {parts[0].shape} values; expected one a row")
            if name in NUMBERS:
                found[name] = _floats(path, name, parts[0])
            else:
                words = np.array(["-".join(row) for row in zip(*map(texts, parts), strict=True)], dtype=object)
                found[name] = classes(words, place.get("names")) if name == "class" else words
    lengths = {name: len(values) for name, values in found.items()}
    if len(set(lengths.values())) > 1:
        raise BadInput(f"{path}: lengths differ: {', '.join(f'{name} {length}' for name, length in lengths.items())}")
    return found


def _floats(path, name: str, values: np.ndarray) -> np.ndarray:
    """Numbers (n,) f8; empty texts are NaN."""
    if values.dtype.kind in "OUS":
        values = np.where((words := texts(values)) == "", "nan", words)
    try:
        return values.astype(np.float64)
    except (ValueError, TypeError) as error:
        raise BadInput(f"{path}: columns.{name}: {error}; expected numbers") from None


@functools.cache
def _flux_unit(stated: str | None) -> str:
    """The unit a file states, if it can be that of a flux; else `FLUX_UNIT`, with a word in the log."""
    if is_flux_unit(stated):
        return stated
    if stated:
        log.warning("flux in %r, which is no known flux density: taken as %s", stated, FLUX_UNIT)
    return FLUX_UNIT.to_string()
