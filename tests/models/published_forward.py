"""The published networks once more, as functions of their state dicts, in the plainest form: the oracles of tests.

Written from what the public code computes (github.com/PolymathicAI/AstroCLIP; DINOv2, commit 2302b6b; polymathic-aion
0.0.2), apart from the networks of the library, with loops in place of their batched forms.
"""

import math

import numpy as np
import torch
from torch.nn.functional import conv1d, conv2d, elu, gelu, layer_norm, leaky_relu, linear, silu


def sub(state, prefix):
    return {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}


def norm(state, name, x, eps=1e-5):
    return layer_norm(x, (x.shape[-1],), state[f"{name}.weight"], state.get(f"{name}.bias"), eps)


def dense(state, name, x):
    return linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


def attention(q, k, v, heads):
    """One head after another, one sample after another."""
    width = q.shape[-1] // heads
    rows = []
    for sample in range(len(q)):
        parts = []
        for head in range(heads):
            cut = slice(head * width, (head + 1) * width)
            scores = q[sample, :, cut] @ k[sample, :, cut].T / math.sqrt(width)
            parts.append(scores.softmax(-1) @ v[sample, :, cut])
        rows.append(torch.cat(parts, -1))
    return torch.stack(rows)


def specformer_slices(flux, size=20, stride=10):
    rows = []
    for spectrum in flux.double():
        mean, std = spectrum.mean(), max(float(spectrum.std()), 0.2)
        scaled = (spectrum - mean) / std
        starts = np.arange(0, len(spectrum) - (size - stride), stride)
        sections = [scaled[start : start + size] for start in starts][:-1]  # the last one always goes
        first = torch.zeros(2 + size, dtype=torch.float64)
        first[0], first[1] = (mean - 2) / 2, (std - 2) / 8
        rows.append(torch.stack([first, *(torch.cat([torch.zeros(2).double(), section]) for section in sections)]))
    return torch.stack(rows).float()


def specformer(state, slices, layers, heads):
    x = dense(state, "data_embed", slices) + state["position_embed.weight"][None, : slices.shape[1]]
    for layer in range(layers):
        block = sub(state, f"blocks.{layer}.")
        q, k, v = dense(block, "attention.attention", norm(block, "layernorm1", x)).split(x.shape[-1], -1)
        x = x + dense(block, "attention.projection", attention(q, k, v, heads))
        x = x + dense(block, "mlp.decoder", gelu(dense(block, "mlp.encoder", norm(block, "layernorm2", x))))
    return norm(state, "final_layernorm", x)


def dino(state, images, heads, chunks, placed):
    """`chunks` : names of the blocks in order, as they are in the state dict."""
    patch = state["patch_embed.proj.weight"].shape[-1]
    x = conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=patch)
    x = x.flatten(2).transpose(1, 2)
    if placed:
        x = torch.cat([state["cls_token"].repeat(len(x), 1, 1), x], 1) + state["pos_embed"]
    for name in chunks:
        block = sub(state, name)
        q, k, v = dense(block, "attn.qkv", norm(block, "norm1", x, 1e-6)).chunk(3, -1)
        x = x + dense(block, "attn.proj", attention(q, k, v, heads)) * block["ls1.gamma"]
        inner = gelu(dense(block, "mlp.fc1", norm(block, "norm2", x, 1e-6)))
        x = x + dense(block, "mlp.fc2", inner) * block["ls2.gamma"]
    return norm(state, "norm", x, 1e-6)


def head(state, tokens, heads, residual):
    multi = sub(state, "cross_attention.multihead_attn.")
    weights = (
        multi["in_proj_weight"].chunk(3)
        if "in_proj_weight" in multi
        else [multi[f"{part}_proj_weight"] for part in "qkv"]
    )
    query = state["cross_attention.query"].repeat(len(tokens), 1, 1)
    biases = multi["in_proj_bias"].chunk(3)
    q, k, v = (linear(x, w, b) for x, w, b in zip((query, tokens, tokens), weights, biases, strict=True))
    x = norm(state, "cross_attention.layernorm", dense(multi, "out_proj", attention(q, k, v, heads)))
    y = dense(state, "mlp.decoder", gelu(dense(state, "mlp.encoder", x)))
    return (x + y if residual else y)[:, 0]


