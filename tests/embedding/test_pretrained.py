"""A model's folder in a program of one's own: arrays in, arrays out; as ONNX the same numbers; and its card."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from skyloom.core.errors import BadConfig, BadInput
from skyloom.embedding import onnx_export
from skyloom.embedding.pretrained import from_pretrained
from skyloom.models import networks
from skyloom.nn.batch import Batch
from skyloom.report.model_card import MOCK, write_card
from tests.models import toy_spectra

SPECFORMER = {
    "kind": "specformer",
    "modality": "spectrum",
    "model": {"grid": {"pixels": 200}, "size": 4, "stride": 4, "dim": 8, "layers": 1, "summary": 6, "kept": 2},
}
ASTRODINO = {
    "kind": "astrodino",
    "modality": "image",
    "model": {"image_size": 24, "patch": 4, "dim": 8, "global_size": 20, "local_size": 8, "layers": 1},
}
TAKES = {"spectrum": {"flux": [200], "ivar": [200]}, "image": {"rgb": [3, 32, 32]}}
TERMS = {"licence": "CC-BY-4.0", "citation": ["A, https://doi.org/1"], "about": "", "simulated": True}


def folder(path, config, embeddings, backbones=None):
    torch.manual_seed(1)
    return written(path, networks.build(config, backbones), embeddings, TAKES)


def written(path, network, embeddings, takes):
    save_file({n: t.contiguous() for n, t in network.state_dict().items()}, path / "model.safetensors")
    card = {
        "config": networks.describe(network),
        "name": "mine",
        "gives": {"embeddings": embeddings, "queries": []},
        "takes": {modality: takes[modality] for modality in network.inputs},
        "modalities": sorted(network.inputs),
        "traits": {"trained": True, "baseline": False},
        "weights_sha256": "0" * 64,
        "parameters": networks.parameter_count(network),
        **{"steps": 10, "seed": 1, "run": "1" * 64, "code_hash": "2" * 16},
    }
    (path / "model.json").write_text(json.dumps(card))
    return network.eval()


@pytest.fixture
def both(tmp_path):
    """An AstroCLIP on both; its folder, its network, and arrays."""
    torch.manual_seed(0)
    backbones = {"image": networks.build(ASTRODINO), "spectrum": networks.build(SPECFORMER)}
    network = folder(tmp_path, {"kind": "astroclip", "model": {"dim": 8}}, ["image", "spectrum"], backbones)
    rng = np.random.default_rng(0)
    spectrum = {"flux": rng.normal(3, 1, (5, 200)).astype("f4"), "ivar": rng.uniform(0.1, 2, (5, 200)).astype("f4")}
    return tmp_path, network, {"image": {"rgb": rng.uniform(0, 1, (5, 3, 32, 32)).astype("f4")}, "spectrum": spectrum}


def embedded(network, given, name):
    with torch.inference_mode():
        return network.embed(Batch({m: {n: torch.from_numpy(a) for n, a in p.items()} for m, p in given.items()}), name)


def test_arrays_are_embedded_as_the_network_does_it(both):
    path, network, given = both
    model = from_pretrained(path)
    assert model.embeddings == ("image", "spectrum") and model.inputs["spectrum"] == {"flux": (200,), "ivar": (200,)}
    for name in model.embeddings:
        found = model.embed(batch_size=2, **{name: given[name]})
        assert found.shape == (5, 8) and found.dtype == np.float32
        assert np.allclose(found, embedded(network, given, name), atol=1e-5)
        assert np.array_equal(model.embed(name, batch_size=2, **given), found)
    assert model.embed(image={"rgb": given["image"]["rgb"][:0]}).shape == (0, 8)


def test_arrays_that_do_not_fit_get_one_line(both):
    path, _, given = both
    model, flux = from_pretrained(path), given["spectrum"]["flux"]
    with pytest.raises(BadConfig, match="ivar is not given; the model takes"):
        model.embed(spectrum={"flux": flux})
    with pytest.raises(BadConfig, match="embeds image of image; spectrum of spectrum; not joint"):
        model.embed("joint", **given)
    with pytest.raises(BadInput, match=r"flux: shape \(5, 190\)"):
        model.embed(spectrum={"flux": flux[:, :190], "ivar": flux})
    with pytest.raises(BadInput, match="arrays of 4, 5 galaxies"):
        model.embed(spectrum={"flux": flux[:4], "ivar": flux})
    with pytest.raises(BadConfig, match="answers no query"):
        model.predict("z", **given)


def test_onnx_gives_the_numbers_of_torch(both, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path, network, given = both
    onnx_export.export(path, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    arrays = {f"{m}_{n}": array for m, part in given.items() for n, array in part.items()}
    assert {i.name for i in session.get_inputs()} == set(arrays)
    for name, found in zip(("image", "spectrum"), session.run(["image", "spectrum"], arrays), strict=True):
        assert np.allclose(found, embedded(network, given, name), rtol=1e-4, atol=1e-4)  # five at once, of two traced


def test_the_redshift_model_is_exported_for_any_number_of_spectra(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = {**toy_spectra.CONFIG, "grid": toy_spectra.GRID.plain()}
    network = networks.build({"kind": "redshift", "modality": "spectrum", "model": model})
    pixels = [toy_spectra.GRID.pixels]
    written(tmp_path, network, ["spectrum"], {"spectrum": {"flux": pixels, "ivar": pixels}})
    onnx_export.export(tmp_path, tmp_path / "model.onnx")
    given = {name: values.astype("f4") for name, values in toy_spectra.spectra(19).items() if name in ("flux", "ivar")}
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(["spectrum"], {f"spectrum_{name}": array for name, array in given.items()})
    np.testing.assert_allclose(found, embedded(network.eval(), {"spectrum": given}, "spectrum"), atol=1e-3)


@pytest.fixture
def runs():
    """Exports a network and runs the file on arrays."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")

    def run(path, network, name, given):
        takes = {m: {n: list(a.shape[1:]) for n, a in part.items()} for m, part in given.items()}
        written(path, network, [name], takes)
        onnx_export.export(path, path / "model.onnx")
        arrays = {f"{m}_{n}": array for m, part in given.items() for n, array in part.items()}
        return onnxruntime.InferenceSession(path / "model.onnx").run([name], arrays)[0]

    return run


