"""A user's own spectra and images as a model sees them: read, brought to the survey's pixels and embedded by the same
functions as a survey's, in a temporary folder."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skyloom.core.errors import BadConfig, BadInput
from skyloom.formats.hdf5_files import open_hdf5
from skyloom.formats.image_files.readers import images_of, read_catalog
from skyloom.settings.names import IMAGES

MINIMUM_GOOD = 0.1
"""Least share of good pixels, as in surveys of a user's own files."""
MOST = 1000
"""Spectra or images of a file at most: more are a survey of kind `spectra`."""
_PREFIX = {"spectrum": "part", "image": "image", "hsc_image": "hsc"}
_PART = "spectra-0000.h5"


@dataclass(frozen=True)
class Embedded:
    """`values` (n, d) float32 of what could be used; `row` (n,) in the file; `identifier` (n,) what the file calls it.

    `aside` says of the others (row, reason).
    """

    values: np.ndarray
    row: np.ndarray
    identifier: list[str]
    aside: list[tuple[int, str]]


def embed_file(
    path: str | os.PathLike, model_dir: str | os.PathLike, name: str, shards: Mapping[str, str | os.PathLike]
) -> Embedded:
    """Embed the spectra or images of a file.

    Parameters
    ----------
    path : of any form of `skyloom.formats.spectrum_files`, `skyloom.formats.image_files`
    model_dir : folder of a trained model
    name : one of its embeddings
    shards : modality -> a token shard of the survey, whose pixels the model expects

    Raises
    ------
    BadInput : the file cannot be read, has not what the embedding is made of, or nothing in it is of use: one line
        that says why.
    """
    from skyloom.embedding.embed import embed_shard  # torch
    from skyloom.models import networks

    network, card = networks.load(model_dir)
    if name not in card["gives"]["embeddings"]:
        raise BadConfig(f"{model_dir}: this model embeds {', '.join(card['gives']['embeddings'])}, not {name}")
    path = Path(path).resolve()
    with tempfile.TemporaryDirectory(prefix="skyloom-") as folder:
        names, aside, tokens = {}, {}, {}
        for modality in networks.needs(network, name):
            if modality not in _PREFIX or modality not in shards:
                raise BadInput(f"{path.name}: {modality} is not read from files of your own, or the survey has none")
            made = _Made(Path(folder), modality, shards[modality])
            made.from_file(path)
            names |= made.identifiers
            aside |= made.aside
            tokens[modality] = made.shard
        if not names:
            raise _of_no_use(path, name, aside)
        splits = Path(folder, "splits.parquet")
        rows = np.array(sorted(names), np.int64)
        pq.write_table(pa.table({"targetid": rows, "split": pa.array(["test"] * len(rows), pa.string())}), splits)
        out = Path(folder, "embedding.parquet")
        embed_shard(model_dir, name, tokens, splits, out, threads=1)
        table = pq.read_table(out)
    row = table["targetid"].to_numpy()
    if not len(row):
        raise _of_no_use(path, name, aside)
    values = table["embedding"].combine_chunks().flatten().to_numpy().reshape(len(row), -1)
    lost = sorted((r, reason) for r, reason in aside.items() if r not in set(row.tolist()))
    return Embedded(values, row, [names[r] for r in row.tolist()], lost)


def _of_no_use(path: Path, name: str, aside: Mapping[int, str]) -> BadInput:
    why = "; ".join(dict.fromkeys(aside.values())) or f"it holds no {name}"
    return BadInput(f"{path.name}: nothing in it is of use: {why[:300]}")


class _Made:
    """A token shard of one modality of a file. `identifiers` and `aside` are by the row in the file."""

    def __init__(self, folder: Path, modality: str, example: str | os.PathLike):
        self._folder, self._modality = folder, modality
        self.shard, self._quarantine = folder / f"{modality}.h5", folder / f"{modality}.csv"
        self.identifiers: dict[int, str] = {}
        self.aside: dict[int, str] = {}
        with open_hdf5(example) as file:
            self._attrs, self._shape = dict(file.attrs), file["flux"].shape[1:]

    def from_file(self, path: Path) -> None:
        """Read the file and write the shard."""
        if self._modality in IMAGES:
            self._images(path)
        else:
            self._spectra(path)

    def _spectra(self, path: Path) -> None:
        from skyloom.formats.spectrum_parts import convert, read_part
        from skyloom.tokens.own_spectra import tokenize_own_spectra

        part = self._folder / _PART
        start, step = (float(self._attrs[f"wavelength_{key}"]) for key in ("start", "step"))
        grid = {"start": start, "step": step, "pixels": self._shape[0]}
        convert({path.name: path}, "auto", None, grid, MINIMUM_GOOD, part)
        good, bad = read_part(part)
        _check_count(path, len(good["row"]))
        for row, reason in zip(bad["row"].tolist(), bad["reason"], strict=True):
            self.aside[row] = str(reason)
        rows = good["row"].astype(np.int64)
        self.identifiers = dict(zip(rows.tolist(), map(str, good["identifier"]), strict=True))
        galaxies = self._galaxies(_PART, rows, np.arange(len(rows)))
        tokenize_own_spectra(galaxies, [part], grid, 0, self.shard, self._quarantine)

    def _images(self, path: Path) -> None:
        from skyloom.tokens.images import tokenize_hsc_images, tokenize_images

        images_of(path, self._modality)
        known = read_catalog(path, self._modality)
        count = len(known["identifier"])
        _check_count(path, count)
        rows = np.arange(count)
        texts = [str(text) for text in known["identifier"].tolist()]
        stem = path.name.partition(".")[0]
        self.identifiers = {i: t if t not in ("", "-1") else f"{stem}:{i}" for i, t in enumerate(texts)}
        galaxies = self._galaxies(path.name, rows, rows)
        if self._modality == "image":
            size, tokenize = {"crop": int(self._shape[-1])}, tokenize_images
        else:
            size, tokenize = {"hsc_size": int(self._shape[-1])}, tokenize_hsc_images
        tokenize(galaxies, [path], 0, self.shard, self._quarantine, minimum_good=MINIMUM_GOOD, **size)
        with h5py.File(self.shard) as file:
            kept = set(file["targetid"][:].tolist())
        lost = self._quarantine.read_text().splitlines()[1:]
        self.aside = {int(line.split(",")[0]): line.split(",", 3)[3].strip('"') for line in lost}
        self.identifiers = {row: text for row, text in self.identifiers.items() if row in kept}

    def _galaxies(self, file: str, targetid: np.ndarray, row: np.ndarray) -> Path:
        """A catalogue of the rows of a file."""
        path, prefix = self._folder / f"galaxies-{self._modality}.parquet", _PREFIX[self._modality]
        columns = {"targetid": targetid, "shard": np.zeros(len(row), "i4")}
        columns |= {f"{prefix}_file": pa.array([file] * len(row), pa.string()), f"{prefix}_row": row.astype("i4")}
        pq.write_table(pa.table(columns), path)
        return path


def _check_count(path: Path, count: int) -> None:
    if count > MOST:
        text = f"holds {count} spectra or images, at most {MOST} are asked for at once"
        raise BadInput(f"{path.name}: {text}; make it a survey of kind `spectra`")