def aion_image_codes(state, flux, places, largest):
    """Codec of images: `places` of the bands among nine, `largest` their cuts; (B, patches), and
    what is quantized."""
    padded = torch.zeros(len(flux), 9, *flux.shape[2:])
    for number, (place, cut) in enumerate(zip(places, largest, strict=True)):
        band = flux[:, number].clamp(-cut, cut)
        padded[:, place] = torch.arcsinh(band / 0.01) * 0.01 * 10
    x = torch.einsum("bchw,dc->bdhw", padded, state["subsample_in.weight"]) + state["subsample_in.bias"][:, None, None]
    x = x * (9 / len(places)) ** 0.5
    x = conv2d(x, state["model.conv_in.conv.weight"], state["model.conv_in.conv.bias"], padding=3)
    layers = sorted({int(name.split(".")[2]) for name in state if name.startswith("model.encoder_layers.")})
    for layer in layers:
        part = sub(state, f"model.encoder_layers.{layer}.")
        if "1.weight" in part:
            x = norm(part, "1", x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        elif "net.0.conv.weight" in part:
            x = residual_unit(part, x)
        elif "0.net.0.conv.weight" in part:
            for number in sorted({int(name.split(".")[0]) for name in part}):
                x = residual_unit(sub(part, f"{number}."), x)
        else:
            half = part["conv.weight"].shape[-1] == 3
            x = conv2d(x, part["conv.weight"], part["conv.bias"], stride=2 if half else 1, padding=1 if half else 3)
    z = conv2d(x, state["pre_quant_proj.weight"], state["pre_quant_proj.bias"])
    codes, basis = torch.zeros(len(z), *z.shape[2:], dtype=torch.int64), 1
    for channel, level in enumerate(state["_quantizer.levels"].tolist()):
        half = (level - 1) * (1 + 1e-3) / 2
        offset = 0.0 if level % 2 else 0.5
        bounded = torch.tanh(z[:, channel] + math.atanh(offset / half)) * half - offset
        codes += basis * (bounded.round().long() + level // 2)
        basis *= level
    return codes.flatten(1), z


def residual_unit(state, x):
    y = elu(conv2d(x, state["net.0.conv.weight"], state["net.0.conv.bias"], padding=1))
    y = elu(conv2d(y, state["net.2.weight"], state["net.2.bias"]))
    share = conv2d(y, state["net.4.to_k.weight"], state["net.4.to_k.bias"]).flatten(2).softmax(-1)
    context = torch.einsum("bin,bcn->bci", share, y.flatten(2))[..., None]
    gate = leaky_relu(conv2d(context, state["net.4.net.0.weight"], state["net.4.net.0.bias"]), 0.1)
    return torch.sigmoid(conv2d(gate, state["net.4.net.2.weight"], state["net.4.net.2.bias"])) * y + x


def aion_spectrum_codes(state, flux, ivar, wavelength):
    """Codec of spectra: the token of the normalisation, then the codes, (B, 1 + N), and what is
    quantized."""
    buckets, grid = state["normalization_quantizer.buckets"].numpy(), state["latent_grid._wavelength"][0].numpy()
    seen, first = [], []
    for spectrum, weight in zip(flux.numpy(), ivar.numpy(), strict=True):
        good = weight > 0
        mean = max(np.float32(spectrum[good].sum() / (good.sum() + 1.0)), 0.1)
        first.append(min(int(np.searchsorted(buckets, np.float32(np.log10(mean + 1)))), len(buckets) - 1))
        unit = max(10 ** buckets[first[-1]] - 1.0, 0.1)
        error = np.sqrt(np.clip(weight, 0, 100))
        rows = ((spectrum / unit - 1) * 0.2, error / unit * 0.2)
        seen.append(np.arcsinh([np.interp(grid, wavelength.numpy(), row, left=0, right=0) for row in rows]))
    x = torch.tensor(np.array(seen)).float()

    def channels(name, y):
        return norm(state, name, y.transpose(1, 2), 1e-6).transpose(1, 2)

    stages = len({name.split(".")[2] for name in state if name.startswith("encoder.stages.")})
    for stage in range(stages):
        down = f"encoder.downsample_layers.{stage}"
        if stage == 0:
            x = conv1d(x, state[f"{down}.0.weight"], state[f"{down}.0.bias"], stride=4)
            x = channels(f"{down}.1", x)
        else:
            x = conv1d(channels(f"{down}.0", x), state[f"{down}.1.weight"], state[f"{down}.1.bias"], stride=2)
        blocks = len({name.split(".")[3] for name in state if name.startswith(f"encoder.stages.{stage}.")})
        for number in range(blocks):
            part = sub(state, f"encoder.stages.{stage}.{number}.")
            y = conv1d(x, part["dwconv.weight"], part["dwconv.bias"], padding=3, groups=x.shape[1]).transpose(1, 2)
            y = gelu(dense(part, "pwconv1", norm(part, "norm", y, 1e-6)))
            size = y.square().sum(1, keepdim=True).sqrt()
            y = part["grn.gamma"] * (y * size / (size.mean(-1, keepdim=True) + 1e-6)) + part["grn.beta"] + y
            x = x + dense(part, "pwconv2", y).transpose(1, 2)
    x = channels("encoder.norm", x)
    x = norm(state, "pre_quant_norm", x.transpose(1, 2)).transpose(1, 2)
    z = conv1d(x, state["quant_conv.weight"], state["quant_conv.bias"])
    codes = torch.zeros(len(z), z.shape[2], dtype=torch.int64)
    for channel in range(z.shape[1]):
        codes = 2 * codes + (z[:, channel] > 0)
    return torch.cat([torch.tensor(first)[:, None], codes], 1), z


def aion(state, words, layers, heads):
    """The encoder: `words` are names of tokens -> (B, T); what the public model's `encode` gives."""
    tokens, places = [], []
    for key, ids in words.items():
        part = sub(state, f"encoder_embeddings.{key}.")
        tokens.append(part["token_emb.weight"][ids])
        places.append((part["pos_emb"] + part["mod_emb"]).repeat(len(ids), 1, 1))
    tokens, places = torch.cat(tokens, 1), torch.cat(places, 1)
    x = tokens + places
    for layer in range(layers):
        block = sub(state, f"encoder.{layer}.")
        q, k, v = dense(block, "attn.qkv", norm(block, "norm1", x, 1e-6)).chunk(3, -1)
        if "attn.q_norm.weight" in block:
            q, k = (
                norm(block, f"attn.{name}_norm", y.unflatten(-1, (heads, -1)), 1e-6).flatten(-2)
                for name, y in (("q", q), ("k", k))
            )
        x = x + dense(block, "attn.proj", attention(q, k, v, heads))
        y = norm(block, "norm2", x, 1e-6)
        inner = silu(dense(block, "mlp.fc1", y))
        inner = inner * dense(block, "mlp.fc3", y) if "mlp.fc3.weight" in block else inner
        x = x + dense(block, "mlp.fc2", inner)
    return dense(state, "decoder_proj_context", norm(state, "encoder_norm", x, 1e-6)) + places
