"""Other ways to the redshifts of the same spectra: neighbours and probes of embeddings, magnitudes."""

from collections.abc import Iterator

import numpy as np
import pandas

from skyloom.analysis.common import heads, neighbours, tables
from skyloom.analysis.common.embeddings import read_embedding
from skyloom.analysis.redshift import Settings
from skyloom.settings.analysis import Job

PROBE = {"hidden": 64, "dropout": 0.0, "learning_rate": 1e-3, "batch_size": 64}


def others(job: Job, targetid: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """(method, redshifts (n,)) of the spectra `targetid` (n,), learned from the training split of the host; NaN where a
    spectrum has no such embedding."""
    settings: Settings = job.settings
    roles = ("embeddings", "reference", "reference_galaxies", "reference_splits")
    for path, reference_path, galaxies, splits in zip(*(job.inputs.get(role, ()) for role in roles), strict=True):
        known = tables.read_galaxies(galaxies, splits, ["z"])
        target, reference = read_embedding(path), read_embedding(reference_path)
        z = known["z"].reindex(reference.targetid).to_numpy(float)
        train = (reference.split == "train") & np.isfinite(z)
        wanted = np.isin(target.targetid, targetid)
        if train.sum() < settings.k or not wanted.any():
            continue
        found = estimates(reference.values[train], z[train], target.values[wanted], settings, job.seed)
        for name, values in found.items():
            series = pandas.Series(values, target.targetid[wanted])
            yield f"{reference.model} ({reference.modality}), {name}", series.reindex(targetid).to_numpy()
    yield from photometry(job, targetid)


def photometry(job: Job, targetid: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """As `others`, from magnitudes, learned where the redshift model was; nothing where the surveys have none."""
    settings: Settings = job.settings
    names = settings.photometry
    if not names:
        return
    train = tables.read_known(job.one("host_galaxies"), ["z", *names])
    splits = tables.read_parquet(job.one("host_splits"), ["targetid", "split"])
    train = train[train.index.isin(splits["targetid"][splits["split"] == "train"])].dropna()
    target = tables.read_known(job.one("galaxies"), names).reindex(targetid)
    there = target.notna().all(axis=1).to_numpy()
    if len(train) < settings.k or not there.any():
        return
    values = np.full(len(targetid), np.nan)
    known, asked = train[names].to_numpy(), target[names].to_numpy()[there]
    found = estimates(known, train["z"].to_numpy(), asked, settings, job.seed)
    values[there] = found["probe"]
    yield "photometry, probe", values


def estimates(train: np.ndarray, z: np.ndarray, target: np.ndarray, settings: Settings, seed: int) -> dict:
    """Redshifts (n,) of features (n, d) by the mean of the nearest neighbours and by a small network."""
    reference, queries = neighbours.standardise(train, target)
    distance, index = neighbours.nearest(queries, reference, settings.k)
    near = neighbours.average(distance, z[index])
    config = {**PROBE, "epochs": [settings.epochs], "seed": seed}
    probe = heads.fit_predict(reference, z[:, None], queries, config)[settings.epochs][:, 0]
    return {f"mean of {settings.k} neighbours": near, "probe": probe}
