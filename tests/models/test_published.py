"""Published networks: state dicts of the published names and shapes give the published numbers."""

import json

import pytest
import torch
from safetensors.torch import save_file

from skyloom.core.errors import BadInput
from skyloom.models import networks
from skyloom.nn.batch import Batch
from skyloom.training.published import read_weights
from tests.models import published_forward as published

PIXELS, DIM, WIDTH, HEADS = 143, 8, 12, 2
SPECTRUM = {"dim": WIDTH, "layers": 2, "heads": 3, "positions": 20}
IMAGE = {"image_size": 24, "patch": 6, "dim": DIM, "layers": 4, "heads": 2}
GRID = {"pixels": PIXELS}


def random_state(shapes, seed=0):
    """Tensors that make every part of a network count."""
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.4 * torch.randn(shape, generator=generator) + 0.1 for name, shape in shapes.items()}


def linears(prefix, **sizes):
    found = {}
    for name, (out, into) in sizes.items():
        found |= {
            f"{prefix}{name.replace('__', '.')}.weight": (out, into),
            f"{prefix}{name.replace('__', '.')}.bias": (out,),
        }
    return found


def norms(prefix, dim, *names):
    return {f"{prefix}{name}.{part}": (dim,) for name in names for part in ("weight", "bias")}


def specformer_shapes(d=WIDTH, layers=2, positions=20, channels=22):
    found = {"position_embed.weight": (positions, d), **linears("", data_embed=(d, channels), head=(channels, d))}
    for layer in range(layers):
        p = f"blocks.{layer}."
        found |= norms(p, d, "layernorm1", "layernorm2")
        found |= linears(p, attention__attention=(3 * d, d), attention__projection=(d, d))
        found |= linears(p, mlp__encoder=(4 * d, d), mlp__decoder=(d, 4 * d))
    return found | norms("", d, "final_layernorm")


def dino_shapes(blocks, d=DIM, patch=6, patches=16):
    found = {"cls_token": (1, 1, d), "pos_embed": (1, 1 + patches, d), "mask_token": (1, d)}
    found |= {"patch_embed.proj.weight": (d, 3, patch, patch), "patch_embed.proj.bias": (d,)}
    for p in blocks:
        found |= norms(p, d, "norm1", "norm2") | {f"{p}ls1.gamma": (d,), f"{p}ls2.gamma": (d,)}
        found |= linears(p, attn__qkv=(3 * d, d), attn__proj=(d, d), mlp__fc1=(4 * d, d), mlp__fc2=(d, 4 * d))
    return found | norms("", d, "norm")


def head_shapes(d, width):
    p = "cross_attention."
    one = {f"{p}multihead_attn.in_proj_weight": (3 * d, d)}
    apart = {f"{p}multihead_attn.{part}_proj_weight": (d, d if part == "q" else width) for part in "qkv"}
    found = {f"{p}query": (1, 1, d), **(one if d == width else apart), f"{p}multihead_attn.in_proj_bias": (3 * d,)}
    found |= linears(p, multihead_attn__out_proj=(d, d)) | norms(p, d, "layernorm")
    return found | linears("", mlp__encoder=(4 * d, d), mlp__decoder=(d, 4 * d))


CHUNKED = [f"blocks.{number // 2}.{number}." for number in range(4)]  # as block_chunks: 2 names four blocks


def astroclip_shapes():
    parts = {
        "image_encoder.backbone.": dino_shapes(CHUNKED),
        "image_encoder.": head_shapes(DIM, DIM),
        "spectrum_encoder.backbone.": specformer_shapes(),
        "spectrum_encoder.": head_shapes(DIM, WIDTH),
    }
    return {f"{prefix}{name}": shape for prefix, shapes in parts.items() for name, shape in shapes.items()}


def folder_of(tmp_path, config, files):
    out = {"model": tmp_path / "model.safetensors", "card": tmp_path / "model.json", "metrics": tmp_path / "m.jsonl"}
    read_weights({"name": "public", **config}, files, out)
    return networks.load(tmp_path)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(5)
    rgb = torch.rand(3, 3, 30, 30, generator=generator)
    flux = 3 + 2 * torch.randn(3, PIXELS, generator=generator)
    flux[2] = 1 + 0.01 * flux[2]  # flatter than the floor of its deviation
    return Batch({"image": {"rgb": rgb}, "spectrum": {"flux": flux}})


