"""The galaxies that files of samples hold, a row each: of parts of spectra, or of catalogues of images."""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skyloom.catalog import cuts
from skyloom.core.errors import BadInput
from skyloom.formats.file_names import sorted_paths
from skyloom.formats.image_files.images import NUMBERS as OF_IMAGES
from skyloom.formats.image_files.readers import images_in, read_catalog
from skyloom.formats.spectrum_files.spectra import NUMBERS
from skyloom.formats.spectrum_files.tables import read_catalog as read_table
from skyloom.formats.spectrum_parts import UNREADABLE, read_part
from skyloom.settings.names import IMAGES
from skyloom.settings.sharding import shard_of

log = logging.getLogger(__name__)


@dataclass
class Rows:
    """N galaxies.

    Attributes
    ----------
    values : column -> (N,). `file` is the number of the user's file in `paths`, `row` the row in it; `identifier`
        whole numbers (-1: none) or texts (empty: none); `part`, `part_row` of spectra, -1 of images; `shard`; what is
        known of the galaxy by the names of a part (`skyloom.formats.spectrum_parts`)
    paths : the user's files
    parts : part files, empty of images
    images : modality -> (files,) bool, which files hold images of it in the same rows
    """

    values: dict[str, np.ndarray]
    paths: list[str]
    parts: list[str]
    images: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.values["row"])

    def keep(self, rows: np.ndarray) -> None:
        """Keep only these, a mask or places in order."""
        self.values = {name: column[rows] for name, column in self.values.items()}


def of_parts(paths: Sequence[str | os.PathLike], shards: int, flow: cuts.Flow) -> Rows:
    """The spectra of part files; the flow table says what was put aside, by reason."""
    paths = sorted_paths(paths)
    found = [read_part(path) for path in paths]
    sizes = [len(kept["row"]) for kept, _ in found]
    values = {name: np.concatenate([part[name] for part, _ in found]) for name in found[0][0]}
    aside = {name: np.concatenate([part[name] for _, part in found]) for name in found[0][1]}
    _count(flow, len(values["row"]), aside)
    files, number = np.unique(np.append(values["file"], aside["file"]).astype(str), return_inverse=True)
    number = number[: len(values["row"])]
    held = {modality: np.zeros(len(files), bool) for modality in IMAGES}
    for modality in IMAGES:
        has = [modality in words.split() for words in values["images"].tolist()]
        held[modality][number[np.array(has, bool)]] = True
    values |= {"file": number, "part": np.repeat(np.arange(len(sizes)), sizes)}
    values["part_row"] = np.concatenate([np.arange(size) for size in sizes])
    values["shard"] = _shards(sizes, shards)
    return Rows(values, files.tolist(), paths, held)


def of_images(paths: Sequence[str | os.PathLike], modality: str, shards: int, flow: cuts.Flow) -> Rows:
    """The galaxies of files of images of one modality."""
    paths = sorted_paths(paths)
    table = catalog_of(paths, modality)
    total = len(table["row"])
    flow.record(modality, "rows read", total, 0)
    held = {name: np.array([name in images_in(path) for path in paths], bool) for name in IMAGES}
    absent = {name: np.full(total, np.nan) for name in (*NUMBERS, "z_true") if name not in table}
    absent |= {name: np.full(total, "", "U6") for name in ("spectype", "spectype_true")}
    absent |= {name: np.full(total, -1, np.int32) for name in ("part", "part_row")}
    absent |= {"ivar_estimated": np.zeros(total, bool)}
    sizes = np.bincount(table["file"], minlength=len(paths)).tolist()
    return Rows({**table, **absent, "shard": _shards(sizes, shards)}, list(map(str, paths)), [], held)


def catalog_of(paths: Sequence[str | os.PathLike], modality: str) -> dict[str, np.ndarray]:
    """What files know of their images (`skyloom.formats.image_files.images.Images.catalog`), with `file`, its number
    among `paths`, and `row`."""
    found = []
    for number, path in enumerate(paths):
        table = read_catalog(path, modality)
        total = len(table["split"])
        found.append({**table, "file": np.full(total, number, np.int32), "row": np.arange(total, dtype=np.int32)})
    names = ("identifier", "split", "file", "row", *OF_IMAGES)
    if len({table["identifier"].dtype.kind for table in found}) > 1:
        for table in found:
            table["identifier"] = as_texts(table["identifier"])
    return {name: np.concatenate([table[name] for table in found]) for name in names}


