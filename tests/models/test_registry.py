import json

import pytest
import torch
from safetensors.torch import save_file

from skyloom.core.errors import BadConfig, BadInput
from skyloom.models import networks

SPECTRUM = {
    "kind": "specformer",
    "modality": "spectrum",
    "model": {"grid": {"pixels": 200}, "input": "pixels", "dim": 8, "layers": 1},
}
IMAGE = {
    "kind": "astrodino",
    "modality": "image",
    "model": {"image_size": 24, "patch": 4, "dim": 8, "global_size": 20, "local_size": 8, "layers": 1},
}
INCEPTION = {"kind": "inception", "modality": "image", "model": {"stem": 8, "channels": [8, 8, 8], "dim": 8}}
MOCO = {"kind": "moco", "modality": "image", "model": {"image_size": 24, "blocks": [1, 1], "width": 4, "dim": 8}}
PCA = {"kind": "pca", "modality": "lsst", "model": {"components": 4}}


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    model = networks.build(SPECTRUM)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "model.json").write_text(json.dumps({"config": networks.describe(model)}))
    return tmp_path


@pytest.mark.parametrize("config", [SPECTRUM, IMAGE, INCEPTION, MOCO, PCA, {"kind": "astroclip"}])
def test_description_builds_the_same_network(config):
    backbones = (
        {"image": networks.build(IMAGE), "spectrum": networks.build(SPECTRUM)}
        if config["kind"] == "astroclip"
        else None
    )
    model = networks.build(config, backbones)
    again = networks.build(json.loads(json.dumps(networks.describe(model))))
    assert {n: t.shape for n, t in model.state_dict().items()} == {n: t.shape for n, t in again.state_dict().items()}
    assert networks.describe(again) == networks.describe(model)
    assert model.inputs == again.inputs and model.inputs


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {"kind": "resnet"},
            "'resnet' is not allowed; allowed are aion, astroclip, astroclip_public, astrodino, astrodino_public",
        ),
        ({"model": {"blocks": 3}}, "specformer.model: unknown key 'blocks: 3'; allowed are broad, continuum, dim"),
        ({"model": {"dim": "big"}}, "specformer.model.dim: 'big' is not allowed; expected integer"),
        ({"model": {"layers": True}}, "specformer.model.layers: True is not allowed; expected integer"),
        ({"model": {"loss_weight": "snr"}}, "'snr' is not allowed; allowed are none, ivar"),
        ({"model": {"stride": 90}}, "stride 90: expected 0 < stride <= size"),
        ({"kind": "astroclip", "model": {}}, "astroclip: the key 'backbones' is missing"),
    ],
)
def test_a_wrong_config_gets_one_line(changes, message):
    with pytest.raises(BadConfig, match=message) as caught:
        networks.build({**SPECTRUM, **changes})
    assert "\n" not in str(caught.value)


def test_loading_gives_the_weights_back(folder):
    model, _ = networks.load(folder)
    torch.manual_seed(0)
    for name, tensor in networks.build(SPECTRUM).state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])
    assert not model.training and not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors: no such file"),
        (lambda f: (f / "model.json").unlink(), "model.json: no such file"),
        (lambda f: (f / "model.json").write_text("{"), "model.json: not a model card"),
        (lambda f: (f / "model.json").write_text("{}"), "model.json: not a model card"),
        (lambda f: (f / "model.safetensors").write_bytes(b"x" * 99), "weights are damaged"),
        (lambda f: save_file({"a": torch.zeros(1)}, f / "model.safetensors"), "weights are damaged or not those of"),
    ],
)
def test_a_damaged_model_gets_one_line(folder, damage, message):
    damage(folder)
    with pytest.raises(BadInput, match=message) as caught:
        networks.load(folder)
    assert "\n" not in str(caught.value)
