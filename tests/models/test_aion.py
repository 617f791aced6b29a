"""AION-1: files of the published names and shapes give the published tokens and embeddings."""

import pytest
import torch
from safetensors.torch import save_file

from skyloom.nn.batch import Batch
from tests.models import published_forward as published
from tests.models.test_published import close, folder_of, norms, random_state

PIXELS, DIM, HEADS, SIDE = 300, 8, 2, 16
GRID = {"pixels": PIXELS, "start": 3600.0, "step": 0.8}
LEVELS = [7, 5, 5, 4, 3]
PLACES, LARGEST = (5, 6, 8), (6.0, 15.0, 25.0)  # Legacy g, r, z among the codec's bands


def convolution(name, out, into, *kernel):
    return {f"{name}.weight": (out, into, *kernel), f"{name}.bias": (out,)}


def unit(prefix, dim):
    hidden = max(16, dim // 2)
    found = convolution(f"{prefix}net.0.conv", dim, dim, 3, 3) | convolution(f"{prefix}net.2", dim, dim, 1, 1)
    found |= convolution(f"{prefix}net.4.to_k", 1, dim, 1, 1)
    return (
        found
        | convolution(f"{prefix}net.4.net.0", hidden, dim, 1, 1)
        | convolution(f"{prefix}net.4.net.2", dim, hidden, 1, 1)
    )


def image_codec():
    """Two halvings from 3 to 12 channels, two units each; with parts of the decoding half, which are left aside."""
    p, shapes = "model.encoder_layers.", convolution("model.conv_in.conv", 3, 6, 7, 7)
    shapes |= unit(f"{p}0.", 3)
    for number, dim in ((1, 3), (3, 6)):
        shapes |= convolution(f"{p}{number}.conv", 2 * dim, dim, 3, 3)
        for part in range(2):
            shapes |= unit(f"{p}{number + 1}.{part}.", 2 * dim)
    shapes |= convolution(f"{p}5.conv", 12, 12, 7, 7) | unit(f"{p}6.0.", 12) | unit(f"{p}6.1.", 12)
    shapes |= norms(p, 12, "7.1") | convolution("pre_quant_proj", 5, 12, 1, 1)
    shapes |= {"subsample_in.weight": (6, 9), "subsample_in.bias": (6,), "subsample_out.weight": (9, 6)}
    shapes |= convolution("model.decoder_layers.0.net.2", 12, 12, 1, 1)
    state = random_state(shapes, 3) | {"_quantizer.levels": torch.tensor(LEVELS, dtype=torch.int32)}
    return state | {"pre_quant_proj.weight": 3 * state["pre_quant_proj.weight"]}  # so that many codes are met


def spectrum_codec(pixels=320):
    dims, depths, p = (6, 8), (1, 2), "encoder."
    shapes = convolution(f"{p}downsample_layers.0.0", 6, 2, 4) | norms(p, 6, "downsample_layers.0.1")
    shapes |= norms(p, 6, "downsample_layers.1.0") | convolution(f"{p}downsample_layers.1.1", 8, 6, 2)
    for stage, (dim, depth) in enumerate(zip(dims, depths, strict=True)):
        for number in range(depth):
            block = f"{p}stages.{stage}.{number}."
            shapes |= convolution(f"{block}dwconv", dim, 1, 7) | norms(block, dim, "norm")
            shapes |= {f"{block}pwconv1.weight": (4 * dim, dim), f"{block}pwconv1.bias": (4 * dim,)}
            shapes |= {f"{block}pwconv2.weight": (dim, 4 * dim), f"{block}pwconv2.bias": (dim,)}
            shapes |= {f"{block}grn.gamma": (1, 1, 4 * dim), f"{block}grn.beta": (1, 1, 4 * dim)}
    shapes |= norms(p, 8, "norm") | norms("", 8, "pre_quant_norm") | convolution("quant_conv", 10, 8, 1)
    state = random_state(shapes, 4) | {"normalization_quantizer.buckets": torch.linspace(-1, 5, 1024)}
    state["latent_grid._wavelength"] = (3590 + 0.8 * torch.arange(pixels)).view(1, -1)  # beyond both ends of the data
    return state | {"_quantizer._quantizer.mask": 2 ** torch.arange(9, -1, -1), "latent_grid.length": torch.tensor(320)}


def transformer(biased, gated, normed, places):
    shapes = {} if biased else {"encoder_norm.bias": (DIM,)}  # a buffer of zeros where norms have no bias
    for key, (words, count) in {**places, "tok_z": (1025, 1)}.items():
        e = f"encoder_embeddings.{key}."
        shapes |= {f"{e}pos_emb": (1, count, DIM), f"{e}mod_emb": (1, 1, DIM), f"{e}token_emb.weight": (words, DIM)}
    for layer in range(2):
        p = f"encoder.{layer}."
        sizes = {"attn.qkv": (3 * DIM, DIM), "attn.proj": (DIM, DIM), "mlp.fc1": (20, DIM), "mlp.fc2": (DIM, 20)}
        sizes |= {"mlp.fc3": (20, DIM)} if gated else {}
        shapes |= {f"{p}{name}.weight": shape for name, shape in sizes.items()} | norms(p, DIM, "norm1", "norm2")
        shapes |= {f"{p}{name}.bias": shape[:1] for name, shape in sizes.items()} if biased else {}
        shapes |= norms(f"{p}attn.", DIM // HEADS, "q_norm", "k_norm") if normed else {}
    shapes |= norms("", DIM, "encoder_norm") | {"decoder_proj_context.weight": (DIM, DIM)}
    shapes |= {"decoder_proj_context.bias": (DIM,), "decoder.0.norm1.weight": (DIM,), "mask_token": (1, 1, DIM)}
    return random_state(shapes, 5)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(6)
    image = torch.randn(3, 3, SIDE + 4, SIDE + 4, generator=generator) * torch.tensor([0.05, 2.0, 20.0]).view(3, 1, 1)
    flux = 2 + torch.randn(3, PIXELS, generator=generator) * torch.tensor([[0.1], [1.0], [50.0]])
    ivar = 200 * torch.rand(3, PIXELS, generator=generator)
    ivar[:, 40:60] = 0
    return Batch({"image": {"flux": image}, "spectrum": {"flux": flux, "ivar": ivar}})


@pytest.mark.parametrize("biased, gated, normed", [(False, True, True), (True, False, False)])
def test_aion_gives_the_published_tokens_and_embeddings(tmp_path, batch, biased, gated, normed):
    image, spectrum = image_codec(), spectrum_codec()
    places = {"tok_image": (2100, (SIDE // 4) ** 2), "tok_spectrum_desi": (1024, 41)}
    state = transformer(biased, gated, normed, places)
    files = {"transformer": state, "image": image, "spectrum": spectrum}
    for name, tensors in files.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
    paths = {name: str(tmp_path / f"{name}.safetensors") for name in files}
    shape = {"weights": paths, "transformer": {"heads": HEADS}, "image": {"size": SIDE}, "grid": GRID}
    config = {"kind": "aion", "modalities": ["image", "spectrum"], "model": shape}
    model, card = folder_of(tmp_path, config, list(paths.values()))
    assert card["gives"]["embeddings"] == ["image", "spectrum", "joint"] and set(card["weights_from"]) == set(files)

    wavelength = 3600 + 0.8 * torch.arange(PIXELS)
    seen = batch["image"]["flux"][..., 2:-2, 2:-2]
    flux, ivar = batch["spectrum"].values()
    latents = {
        "image": model.codecs["image"].latent(seen),
        "spectrum": model.codecs["spectrum"].latent(flux, ivar, ivar <= 0, wavelength)[0],
    }
    coded = {
        "image": published.aion_image_codes(image, seen, PLACES, LARGEST),
        "spectrum": published.aion_spectrum_codes(spectrum, flux, ivar, wavelength),
    }
    words = {}
    for modality, key in (("image", "tok_image"), ("spectrum", "tok_spectrum_desi")):
        codes, latent = coded[modality]
        assert torch.allclose(latents[modality], latent, rtol=1e-3, atol=1e-4)
        found = words[key] = model.words(batch, modality)
        assert found.shape == (3, places[key][1]) and 0 <= found.min() and found.max() < places[key][0]
        assert (found == codes).float().mean() > 0.98  # a number on an edge may fall to either side
        assert len(found.unique()) > 3
        assert close(model.embed(batch, modality), published.aion(state, {key: found}, 2, HEADS).mean(1))
    assert close(model.embed(batch, "joint"), published.aion(state, words, 2, HEADS).mean(1))


def test_only_the_first_tokens_are_encoded_if_so_configured(tmp_path, batch):
    places = {"tok_image": (2100, (SIDE // 4) ** 2), "tok_spectrum_desi": (1024, 41)}
    state = transformer(False, True, True, places)
    for name, tensors in {"transformer": state, "image": image_codec(), "spectrum": spectrum_codec()}.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
    paths = {name: str(tmp_path / f"{name}.safetensors") for name in ("transformer", "image", "spectrum")}
    shape = {"weights": paths, "transformer": {"heads": HEADS, "tokens": 20}, "image": {"size": SIDE}, "grid": GRID}
    model, _ = folder_of(
        tmp_path, {"kind": "aion", "modalities": ["image", "spectrum"], "model": shape}, paths.values()
    )
    words = {modality: model.words(batch, modality) for modality in ("image", "spectrum")}
    assert model.encode(words).shape == (3, 20, DIM)
