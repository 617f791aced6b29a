"""Weights that others have published, fetched from a server on the loopback, embed a survey as any model does."""

import hashlib
import io
import json

import h5py
import numpy as np
import pandas
import pytest
import torch
import yaml

from tests.archive import Archive, serving
from tests.end_to_end.conftest import ROOT, copy_project, run
from tests.models import published_forward as published
from tests.models.test_published import random_state, specformer_shapes

pytestmark = pytest.mark.end_to_end


def test_published_weights_are_fetched_verified_read_and_embed_a_survey(tmp_path):
    project = copy_project(tmp_path / "skyloom")
    flux = np.random.default_rng(1).normal(5, 1, (20, 7781, 1)).astype("f4")
    spectra, checkpoint = io.BytesIO(), io.BytesIO()
    with h5py.File(spectra, "w") as file:
        names = {"spectra": flux, "redshifts": np.linspace(0.1, 0.5, 20), "targetids": np.arange(20)}
        for name, values in names.items():
            file[f"0/{name}"] = values
    state = random_state(specformer_shapes(positions=800))
    torch.save({"state_dict": state, "hyper_parameters": {"embed_dim": 12}}, checkpoint)
    sha256 = hashlib.sha256(checkpoint.getvalue()).hexdigest()
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    config = {part: dict.fromkeys(default[part]) for part in ("surveys", "models", "analyses")} | {"report": []}
    files = {"/clip.h5": spectra.getvalue(), "/specformer.ckpt": checkpoint.getvalue()}
    with serving(Archive(files)) as mirror:
        config["surveys"]["clip"] = {"kind": "spectra", "files": [f"{mirror.url}/clip.h5"], "models": ["theirs"]}
        for given, good in (("0" * 64, False), (sha256, True)):
            shape = {"dim": 12, "layers": 2, "heads": 3}
            weights = f"{mirror.url}/specformer.ckpt#sha256={given}"
            entry = {"kind": "specformer_public", "modality": "spectrum"}
            config["models"]["theirs"] = {**entry, "model": {"weights": weights, "spectrum": shape}}
            (project / "mine.yaml").write_text(yaml.safe_dump(config))
            targets = ["results/clip/embeddings/theirs-spectrum.parquet", "results/clip/models/theirs/README.md"]
            done = run(project, *targets, "--configfile", "mine.yaml", "--cores", "1")
            assert (done.returncode == 0) == good, done.stderr[-3000:]
            if not good:
                assert f"sha256 {sha256}, expected {given}" in done.stderr
    card = json.loads((project / "results/clip/models/theirs/model.json").read_text())
    assert card["weights_from"]["weights"] == {"from": f"{mirror.url}/specformer.ckpt", "sha256": sha256}
    assert sha256 in (project / targets[1]).read_text()
    found = np.stack(pandas.read_parquet(project / targets[0]).sort_values("targetid").embedding)
    slices = published.specformer_slices(torch.from_numpy(flux[:3, :, 0]))
    expected = published.specformer(state, slices, 2, 3).mean(1)
    assert found.shape == (20, 12) and np.allclose(found[:3], expected, rtol=1e-3, atol=1e-4)
