"""Tables of what is drawn, what is there in the same units, and what was hidden; galaxy by galaxy, in blocks."""

import dataclasses
import functools
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from skyloom.analysis.common import tables
from skyloom.core.errors import BadInput
from skyloom.core.mixing import uniform
from skyloom.formats.hsc import BANDS
from skyloom.nn.batch import Batch
from skyloom.settings.analysis import Job
from skyloom.tokens.store import Shards

TRAIN, SPLIT = "train", "test"
BLOCK = 128
SAMPLES = "_samples"
TYPICAL = 1024
"""Training galaxies at most whose noise is taken for the usual one."""


@dataclasses.dataclass(frozen=True)
class Block:
    """Some galaxies of a query.

    Attributes
    ----------
    targetid : (B,)
    truth : modality -> (B, n), NaN where nothing is known
    hidden : modality -> (B, n) bool
    said : column -> (B,) or (B, n)
    noise : (B, n) of the spectrum, as `Sky.noise` gives it
    """

    targetid: np.ndarray
    truth: dict[str, np.ndarray]
    hidden: dict[str, np.ndarray]
    said: dict[str, np.ndarray]
    noise: np.ndarray | None


class Sky:
    """What is there, as the network sees it.

    Attributes
    ----------
    model : the network
    z : the known redshifts, a series by targetid
    ids : split -> (N,) targetid in rising order
    """

    def __init__(self, job: Job, model):
        self.model = model
        self.shards = {
            role.removeprefix("tokens_"): Shards(paths)
            for role, paths in job.inputs.items()
            if role.startswith("tokens_")
        }
        galaxies = tables.read_known(job.one("galaxies"), ["z", "z_true"])
        splits = tables.read_parquet(job.one("splits"), ["targetid", "split"]).set_index("targetid")
        self.z = galaxies["z_true"].where(galaxies["z_true"].notna(), galaxies["z"])
        self.ids = {s: np.sort(splits.index[splits["split"] == s].to_numpy()) for s in (TRAIN, SPLIT)}

    def batch(self, targetid: np.ndarray) -> Batch:
        """Galaxies as the network takes them."""
        data, present = {}, {}
        for modality, shards in self.shards.items():
            rows = shards.rows(targetid)
            there = np.flatnonzero(rows >= 0)
            found = shards.read(rows[there], list(self.model.inputs[modality]))
            data[modality] = {}
            for name in self.model.inputs[modality]:
                values = np.zeros((len(targetid), *shards.shapes[name]), "f4")
                values[there] = found[name]
                data[modality][name] = torch.from_numpy(values)
            present[modality] = torch.from_numpy(rows >= 0)
        return Batch(data, present, targetid=torch.from_numpy(np.array(targetid, "i8")))

    @torch.inference_mode()
    def truth(self, targetid: np.ndarray) -> tuple[Batch, dict[str, np.ndarray]]:
        """The batch, and modality -> (B, n), NaN where nothing was measured (where the network sees a zero)."""
        batch = self.batch(targetid)
        found = {}
        for modality, values in self.model.truth(batch).items():
            if modality in self.shards:
                values = values.numpy().copy()
                values[(values == 0) | ~batch.present[modality].numpy()[:, None]] = np.nan
                found[modality] = values
        return batch, found

    @torch.inference_mode()
    def noise(self, batch: Batch) -> np.ndarray | None:
        """Noise (B, n) in the unit of the flux, of a network whose numbers are arcsinh of flux over noise; None where
        they are linear in the flux: what training galaxies have in common, as high as a galaxy's own.

        A galaxy's own noise rises where its lines are bright: times that, whatever is drawn has lines in their places.
        """
        if self.model.config.spectra != "velocity" or "spectrum" not in batch:
            return None
        return in_common(self.own_noise(batch), self.usual_noise)

    def own_noise(self, batch: Batch) -> np.ndarray:
        """Noise (B, n) of each galaxy, NaN where nothing was measured, from what the network makes of a flux of 1."""
        given = batch["spectrum"]
        ones = {"spectrum": {**given, "flux": torch.ones_like(given["flux"])}}
        inverse = np.sinh(self.model.truth(Batch(ones))["spectrum"].double().numpy())
        return np.where(inverse > 0, 1 / np.where(inverse > 0, inverse, 1), np.nan)

    @functools.cached_property
    def usual_noise(self) -> np.ndarray:
        """Median noise (n,) of training galaxies, each in units of its own median."""
        ids = self.some(TRAIN, TYPICAL)
        parts = [self.own_noise(self.batch(ids[start : start + BLOCK])) for start in range(0, len(ids), BLOCK)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a number, or a galaxy, without data
            found = np.concatenate(parts)
            return np.nanmedian(found / np.nanmedian(found, axis=1, keepdims=True), axis=0)

    def some(self, split: str, most: int) -> np.ndarray:
        """Galaxies of a split with a known redshift, at most so many, by a hash of the targetid; in rising order."""
        ids = self.ids[split]
        ids = ids[np.isfinite(self.z.reindex(ids).to_numpy(float))]
        return np.sort(ids[np.argsort(uniform(0, ids), kind="stable")[:most]])


class Answers:
    """What a model draws up again when asked one query.

    Attributes
    ----------
    query, model : names
    about : the metadata of the table: asked, hidden (modality -> share), samples, ...
    drawn : the modalities that are reconstructed

    Raises
    ------
    BadInput : not a table of reconstructions.
    """

    def __init__(self, path: str | os.PathLike, network):
        self.path = path
        try:
            schema = pq.read_schema(path)
            self.about = json.loads(schema.metadata[b"skyloom"])
            self.query, self.model = self.about["query"], self.about["model"]
            self.question = network.question(self.query, self.about["asked"])
            self.hidden, self.columns = self.about["hidden"], schema.names
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{path}: not a table of reconstructions ({error}); delete it and rerun") from error
        self.drawn = [m for m in network.counts if m in self.columns]

    @property
    def samples(self) -> int:
        """How many spectra were drawn of each galaxy; 0: none."""
        return int(self.about.get("samples") or 0) if f"spectrum{SAMPLES}" in self.columns else 0

    def blocks(self, sky: Sky, targetid: np.ndarray, images: bool = True) -> Iterator[Block]:
        """These galaxies in the order of the table; without images if so wished."""
        wanted = [m for m in self.drawn if images or m == "spectrum"]
        more = ["z", "z_lower", "z_upper", f"spectrum{SAMPLES}"]
        columns = ["targetid", *wanted, *(c for c in more if c in self.columns)]
        for part in pq.ParquetFile(self.path).iter_batches(BLOCK, columns=columns):
            keep = np.isin(part["targetid"].to_numpy(), targetid)
            if not keep.any():
                continue
            part = part.filter(pa.array(keep))
            ids = part["targetid"].to_numpy()
            batch, truth = sky.truth(ids)
            found = {m: truth[m] for m in wanted if m in truth}
            hidden = {m: self.mask(sky.model, m, batch, v.shape[1]) for m, v in found.items()}
            yield Block(ids, found, hidden, {c: _array(part[c]) for c in columns[1:]}, sky.noise(batch))

    def mask(self, network, modality: str, batch: Batch, size: int) -> np.ndarray:
        """Which numbers of a modality were hidden, (B, size) bool."""
        tokens = self.question.of(modality, network.counts[modality], batch).cpu().numpy()
        if modality == "spectrum":
            return np.repeat(tokens, network.config.slice, axis=1)[:, :size]
        side = round(tokens.shape[1] ** 0.5)
        squares = tokens.reshape(-1, 1, side, side)
        pixels = squares.repeat(network.config.patch, 2).repeat(network.config.patch, 3)
        unseen = np.array([band not in self.question.query.bands for band in BANDS])[:, None, None]
        return (pixels | unseen).reshape(len(tokens), size)

    def lists(self, sky: Sky, targetid: np.ndarray) -> "Spectra":
        """The spectra of all these galaxies, one draw of each where there are draws."""
        parts = list(self.blocks(sky, targetid, images=False))
        if not parts:
            raise BadInput(f"{self.path}: holds none of the test galaxies; delete it and rerun")
        join = lambda pick: np.concatenate([pick(part) for part in parts])  # noqa: E731
        truth = join(lambda part: part.truth["spectrum"])
        draw = None
        if self.samples:
            draw = join(lambda part: part.said[f"spectrum{SAMPLES}"][:, : truth.shape[1]])
        ids = join(lambda part: part.targetid)
        known = sky.z.reindex(ids).to_numpy(float)
        hidden, said = join(lambda part: part.hidden["spectrum"]), join(lambda part: part.said["spectrum"])
        noise = None if parts[0].noise is None else join(lambda part: part.noise)
        return Spectra(ids, known, truth, hidden, said, draw, noise)


@dataclasses.dataclass(frozen=True)
class Spectra:
    """Spectra of N galaxies: targetid and known redshift z, (N,); truth (NaN where not measured), hidden, said, and one
    draw (None: nothing was drawn), (N, n); noise, as `Sky.noise` gives it."""

    targetid: np.ndarray
    z: np.ndarray
    truth: np.ndarray
    hidden: np.ndarray
    said: np.ndarray
    draw: np.ndarray | None
    noise: np.ndarray | None = None


def in_common(noise: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """The usual noise (n,), as high as that of each galaxy, (B, n): their median ratio."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return usual * np.nanmedian(noise / usual, axis=1, keepdims=True)


def in_flux(values: np.ndarray, noise: np.ndarray | None) -> np.ndarray:
    """Numbers as the network sees them (..., n), as flux if they are arcsinh of flux over noise: in units of the noise,
    what the noise does with wavelength would look like lines."""
    return values if noise is None else np.sinh(values.astype(float)) * noise


def model_folder(job: Job) -> Path:
    """Where the weights and the card of the model lie."""
    return Path(job.inputs["model"][0]).parent


def _array(column: pa.Array) -> np.ndarray:
    if pa.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)
    return column.to_numpy(zero_copy_only=False)
