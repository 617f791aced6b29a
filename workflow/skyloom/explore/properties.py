"""What models say of a galaxy's properties, with intervals: predictions, and calibrated posteriors."""

import json
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.catalog.columns import GALAXIES
from skyloom.core.errors import BadConfig, BadInput
from skyloom.embedding.parts import METADATA

LEVEL = 0.9
"""Of the intervals, unless told."""
_ENDS = ("_lower", "_upper")


class Properties:
    """Predictions and posteriors among the results of a survey. Threads may share one.

    Columns are ``{property}_{source}`` with ``_lower`` and ``_upper`` beside: of every table
    ``predictions/{model}-{query}.parquet`` that has intervals (of the level that its model was asked for), and, of the
    galaxies that ``analysis/posteriors.parquet`` (the analysis `calibration`: the test split) has, the median and the
    central interval of a posterior from one of the `sources` asked for. NaN where nothing is said of a galaxy.
    """

    def __init__(self, folder: str | os.PathLike):
        self._folder = Path(folder)
        self._lock = threading.Lock()
        self._tables: dict[str, _Table] | None = None
        self._posteriors: pa.Table | None = None

    def take(self, targetid: np.ndarray, sources: Sequence[str], level: float) -> tuple[list[pa.Array], list[pa.Field]]:
        """Columns (n,) of galaxies, and their fields.

        Parameters
        ----------
        sources : embeddings ``{model}-{modality}`` whose posteriors are wanted
        level : of the posteriors' intervals

        Raises
        ------
        BadConfig : a level that is none.
        """
        if not 0 < level < 1:
            raise BadConfig(f"level: {level:g} is not a share between 0 and 1")
        with self._lock:
            if self._tables is None:
                self._tables = self._opened()
                self._posteriors = self._read_posteriors()
        arrays, fields = [], []
        for name, table in self._tables.items():
            for column, values in table.take(targetid).items():
                arrays.append(pa.array(values))
                quantity = re.sub("(_lower|_upper)$", "", column)
                fields.append(_field(column.replace(quantity, f"{quantity}_{_plain(name)}", 1), quantity, table.words))
        for source in dict.fromkeys(sources):
            for quantity, values in self._posterior(targetid, source, level).items():
                words = f"posterior from {source}, {level:g} of it"
                for end, column in zip(("", *_ENDS), values.T, strict=True):
                    arrays.append(pa.array(column))
                    fields.append(_field(f"{quantity}_{_plain(source)}_posterior{end}", quantity, words))
        return arrays, fields

    def _opened(self) -> "dict[str, _Table]":
        found = {}
        for path in sorted((self._folder / "predictions").glob("*.parquet")):
            schema = _schema(path)
            floating = [field.name for field in schema if pa.types.is_floating(field.type)]
            columns = [name for name in floating if all(f"{name}{end}" in floating for end in _ENDS)]
            if columns:
                found[path.stem] = _Table(path, columns, schema)
        return found

    def _read_posteriors(self) -> pa.Table | None:
        path = self._folder / "analysis" / "posteriors.parquet"
        if not path.is_file():
            return None
        table = pq.read_table(path)
        if not {"targetid", "source", "given", "property", "quantiles"} <= set(table.column_names):
            return None
        return table

    def _posterior(self, targetid: np.ndarray, source: str, level: float) -> dict[str, np.ndarray]:
        """Property -> (n, 3) median and ends of the interval."""
        table = self._posteriors
        if table is None or not len(table):
            return {}
        own = np.asarray(table["source"].cast(pa.string())) == source
        if not own.any():
            return {}
        kept = table.filter(pa.array(own))
        levels = np.array(table.schema.metadata[b"levels"].decode().split(), "f8")
        wanted = [0.5, (1 - level) / 2, (1 + level) / 2]
        found = {}
        names = np.asarray(kept["property"].cast(pa.string()))
        quantiles = kept["quantiles"].combine_chunks().flatten().to_numpy().reshape(len(kept), -1)
        known = kept["targetid"].to_numpy()
        for quantity in dict.fromkeys(names.tolist()):
            rows = np.flatnonzero(names == quantity)
            place = _places(known[rows], targetid)
            values = np.full((len(targetid), 3), np.nan)
            for i in np.flatnonzero(place >= 0):
                values[i] = np.interp(wanted, levels, quantiles[rows[place[i]]])
            found[quantity] = values
        return found


class _Table:
    """A table of predictions."""

    def __init__(self, path: Path, columns: list[str], schema: pa.Schema):
        self._names = [name + end for name in columns for end in ("", *_ENDS)]
        self._values = pq.read_table(path, columns=["targetid", *self._names])
        about = json.loads((schema.metadata or {}).get(METADATA, b"{}"))
        level = f", interval of level {about['level']:g}" if "level" in about else ""
        self.words = f"says {path.stem}{level}"

    def take(self, targetid: np.ndarray) -> dict[str, np.ndarray]:
        """Column -> (n,), NaN for galaxies that are not in it."""
        place = _places(self._values["targetid"].to_numpy(), targetid)
        found = {}
        for name in self._names:
            values = self._values[name].to_numpy().astype("f8")
            taken = values[place] if len(values) else np.full(len(place), np.nan)
            found[name] = np.where(place >= 0, taken, np.nan)
        return found


def _places(known: np.ndarray, targetid: np.ndarray) -> np.ndarray:
    order = np.argsort(known, kind="stable")
    if not len(known):
        return np.full(len(targetid), -1)
    place = order[np.searchsorted(known, targetid, sorter=order).clip(max=len(known) - 1)]
    return np.where(known[place] == targetid, place, -1)


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", name)


def _field(name: str, quantity: str, words: str) -> pa.Field:
    _, unit, ucd, description = GALAXIES.get(quantity, ("", "", "", quantity))
    told = {"unit": unit, "ucd": ucd.partition(";")[0], "description": f"{quantity}: {words}"}
    return pa.field(name, pa.float64(), metadata={key: word for key, word in told.items() if word})