def close(found, expected):
    return torch.allclose(found, expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("normalise", [True, False])
def test_astroclip_gives_the_published_numbers(tmp_path, batch, normalise):
    state = random_state(astroclip_shapes())
    torch.save({"state_dict": state, "hyper_parameters": {"lr": 1e-4}, "epoch": 1}, tmp_path / "astroclip.ckpt")
    shape = {"image": IMAGE, "spectrum": SPECTRUM, "dim": DIM, "heads": HEADS, "grid": GRID, "normalise": normalise}
    shape["weights"] = str(tmp_path / "astroclip.ckpt")
    config = {"kind": "astroclip_public", "modalities": ["image", "spectrum"], "model": shape}
    model, card = folder_of(tmp_path, config, [shape["weights"]])
    part = published.sub(state, "image_encoder.")
    seen = batch["image"]["rgb"][..., 3:27, 3:27]
    tokens = published.dino(published.sub(part, "backbone."), seen, 2, CHUNKED, placed=False)
    image = published.head(part, tokens, HEADS, residual=False)
    part = published.sub(state, "spectrum_encoder.")
    slices = published.specformer_slices(batch["spectrum"]["flux"])
    assert slices.shape == (3, 14, 22)  # 13 sections of 20 every 10 in 143 pixels; a full last one would go too
    spectrum = published.head(part, published.specformer(published.sub(part, "backbone."), slices, 2, 3), HEADS, True)
    for name, expected in (("image", image), ("spectrum", spectrum)):
        expected = expected / expected.norm(dim=1, keepdim=True) if normalise else expected
        assert close(model.embed(batch, name), expected)
        weights = model.attention(batch, name)
        assert weights.shape == (3, HEADS, 16 if name == "image" else 14)
        assert close(weights.sum(-1), torch.ones(3, HEADS))
        assert model.places(name).count + len(model.places(name).others) == weights.shape[-1]
    assert card["gives"]["embeddings"] == ["image", "spectrum"] and card["traits"]["trained"]
    assert len(card["weights_from"]["weights"]["sha256"]) == 64
    assert card["takes"] == {"image": {"rgb": [3, 24, 24]}, "spectrum": {"flux": [PIXELS]}}


def test_a_spectrum_of_whole_sections_loses_the_last_one():
    from skyloom.models.astroclip_public.layers import SpecFormer
    from skyloom.models.common.published import SpectrumEncoder

    flux = torch.randn(2, 140)
    found = SpecFormer(SpectrumEncoder(**SPECTRUM)).slices(flux)
    assert found.shape[1] == 13 and close(found, published.specformer_slices(flux))
    assert SpecFormer(SpectrumEncoder(**SPECTRUM)).slices(torch.randn(1, 7781)).shape == (1, 778, 22)


@pytest.mark.parametrize("within", ["state_dict.", "", "state_dict.spectrum_encoder.backbone."])
def test_specformer_gives_the_published_numbers(tmp_path, batch, within):
    state = random_state(specformer_shapes(), 1)
    stored = {f"{within.removeprefix('state_dict.')}{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": stored} if within else stored, tmp_path / "specformer.ckpt")
    shape = {"spectrum": SPECTRUM, "grid": GRID, "weights": str(tmp_path / "specformer.ckpt")}
    config = {"kind": "specformer_public", "modality": "spectrum", "model": shape}
    model, _ = folder_of(tmp_path, config, [shape["weights"]])
    tokens = published.specformer(state, published.specformer_slices(batch["spectrum"]["flux"]), 2, 3)
    assert close(model.tokens(batch), tokens)
    assert close(model.embed(batch, "spectrum"), tokens.mean(1))


def test_masked_tokens_are_zeros_to_the_published_specformer(tmp_path, batch):
    """Its training hides tokens by zeros, positions stay."""
    from skyloom.models.astroclip_public.layers import SpecFormer
    from skyloom.models.common.published import SpectrumEncoder

    state, network = random_state(specformer_shapes(), 1), SpecFormer(SpectrumEncoder(**SPECTRUM))
    network.load_state_dict(state)
    slices = published.specformer_slices(batch["spectrum"]["flux"])
    slices[:, 3:7] = 0
    assert close(network.encode(slices), published.specformer(state, slices, 2, 3))


@pytest.mark.parametrize("within", ["teacher.backbone.", "", "image_encoder.backbone."])
def test_astrodino_gives_the_published_numbers(tmp_path, batch, within):
    state = random_state(dino_shapes(CHUNKED), 2)
    stored = {f"{within}{name}": tensor for name, tensor in state.items()}
    if within.startswith("teacher"):  # the teacher in a file of DINOv2, beside its head, and not the student
        stored |= {"teacher.dino_head.last_layer.weight": torch.zeros(4, 4)}
        stored |= {f"student.{name}": torch.zeros_like(tensor) for name, tensor in state.items()}
    save_file(stored, tmp_path / "astrodino.safetensors")
    shape = {"image": IMAGE, "weights": str(tmp_path / "astrodino.safetensors")}
    config = {"kind": "astrodino_public", "modality": "image", "model": shape}
    model, _ = folder_of(tmp_path, config, [shape["weights"]])
    tokens = published.dino(state, batch["image"]["rgb"][..., 3:27, 3:27], 2, CHUNKED, placed=True)
    assert close(model.tokens(batch), tokens)
    assert close(model.embed(batch, "image"), tokens[:, 0])


def test_weights_of_another_shape_get_one_line(tmp_path):
    state = random_state(specformer_shapes(layers=3))
    save_file(state, tmp_path / "w.safetensors")
    shape = {"spectrum": SPECTRUM, "grid": GRID, "weights": str(tmp_path / "w.safetensors")}
    config = {"kind": "specformer_public", "modality": "spectrum", "model": shape}
    with pytest.raises(
        BadInput, match="blocks.2.* has shape .* expected None; .*models.public.model are its"
    ) as caught:
        folder_of(tmp_path, config, [shape["weights"]])
    assert "\n" not in str(caught.value)
    state = random_state(specformer_shapes())
    state["head.bias"][0] = torch.nan
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(BadInput, match="head.bias holds numbers that are not finite"):
        folder_of(tmp_path, config, [shape["weights"]])


def test_a_url_without_a_checksum_is_pinned_in_the_log_and_the_card(tmp_path, caplog):
    save_file(random_state(specformer_shapes()), tmp_path / "w.safetensors")
    url = "https://a.hub/w.safetensors"
    config = {"kind": "specformer_public", "modality": "spectrum"}
    config["model"] = {"spectrum": SPECTRUM, "grid": GRID, "weights": url}
    _, card = folder_of(tmp_path, config, [tmp_path / "w.safetensors"])
    source = card["weights_from"]["weights"]
    assert source["from"] == url and f"to pin it, write {url}#sha256={source['sha256']}" in caplog.text
    caplog.clear()
    config["model"]["weights"] = f"{url}#sha256={source['sha256']}"
    _, card = folder_of(tmp_path, config, [tmp_path / "w.safetensors"])
    assert card["weights_from"]["weights"] == source and not caplog.text
    json.dumps(card)