def as_texts(identifier: np.ndarray) -> np.ndarray:
    """Identifiers (N,) as texts, empty where there is none."""
    if identifier.dtype.kind not in "iu":
        return identifier
    return np.array([str(number) if number >= 0 else "" for number in identifier.tolist()], dtype=object)


def add_known(rows: Rows, paths: Sequence[str | os.PathLike], places: Mapping) -> None:
    """Put what tables know of the galaxies into them, by identifier; BadInput if they know none of them."""
    values, identifier = rows.values, as_texts(rows.values["identifier"])
    total = np.zeros(len(identifier), bool)
    for path in paths:
        table = read_table(path, places)
        there = {name: row for row, name in reversed(list(enumerate(table.pop("identifier"))))}  # the first of several
        row = np.array([there.get(name, -1) for name in identifier])
        total |= row >= 0
        for name, known in table.items():
            column = "spectype" if name == "class" else name
            found = known[row] if len(known) else values[column]
            has = (row >= 0) & (found != "" if name == "class" else np.isfinite(found))
            values[column] = np.where(has, found, values[column])
    if not total.any():
        theirs, ours = next(iter(there), "nothing"), identifier[0]
        raise BadInput(f"{paths[0]}: no identifier is that of a galaxy; it has {theirs}, the galaxies have {ours}")
    log.info("%d of %d galaxies are in the catalogue", total.sum(), len(total))


def target_numbers(identifier: np.ndarray, file: np.ndarray, row: np.ndarray) -> np.ndarray:
    """A number (N,) int64 for each galaxy; it stays the same when files are added that do not bring its identifier.

    The identifier itself where it is a whole number of 64 bits; else the first 63 bits of its SHA-256. Galaxies whose
    identifier is there more than once (several observations of an object) get a number of identifier, file and row.

    Parameters
    ----------
    identifier : (N,) texts, or whole numbers
    file, row : (N,) texts; (N,)
    """
    if identifier.dtype.kind in "iu":
        _, place, count = np.unique(identifier, return_inverse=True, return_counts=True)
        several = np.flatnonzero((count > 1)[place])
        found = identifier.astype(np.int64)
        texts = identifier[several].astype(str)
        found[several] = [
            _digest(f"{a}\n{b}\n{c}") for a, b, c in zip(texts, file[several], row[several].tolist(), strict=True)
        ]
        repeated = len(several)
    else:
        count = Counter(identifier.tolist())
        found = np.empty(len(row), np.int64)
        for place, (name, path, number) in enumerate(zip(identifier, file, row.tolist(), strict=True)):
            found[place] = _number(name) if count[name] == 1 else _digest(f"{name}\n{path}\n{number}")
        repeated = len(identifier) - sum(many == 1 for many in count.values())
    if repeated:
        log.warning("%d galaxies share their identifier with others: each has a targetid of its own", repeated)
    return found


def _number(name: str) -> int:
    try:
        value = int(name)
    except ValueError:
        return _digest(name)
    return value if str(value) == name and abs(value) < 2**63 else _digest(name)


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def _shards(sizes: Sequence[int], shards: int) -> np.ndarray:
    """The shard of every row of parts of these sizes."""
    found = [shard_of(part, np.arange(size), size, len(sizes), shards) for part, size in enumerate(sizes)]
    return np.concatenate([np.broadcast_to(s, size) for s, size in zip(found, sizes, strict=True)]).astype(np.int32)


def _count(flow: cuts.Flow, kept: int, aside: dict[str, np.ndarray]) -> None:
    """The lines of the flow table for what was put aside; BadInput with the first reason if nothing is left."""
    left = kept + len(aside["row"])
    flow.record("spectra", "rows read", left, 0)
    reasons = Counter(reason.partition(f"{UNREADABLE}: ")[0] or UNREADABLE for reason in aside["reason"])
    first = next(iter(zip(aside["file"], aside["reason"], strict=True)), None)
    for reason, lost in sorted(reasons.items()):
        left -= lost
        flow.record("quarantine", reason, left, lost, f" ({first[0]}: {first[1]})")
