"""Queries as vectors: of galaxies out of an index, of a user's files by the model."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from skyloom.core.errors import BadInput, SkyloomError
from skyloom.explore import queries as asking
from skyloom.explore.index import Index
from skyloom.explore.own_files import embed_file
from skyloom.explore.queries import File, Position, Query
from skyloom.explore.scan import Scan

if TYPE_CHECKING:
    from skyloom.explore.explorer import Explorer

log = logging.getLogger(__name__)


@dataclass
class Asked:
    """What each query is called, whose it is (None: of a file), its vector, and the embedding that it is seen by.

    `left_out` says what could not be asked, and why.
    """

    name: list[str] = field(default_factory=list)
    targetid: list[int | None] = field(default_factory=list)
    vectors: list[np.ndarray] = field(default_factory=list)
    by: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, targetid: int | None, vector: np.ndarray, by: str) -> None:
        """One more."""
        self.name.append(name)
        self.targetid.append(targetid)
        self.vectors.append(vector)
        self.by.append(by)


def ask(explorer: "Explorer", queries: Sequence[Query], embedding: str, by: str | None) -> Asked:
    """Queries as vectors that can be compared with those of `embedding`; see `Explorer.neighbours`."""
    asked = Asked()
    for query in queries:
        name = asking.words(query)
        try:
            if isinstance(query, File):
                _ask_file(explorer, asked, query, [by] if by else [embedding, *explorer.comparable_with(embedding)])
            else:
                targetid = np.array([query], np.int64) if not isinstance(query, Position) else _near(explorer, query)
                _ask_galaxies(explorer, asked, name, targetid, by or embedding)
        except BadInput as error:
            log.warning("%s is left out: %s", name, error)
            asked.left_out.append((name, str(error)))
    return asked


def rows_of(index: Index | Scan, targetid: Sequence[int | None]) -> np.ndarray:
    """Rows (n,) of galaxies in an index, -1 where there are none."""
    known = np.array([value is not None for value in targetid], bool)
    wanted = np.array([value or 0 for value in targetid], np.int64)
    if not len(index):
        return np.full(len(wanted), -1)
    place = np.searchsorted(index.targetid, wanted).clip(max=len(index) - 1)
    return np.where(known & (index.targetid[place] == wanted), place, -1)


def _near(explorer: "Explorer", position: Position) -> np.ndarray:
    rows, _ = explorer.catalog.within(position)
    if not len(rows):
        raise BadInput("no galaxy there")
    return explorer.catalog.targetid[rows]


def _ask_galaxies(explorer: "Explorer", asked: Asked, name: str, targetid: np.ndarray, by: str) -> None:
    index = explorer.index(by)
    row = rows_of(index, targetid.tolist())
    for number in targetid[row < 0].tolist():
        asked.left_out.append((name, f"galaxy {number} has no {by}"))
    there = row >= 0
    if there.any():
        for vector, number in zip(index.raw(row[there]), targetid[there].tolist(), strict=True):
            asked.add(name, number, vector, by)


def _ask_file(explorer: "Explorer", asked: Asked, query: File, ways: Sequence[str]) -> None:
    """Seen by the first of some embeddings that can be made of the file."""
    name, failed = asking.words(query), None
    for by in ways:
        try:
            folder, modality = explorer.model_folder(by), explorer.about(by)["modality"]
            found = embed_file(query.path, folder, modality, explorer.shards())
        except SkyloomError as error:
            failed = failed or error
            continue
        for vector, text in zip(found.values, found.identifier, strict=True):
            asked.add(f"{name}: {text}", None, vector, by)
        asked.left_out += [(f"{name}, row {row}", why) for row, why in found.aside]
        return
    raise BadInput(str(failed)) from failed