def test_components_of_spectra_are_exported_with_their_bad_pixels(runs, tmp_path):
    rng = np.random.default_rng(0)
    network = networks.build({"kind": "pca", "modality": "spectrum", "model": {"components": 4}})
    network.mean, network.directions = torch.zeros(90), torch.randn(4, 90)
    spectra = {"flux": rng.normal(3, 1, (7, 90)).astype("f4"), "ivar": rng.uniform(0.1, 2, (7, 90)).astype("f4")}
    spectra["ivar"][rng.random((7, 90)) < 0.4] = 0
    spectra["ivar"][1, :30], spectra["ivar"][2, 50:], spectra["ivar"][3] = 0, 0, 0
    given = {"spectrum": spectra}
    found = runs(tmp_path, network, "spectrum", given)
    np.testing.assert_allclose(found, embedded(network, given, "spectrum"), atol=1e-4)


def test_images_and_spectra_of_mmae_are_exported(runs, tmp_path):
    shape = {
        "image_size": 16,
        "patch": 4,
        "dim": 16,
        "layers": 1,
        "heads": 2,
        "fusion": 1,
        "velocity": 500.0,
        "slice": 10,
    }
    model = shape | {"grid": {"start": 4000.0, "step": 4.0, "pixels": 200}, "apertures": [0.6]}
    torch.manual_seed(0)
    network = networks.build({"kind": "mmae", "modalities": ["hsc_image", "spectrum"], "model": model})
    rng = np.random.default_rng(0)
    given = {"hsc_image": {"flux": rng.normal(0.1, 0.05, (5, 5, 20, 20)).astype("f4")}}
    given["spectrum"] = {"flux": rng.normal(3, 1, (5, 200)).astype("f4"), "ivar": np.ones((5, 200), "f4")}
    given["spectrum"]["ivar"][0, 40:60] = 0
    given["hsc_image"]["flux"][2, 3] = 0  # a band is missing
    found = runs(tmp_path, network, "joint", given)
    np.testing.assert_allclose(found, embedded(network.eval(), given, "joint"), atol=1e-3)


def test_a_card_says_what_a_model_is_and_that_a_mock_is_one(both, tmp_path):
    path, *_ = both
    rows = [{"split": "train", "step": 10, "loss": 2.5}, {"split": "validation", "step": 10, "loss": 2.25}]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for simulated in (True, False):
        terms = {**TERMS, "simulated": simulated}
        write_card(path / "model.json", path / "metrics.jsonl", tmp_path / "README.md", "mine", terms)
        text = (tmp_path / "README.md").read_text()
        assert text.startswith('---\nlicense: "cc-by-4.0"\n') and (MOCK in text) == simulated
        assert ('"mock"' in text) == simulated
        assert "| validation | 10 | loss | 2.25 |" in text and "- cite: A, https://doi.org/1" in text
        assert "| spectrum | flux | 200 |" in text and "| image | rgb | 3 x 32 x 32 |" in text
    call = text.partition("found = ")[2].partition("\n")[0]
    assert call == "from_pretrained('.').embed('spectrum', image={'rgb': rgb}, spectrum={'flux': flux, 'ivar': ivar})"
