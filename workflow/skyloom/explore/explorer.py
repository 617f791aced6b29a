"""Ask the embeddings of a survey's results: which galaxies are like this one, by its spectrum or by its image."""

import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.core.errors import BadConfig, BadInput
from skyloom.embedding.parts import METADATA
from skyloom.explore import limits as ranges
from skyloom.explore.asked import Asked, ask, rows_of
from skyloom.explore.catalog import Catalog
from skyloom.explore.index import SUFFIX, Index, open_index
from skyloom.explore.limits import Limit
from skyloom.explore.properties import LEVEL, Properties
from skyloom.explore.queries import File, Position, Query, parse_all
from skyloom.explore.scan import Scan

K = 10
"""Neighbours, unless told."""
MOST = 1000
"""Neighbours of a query at most."""
MOST_ROWS = 200_000
"""Rows of an answer at most."""
_TOGETHER = 256  # queries that are searched at once
_DISTANCES = {
    "cosine": "1 - cosine of the angle between the embeddings, 0 to 2",
    "euclidean": "Euclidean distance of the embeddings",
}


class Explorer:
    """The results of one survey. Threads may share one.

    Parameters
    ----------
    folder : ``results/{survey}``
    columns : of galaxies.parquet in answers; `Catalog.shown` unless told

    Raises
    ------
    BadInput : the folder has no catalogue or no embeddings.
    """

    def __init__(self, folder: str | os.PathLike, columns: Sequence[str] | None = None):
        self.folder = Path(folder)
        self.survey = self.folder.resolve().name
        self.catalog = Catalog(self.folder / "catalog" / "galaxies.parquet")
        self.columns = self.catalog.shown if columns is None else list(columns)
        self.properties = Properties(self.folder)
        self._tables = {path.stem: path for path in sorted((self.folder / "embeddings").glob("*.parquet"))}
        self._about = {name: _about(path) for name, path in self._tables.items()}
        self._open: dict[str, Index | Scan] = {}
        self._lock = threading.Lock()

    @property
    def embeddings(self) -> list[str]:
        """``{model}-{modality}`` of every table of embeddings."""
        return list(self._tables)

    def about(self, embedding: str) -> dict:
        """What a table of embeddings says of its model: model, modality, kind, shared_space ..."""
        self._check(embedding)
        return self._about[embedding]

    def index(self, embedding: str) -> Index | Scan:
        """The index of an embedding, or the exact scan where there is none."""
        self._check(embedding)
        with self._lock:
            if embedding not in self._open:
                path = self.folder / "search" / f"{embedding}{SUFFIX}"
                self._open[embedding] = open_index(path, self._tables[embedding])
            return self._open[embedding]

    def pairings(self, model: str) -> list[tuple[str, str]]:
        """(by, embedding) of a model: each of its embeddings with itself, and with the others of a shared space."""
        own = [name for name in self.embeddings if self._about[name].get("model") == model]
        return [(by, name) for by in own for name in own if by == name or name in self.comparable_with(by)]

    def comparable_with(self, embedding: str) -> list[str]:
        """The other embeddings that lie in one space with this one."""
        self._check(embedding)
        return [
            name for name in self.embeddings if name != embedding and self._comparable(name, self._check(embedding))
        ]

    def passing(self, limits: Mapping[str, Limit]) -> np.ndarray | None:
        """Which rows of the catalogue pass limits, (N,) bool; None without limits."""
        return ranges.passing(limits, self.catalog.values)

    def neighbours(
        self,
        queries: "Sequence[Query | str] | Query | str",
        embedding: str,
        by: str | None = None,
        k: int = K,
        limits: Mapping[str, Limit] | None = None,
        level: float = LEVEL,
    ) -> pa.Table:
        """The k nearest galaxies of each query.

        A galaxy is not its own neighbour where it is asked for by what is searched; across modalities its counterpart
        is one like others. A position asks for every galaxy within it, the nearest first.

        Parameters
        ----------
        queries : TARGETIDs, `Position`, `File`, or text (`skyloom.explore.queries.parse`)
        embedding : what is searched, ``{model}-{modality}``
        by : what a query is seen by; `embedding` unless told, and for a file that lacks its modality another of the
            model's, if they share a space
        limits : column or difference of columns -> range or texts; galaxies outside do not count
        level : of the intervals of posteriors

        Returns
        -------
        query, query_targetid, rank, targetid, distance, the catalogue's columns, properties with intervals
        (`skyloom.explore.properties`). The schema's metadata have under ``left_out`` what could not be asked, with
        the reason, as JSON.

        Raises
        ------
        BadConfig : embedding, by, k, limits, level or a column cannot be.
        BadInput : none of the queries can be asked.
        """
        self._check(embedding)
        if by is not None and not self._comparable(self._check(by), embedding):
            raise BadConfig(f"{by} and {embedding} do not lie in one space: only embeddings of a model that has one do")
        if not 0 < k <= MOST:
            raise BadConfig(f"k: {k} neighbours, expected 1 to {MOST}")
        allowed = self.passing(limits or {})
        single = isinstance(queries, str | int | np.integer | Position | File)
        asked = ask(self, parse_all([queries] if single else list(queries)), embedding, by)
        if not asked.vectors:
            raise BadInput("; ".join(f"{query}: {why}" for query, why in asked.left_out[:5]) or "nothing was asked")
        if len(asked.vectors) * k > MOST_ROWS:
            raise BadConfig(f"{len(asked.vectors)} queries of {k} neighbours: at most {MOST_ROWS} rows are answered")
        index = self.index(embedding)
        if allowed is not None:
            place = self.catalog.places(index.targetid)
            allowed = (place >= 0) & allowed[place]
        own = np.array([name == embedding for name in asked.by])
        itself = np.where(own, rows_of(index, asked.targetid), -1)
        distance, row = _searched(index, np.stack(asked.vectors), k, allowed, itself)
        return self._answer(asked, index, distance, row, level)

    def _check(self, embedding: str) -> str:
        if embedding not in self._tables:
            there = ", ".join(self.embeddings) or "none"
            raise BadConfig(f"{self.folder} has no embedding {embedding!r}; it has {there}")
        return embedding

    def _comparable(self, by: str, embedding: str) -> bool:
        a, b = self._about[by], self._about[embedding]
        same = a.get("model") == b.get("model") and a.get("weights_sha256") == b.get("weights_sha256")
        return by == embedding or (same and bool(a.get("shared_space")))

    def shards(self) -> dict[str, Path]:
        """Modality -> its first token shard, which says what pixels the survey's models expect."""
        found = sorted((self.folder / "tokens").glob("*/shard-0000.h5"))
        return {path.parent.name: path for path in found}

    def model_folder(self, embedding: str) -> Path:
        """The folder of the model behind an embedding: of this survey, or of the one that it was trained on.

        Raises
        ------
        BadInput : no model beside these results has the weights that made it.
        """
        about = self.about(embedding)
        name, wanted = about.get("model", embedding.rpartition("-")[0]), about.get("weights_sha256")
        others = sorted(self.folder.parent.glob(f"*/models/{name}/model.json"))
        for card in [self.folder / "models" / name / "model.json", *others]:
            try:
                if wanted is None or json.loads(card.read_text()).get("weights_sha256") == wanted:
                    return card.parent
            except (OSError, ValueError):
                continue
        raise BadInput(
            f"{self.folder.parent}: no model {name} with the weights that made {embedding}; rerun its embedding"
        )

    def _answer(self, asked: Asked, index: Index | Scan, distance, row, level: float) -> pa.Table:
        there = row >= 0
        query = np.repeat(np.arange(len(row)), there.sum(axis=1))
        row, distance = row[there], distance[there]
        rank = np.concatenate([np.arange(1, n + 1) for n in there.sum(axis=1)] or [np.empty(0, int)])
        targetid = np.asarray(index.targetid)[row]
        told = {"query": "What was asked", "query_targetid": "Its TARGETID; null for a file", "rank": "1: the nearest"}
        told |= {"targetid": "DESI target identifier", "distance": _DISTANCES[index.space.metric]}
        types = (pa.string(), pa.int64(), pa.int32(), pa.int64(), pa.float64())
        words = zip(told.items(), types, strict=True)
        fields = [pa.field(name, kind, metadata={"description": text}) for (name, text), kind in words]
        arrays = [
            pa.array([asked.name[i] for i in query], pa.string()),
            pa.array([asked.targetid[i] for i in query], pa.int64()),
            pa.array(rank, pa.int32()),
            pa.array(targetid, pa.int64()),
            pa.array(distance),
        ]
        known = self.catalog.take(self.columns, self.catalog.places(targetid))
        said = self.properties.take(targetid, [index.name, *dict.fromkeys(asked.by)], level)
        about = {"embedding": index.name, "survey": self.survey, "exact": json.dumps(index.exact)}
        about["left_out"] = json.dumps(asked.left_out)
        return pa.table(
            [*arrays, *known[0], *said[0]], schema=pa.schema([*fields, *known[1], *said[1]], metadata=about)
        )


def _searched(index, vectors: np.ndarray, k: int, allowed, itself: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances and rows (Q, k) of the neighbours, without the query itself (rows (Q,), -1 where it is none)."""
    parts = []
    for first in range(0, len(vectors), _TOGETHER):
        some = slice(first, first + _TOGETHER)
        distance, row = index.search(vectors[some], k + 1, allowed)
        own = (row == itself[some, None]) & (row >= 0)
        order = np.argsort(own, axis=1, kind="stable")[:, :k]
        parts.append((np.take_along_axis(distance, order, 1), np.take_along_axis(row, order, 1)))
    return tuple(np.concatenate(values) for values in zip(*parts, strict=True))


def _about(path: Path) -> dict:
    try:
        return json.loads((pq.read_schema(path).metadata or {}).get(METADATA, b"{}"))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BadInput(f"{path}: cannot be read as Parquet ({str(error).splitlines()[0]})") from error
