"""Results of a toy survey: a catalogue, spectra and images, an untrained AstroCLIP, its embeddings, predictions."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save_file

from skyloom.analysis.common.embeddings import write_embedding
from skyloom.catalog import columns
from skyloom.embedding.embed import embed_shard
from skyloom.models import networks
from skyloom.tokens.images import arcsinh_rgb
from skyloom.tokens.store import write_shard
from tests.formats.images import astroclip_hdf5
from tests.training.conftest import ASTROCLIP, ASTRODINO, SPECFORMER

N, PIXELS, SIDE = 60, 200, 16
FILES = {"spectra": "mine.npz", "images": "mine.h5"}
LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


def embeddings(path: Path, values: np.ndarray, **about) -> Path:
    """A table of embeddings of galaxies 0, 2, 4 ... with what it says of its model."""
    write_embedding(path, 2 * np.arange(len(values)), ["test"] * len(values), values)
    table = pq.read_table(path)
    table = table.set_column(1, "split", table["split"].cast(pa.string()))
    model, _, modality = path.stem.rpartition("-")
    told = {"model": model, "modality": modality, "shared_space": False, "weights_sha256": "0", **about}
    pq.write_table(table.replace_schema_metadata({"skyloom": json.dumps(told)}), path)
    return path


def catalogue(path: Path, targetid: np.ndarray) -> dict[str, np.ndarray]:
    """galaxies.parquet: redshifts 0 to 1, a third of them quasars, around (0, 0) across the wrap of ra."""
    rng = np.random.default_rng(5)
    n = len(targetid)
    values = {name: rng.normal(size=n) for name, (kind, *_) in columns.GALAXIES.items() if kind == "f8"}
    values |= {name: np.zeros(n, int) for name, (kind, *_) in columns.GALAXIES.items() if kind in ("i4", "i8")}
    values |= {name: np.full(n, "") for name, (kind, *_) in columns.GALAXIES.items() if kind == "U"}
    values |= {"targetid": targetid, "z": np.linspace(0, 1, n), "spectype": np.where(np.arange(n) % 3, "GALAXY", "QSO")}
    values |= {"ra": rng.uniform(-1, 1, n) % 360, "dec": rng.uniform(-1, 1, n)}
    values["mag_g"][7] = np.nan
    path.parent.mkdir(parents=True, exist_ok=True)
    columns.write_table(path, values, columns.GALAXIES)
    return values


def survey(folder: Path) -> dict[str, np.ndarray]:
    """Write all of it into a folder ``toy``, and the same spectra and images as a user's files beside it."""
    root = folder / "toy"
    values = catalogue(root / "catalog/galaxies.parquet", 10 + np.arange(N))
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 6, (N, 1))
    flux = (2 + np.sin(np.linspace(0, 9, PIXELS) + phase) + 0.1 * rng.normal(size=(N, PIXELS))).astype("f4")
    images = rng.uniform(0.01, 0.2, (N, 3, SIDE, SIDE)).astype("f4") * (1 + phase[..., None, None].astype("f4"))
    wave = 3600 + 0.8 * np.arange(PIXELS)
    np.savez(
        folder / FILES["spectra"], flux=flux, ivar=np.full_like(flux, 100), wavelength=wave, targetid=10 + np.arange(N)
    )
    astroclip_hdf5(folder / FILES["images"], images, targetids=10 + np.arange(N))
    shards = {m: root / f"tokens/{m}/shard-0000.h5" for m in ("spectrum", "image")}
    grid = {"wavelength_start": 3600.0, "wavelength_step": 0.8}
    for path in shards.values():
        path.parent.mkdir(parents=True)
    spectra = {"flux": flux, "ivar": np.full_like(flux, 100)}
    write_shard(shards["spectrum"], values["targetid"], spectra, {"modality": "spectrum", **grid})
    pictures = {"flux": images, "rgb": arcsinh_rgb(images)}
    write_shard(shards["image"], values["targetid"], pictures, {"modality": "image", "crop": SIDE})
    splits = root / "catalog/splits.parquet"
    pq.write_table(pa.table({"targetid": values["targetid"], "split": ["test"] * N}), splits)
    model(root / "models/clip")
    (root / "embeddings").mkdir()
    for name in shards:
        embed_shard(root / "models/clip", name, shards, splits, root / f"embeddings/clip-{name}.parquet")
    said(root, values)
    return values


def model(folder: Path) -> None:
    """An AstroCLIP with random weights."""
    torch.manual_seed(3)
    backbones = {c["modality"]: {key: c[key] for key in ("kind", "modality", "model")} for c in (SPECFORMER, ASTRODINO)}
    network = networks.build({"kind": "astroclip", "backbones": backbones, "model": ASTROCLIP["model"]})
    folder.mkdir(parents=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / "model.safetensors"
    )
    traits = {"kind": "astroclip", "shared_space": True, "trained": True, "baseline": False, "ordered": False}
    card = {"name": "clip", "config": networks.describe(network), "traits": traits, "weights_sha256": "f00"}
    card |= {"gives": {"embeddings": ["image", "spectrum"], "queries": []}, "training": {"incomplete": "drop"}}
    (folder / "model.json").write_text(json.dumps(card))


def said(root: Path, values: dict[str, np.ndarray]) -> None:
    """A table of predictions of the first half, and posteriors of the last ten galaxies."""
    (root / "predictions").mkdir()
    (root / "analysis").mkdir()
    half = slice(0, N // 2)
    z = values["z"][half]
    table = {"targetid": values["targetid"][half], "z": z, "z_lower": z - 0.1, "z_upper": z + 0.2}
    told = {"skyloom": json.dumps({"level": 0.8})}
    pq.write_table(pa.table(table).replace_schema_metadata(told), root / "predictions/net-properties.parquet")
    last = values["targetid"][-10:]
    quantiles = (np.arange(10)[:, None] + LEVELS).astype("f4")
    texts = {name: [text] * 10 for name, text in (("source", "clip-image"), ("given", "image"), ("property", "z"))}
    column = pa.FixedSizeListArray.from_arrays(pa.array(quantiles.ravel()), len(LEVELS))
    posteriors = pa.table({"targetid": last, **texts, "quantiles": column})
    levels = {"levels": " ".join(map(str, LEVELS))}
    pq.write_table(posteriors.replace_schema_metadata(levels), root / "analysis/posteriors.parquet")
