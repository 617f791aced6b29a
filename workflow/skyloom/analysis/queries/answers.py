"""Tables of answers and what is true: numbers of galaxies by modality, joined by targetid."""

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.analysis.common import tables
from skyloom.core.errors import BadInput
from skyloom.settings.analysis import Job
from skyloom.tokens.store import Shards

SPLIT = "test"


def read_truth(paths: Sequence[str | os.PathLike], targetid: np.ndarray) -> np.ndarray:
    """The numbers of a modality (len(targetid), size) of these galaxies, NaN where a galaxy has none."""
    shards = Shards(paths)
    rows = shards.rows(targetid)
    there = np.flatnonzero(rows >= 0)
    values = np.full((len(targetid), *shards.shapes["values"]), np.nan, "f4")
    values[there] = shards.read(rows[there], ["values"])["values"]
    shards.close()
    return values


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a model says when asked one query.

    Attributes
    ----------
    query, model : names
    about : given (modality -> places), columns (name -> modality, places, unit), level, levels, calibrated_on
    targetid : (N,)
    values : column -> (N,) or (N, n): the answer, `{name}_lower`, `{name}_upper`, of single values `{name}_quantiles`
    """

    query: str
    model: str
    about: dict
    targetid: np.ndarray
    values: dict[str, np.ndarray]

    def of(self, modality: str) -> list[str]:
        """Its columns of a modality, in the order of their numbers."""
        columns = self.about["columns"]
        return sorted((n for n, c in columns.items() if c["modality"] == modality), key=lambda n: columns[n]["places"])

    def all_of(self, modality: str, end: str = "") -> tuple[np.ndarray, list[int]]:
        """What it says of a modality's numbers, (N, n), and their places."""
        names = self.of(modality)
        places = [place for name in names for place in self.about["columns"][name]["places"]]
        parts = [self.values[name + end] for name in names]
        return np.concatenate([p[:, None] if p.ndim == 1 else p for p in parts], axis=1), places


class Sky:
    """The true numbers of the survey's galaxies, as far as they are asked for."""

    def __init__(self, job: Job):
        self.paths = {role.removeprefix("tokens_"): p for role, p in job.inputs.items() if role.startswith("tokens_")}
        galaxies = tables.read_galaxies(job.one("galaxies"), job.one("splits"))
        self.ids = {s: np.sort(galaxies.index[galaxies["split"] == s].to_numpy()) for s in ("train", SPLIT)}
        self._held: dict[tuple[str, str], np.ndarray] = {}

    def of(self, modality: str, split: str) -> np.ndarray:
        """(N, size) of the galaxies of a split."""
        key = (modality, split)
        if key not in self._held:
            self._held[key] = read_truth(self.paths[modality], self.ids[split])
        return self._held[key]

    def given(self, answers: "Answers", split: str) -> np.ndarray:
        """What a query shows of the galaxies of a split, (N, f)."""
        parts = [self.of(m, split)[:, places] for m, places in answers.about["given"].items()]
        return np.concatenate(parts, axis=1)


def read_answers(path: str | os.PathLike, split: str | None) -> Answers:
    """The answers about the galaxies of a split, or of all; drawn samples are left in the file.

    Raises
    ------
    BadInput : not a table of answers.
    """
    try:
        schema = pq.read_schema(path)
        about = json.loads(schema.metadata[b"skyloom"])
        names = [n for n in schema.names if not n.endswith("_samples")]
        table = pq.read_table(path, columns=names, filters=[("split", "=", split)] if split else None)
        about["columns"], about["given"]  # noqa: B018
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path}: not a table of answers to a query ({error}); delete it and rerun") from error
    values = {name: _array(table[name]) for name in names if name not in ("targetid", "split")}
    return Answers(about["query"], about.get("model") or Path(path).stem, about, table["targetid"].to_numpy(), values)


def read_draws(path: str | os.PathLike, names: Sequence[str], split: str, most: int) -> tuple[np.ndarray, dict]:
    """Targetid (N,) and what was drawn together, name -> (N, samples, n), of the first `most` galaxies of a split; no
    names if one of them was not drawn."""
    schema, columns = pq.read_schema(path), [f"{name}_samples" for name in names]
    if not set(columns) <= set(schema.names):
        return np.empty(0, "i8"), {}
    samples = json.loads(schema.metadata[b"skyloom"])["samples"]
    table = pq.read_table(path, columns=["targetid", *columns], filters=[("split", "=", split)]).slice(0, most)
    found = [_array(table[column]).reshape(len(table), samples, -1) for column in columns]
    return table["targetid"].to_numpy(), dict(zip(names, found, strict=True))


def _array(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_fixed_size_list(column.type):
        flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(len(column), column.type.list_size)
    return column.to_numpy()
