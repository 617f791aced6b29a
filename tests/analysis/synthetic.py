"""A survey of made-up galaxies whose embeddings know a stated part of the truth."""

import json
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet

from skyloom.analysis.common import tables
from skyloom.analysis.common.embeddings import write_embedding
from skyloom.analysis.common.entry import run_analysis
from skyloom.formats.desi import WAVELENGTH
from skyloom.settings import kinds
from skyloom.tokens.store import write_shard

GRID = {"wavelength_start": WAVELENGTH[0], "wavelength_step": 0.8}
PROPERTIES = ["z", "log_mstar", "log_z_mw", "t_age", "log_ssfr"]
# Noise of each embedding's latent, in units of the latent's scatter: the smaller, the better the model.
NOISE = {
    "specformer-spectrum": 0.1,
    "specformer_untrained-spectrum": 1.0,
    "pca_spectrum-spectrum": 0.3,
    "astrodino-image": 0.6,
    "astrodino_untrained-image": 2.0,
    "pca_image-image": 1.0,
    "astroclip-image": 0.3,
    "astroclip-spectrum": 0.1,
}
TRAITS = {
    "specformer": {"kind": "specformer"},
    "specformer_untrained": {"kind": "specformer", "trained": False},
    "pca_spectrum": {"kind": "pca", "trained": False, "baseline": True, "ordered": True},
    "astrodino": {"kind": "astrodino"},
    "astrodino_untrained": {"kind": "astrodino", "trained": False},
    "pca_image": {"kind": "pca", "trained": False, "baseline": True, "ordered": True},
    "astroclip": {"kind": "astroclip", "shared_space": True, "backbones": True},
}
"""Model -> what the metadata of its embeddings says of it."""


def embed(path: Path, targetid, split, values, traits: dict | None = None) -> Path:
    """Write an embedding table with the traits of its model in the metadata."""
    model, _, modality = path.stem.rpartition("-")
    write_embedding(path, targetid, split, values)
    traits = {"model": model, "modality": modality, "trained": True, **(traits or TRAITS.get(model, {}))}
    table = pyarrow.parquet.read_table(path).replace_schema_metadata({"skyloom": json.dumps(traits)})
    pyarrow.parquet.write_table(table, path)
    return path


def run(kind: str, inputs: dict, folder: Path, settings: dict | None = None, survey="mock", seed=0, **more) -> dict:
    """Run an analysis as its job would; its outputs by role."""
    folder.mkdir(exist_ok=True)
    outputs = {role: folder / name for role, name in kinds.find("analysis", kind, "").outputs.items()}
    given = [(role, str(paths) if isinstance(paths, Path) else paths) for role, paths in inputs.items()]
    run_analysis(kind, survey, given, outputs.items(), settings or {}, seed, **more)
    return outputs


def survey(folder: Path, n=(600, 100, 150), width=32, seed=0, models=tuple(NOISE)) -> dict:
    """Write galaxies, splits and embeddings under `folder`; returns their paths and the galaxy table."""
    rng = np.random.default_rng(seed)
    total = sum(n)
    latent = rng.normal(size=(total, 6)).astype(np.float32)
    galaxies = pandas.DataFrame({"targetid": 39600000000 + rng.permutation(total).astype(np.int64)})
    galaxies["z"] = 0.2 + 0.08 * np.tanh(latent[:, 0]) + 0.02 * latent[:, 1] ** 2
    galaxies["log_mstar"] = 10.2 + 0.6 * latent[:, 1] + 0.2 * latent[:, 0]
    galaxies["log_z_mw"] = -2 + 0.3 * latent[:, 2]
    galaxies["t_age"] = 6 + 2 * latent[:, 3]
    galaxies["log_ssfr"] = -10.5 + 0.8 * latent[:, 4] - 0.2 * latent[:, 3]
    galaxies.loc[::50, "log_ssfr"] = np.nan
    for i, band in enumerate("grz"):
        galaxies[f"mag_{band}"] = 18 - 0.4 * i * (1 + latent[:, 0] / 4) - 0.5 * latent[:, 1] + rng.normal(0, 0.1, total)
        galaxies[f"flux_{band}"] = 10 ** (0.4 * (22.5 - galaxies[f"mag_{band}"]))
    galaxies["ra"], galaxies["dec"] = 150 + rng.random(total), 2 + rng.random(total)
    split = np.repeat(["train", "validation", "test"], n)
    paths = {"galaxies": folder / "galaxies.parquet", "splits": folder / "splits.parquet", "embeddings": []}
    tables.write_parquet(paths["galaxies"], galaxies)
    tables.write_parquet(paths["splits"], pandas.DataFrame({"targetid": galaxies["targetid"], "split": split}))
    mix = rng.normal(size=(6, width)).astype(np.float32)
    for name in models:
        values = (latent + NOISE[name] * rng.normal(size=latent.shape)) @ mix + 0.1 * rng.normal(size=(total, width))
        paths["embeddings"].append(embed(folder / f"{name}.parquet", galaxies["targetid"], split, values))
    return {**paths, "table": galaxies.assign(split=split)}


def shards(folder: Path, galaxies: pandas.DataFrame, seed=0, size=48) -> dict[str, list[Path]]:
    """Token shards of these galaxies: a blob on noise as image, H-alpha on a slope as spectrum."""
    rng = np.random.default_rng(seed)
    x = np.arange(size) - size / 2
    radius = np.hypot(x[:, None], x[None])
    width = 2 + 3 * rng.random((len(galaxies), 1, 1, 1))
    rgb = np.exp(-radius / width) * rng.uniform(0.4, 1, (len(galaxies), 3, 1, 1)) + rng.normal(0.03, 0.02, (size, size))
    line = np.exp(-0.5 * ((WAVELENGTH - 6564.6 * (1 + galaxies["z"].to_numpy()[:, None])) / 4) ** 2)
    flux = 5 + WAVELENGTH / 2000 + 10 * line + rng.normal(0, 1, line.shape)
    paths = {"image": [folder / "image.h5"], "spectrum": [folder / "spectrum.h5"]}
    targetid = galaxies["targetid"].to_numpy()
    write_shard(paths["image"][0], targetid, {"rgb": rgb.clip(0, 1)})
    write_shard(paths["spectrum"][0], targetid, {"flux": flux, "ivar": np.ones_like(flux)}, GRID)
    return paths
