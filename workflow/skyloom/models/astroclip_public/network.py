"""The published AstroCLIP, SpecFormer and AstroDINO as networks of this library; and how their files are read."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.core.errors import BadConfig
from skyloom.models.astroclip_public import Config
from skyloom.models.astroclip_public.layers import AstroDINO, ImageHead, SpecFormer, SpectrumHead
from skyloom.models.common.weights import Weights
from skyloom.nn.batch import Batch
from skyloom.nn.places import Patches, Stretches


def central(batch: Batch, modality: str, dataset: str, size: int) -> Tensor:
    """The central size x size pixels of images, (B, C, size, size)."""
    images = batch[modality][dataset]
    if images.shape[-1] < size:
        raise BadConfig(f"image_size: {size} is more than the {images.shape[-1]} pixels of the image tokens")
    margin = (images.shape[-1] - size) // 2
    return images[..., margin : margin + size, margin : margin + size]


class AstroCLIP(nn.Module):
    """Images and spectra in one space. Takes rgb (B, 3, S, S) in 0..1, and flux (B, W)."""

    def __init__(self, config: Config, takes: tuple[str, ...]):
        super().__init__()
        self.config = config
        self.inputs = {"image": ("rgb",), "spectrum": ("flux",)}
        size = config.image.image_size
        self.shapes = {"image": {"rgb": (3, size, size)}, "spectrum": {"flux": (config.grid.pixels,)}}
        self.image_encoder = ImageHead(config.image, config.dim, config.heads)
        self.spectrum_encoder = SpectrumHead(config.spectrum, config.dim, config.heads)

    def _seen(self, batch: Batch, name: str) -> tuple[nn.Module, Tensor]:
        if name == "image":
            return self.image_encoder, central(batch, name, "rgb", self.config.image.image_size)
        return self.spectrum_encoder, batch[name]["flux"]

    def embed(self, batch: Batch, name: str) -> Tensor:
        """Embeddings of one modality, (B, dim); of length 1 if so configured."""
        head, seen = self._seen(batch, name)
        found = head(seen)
        return functional.normalize(found, dim=-1, eps=1e-3) if self.config.normalise else found

    def attention(self, batch: Batch, name: str) -> Tensor:
        """How much the query of a modality attends to each token, (B, heads, T), 1 in sum."""
        head, seen = self._seen(batch, name)
        return head.cross_attention.weights(head.tokens(seen))

    def places(self, name: str) -> Patches | Stretches:
        """What these tokens show."""
        if name == "spectrum":
            return slices_of(self.config)
        shape = self.config.image
        return Patches(0, shape.image_size // shape.patch, shape.image_size, {})


def slices_of(config) -> Stretches:
    """What the tokens of a published SpecFormer show: the spectrum's statistics, then its slices."""
    shape, grid = config.spectrum, config.grid
    count = -(-(grid.pixels - shape.size + shape.stride) // shape.stride) - 1
    start = grid.start + grid.step * (shape.stride * torch.arange(count, dtype=torch.float64).numpy() - 0.5)
    return Stretches(1, start, start + shape.size * grid.step, grid.span, others={0: "brightness"})


class OneSpecFormer(nn.Module):
    """The published SpecFormer alone. Takes flux (B, W)."""

    def __init__(self, config, takes: tuple[str, ...]):
        super().__init__()
        self.config, self.width = config, config.spectrum.dim
        (self.modality,) = takes
        self.inputs = {self.modality: ("flux",)}
        self.shapes = {self.modality: {"flux": (config.grid.pixels,)}}
        self.backbone = SpecFormer(config.spectrum)

    @property
    def blocks(self) -> nn.ModuleList:
        return self.backbone.blocks

    def tokens(self, batch: Batch) -> Tensor:
        """Output tokens, that of the statistics first, (B, T, dim)."""
        return self.backbone(batch[self.modality]["flux"])

    def places(self) -> Stretches:
        return slices_of(self.config)

    def embed(self, batch: Batch, name: str) -> Tensor:
        """The mean over all output tokens, the first one too, as the public code takes it, (B, dim)."""
        return self.tokens(batch).mean(1)


class OneAstroDINO(nn.Module):
    """The published AstroDINO alone. Takes rgb (B, 3, S, S) in 0..1."""

    def __init__(self, config, takes: tuple[str, ...]):
        super().__init__()
        self.config, self.width = config, config.image.dim
        (self.modality,) = takes
        size = config.image.image_size
        self.inputs, self.shapes = {self.modality: ("rgb",)}, {self.modality: {"rgb": (3, size, size)}}
        self.backbone = AstroDINO(config.image)

    @property
    def blocks(self) -> nn.ModuleList:
        return self.backbone.blocks

    def tokens(self, batch: Batch) -> Tensor:
        """CLS and patches, with positions, (B, 1 + patches, dim)."""
        return self.backbone(central(batch, self.modality, "rgb", self.config.image.image_size))

    def places(self) -> Patches:
        shape = self.config.image
        return Patches(1, shape.image_size // shape.patch, shape.image_size, {0: "CLS"})

    def embed(self, batch: Batch, name: str) -> Tensor:
        """The CLS token, (B, dim)."""
        return self.tokens(batch)[:, 0]


def flat(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Blocks that DINOv2 keeps in chunks, blocks.CHUNK.NUMBER, by their number alone."""
    return {re.sub(r"(^|\.)blocks\.\d+\.(\d+)\.", r"\1blocks.\2.", name): tensor for name, tensor in state.items()}


def _backbone(state: Mapping[str, Tensor], parts: tuple[str, ...]) -> dict[str, Tensor]:
    """A backbone's tensors, without the heads that it was trained with."""
    return {f"backbone.{name}": tensor for name, tensor in state.items() if name.partition(".")[0] in parts}


IMAGE_PARTS = ("cls_token", "pos_embed", "mask_token", "patch_embed", "blocks", "norm")
SPECTRUM_PARTS = ("data_embed", "position_embed", "blocks", "final_layernorm", "head")


def read_astroclip(config: Config, files: Mapping[str, str]) -> tuple[Config, dict[str, Tensor]]:
    """The tensors of a checkpoint of AstroCLIP (Lightning), or of its state dict as safetensors."""
    state = Weights(files["weights"]).below(
        ["state_dict.|image_encoder.cross_attention.query", "image_encoder.cross_attention.query"]
    )
    return config, {
        n: t for n, t in flat(state).items() if n.partition(".")[0] in ("image_encoder", "spectrum_encoder")
    }


def read_specformer(config, files: Mapping[str, str]) -> tuple[object, dict[str, Tensor]]:
    """The tensors of a checkpoint of SpecFormer, or of the one inside AstroCLIP's."""
    before = ["state_dict.", "", "state_dict.spectrum_encoder.backbone.", "spectrum_encoder.backbone."]
    state = Weights(files["weights"]).below([f"{anchor}|data_embed.weight" for anchor in before])
    return config, _backbone(state, SPECTRUM_PARTS)


def read_astrodino(config, files: Mapping[str, str]) -> tuple[object, dict[str, Tensor]]:
    """The tensors of the teacher in a checkpoint of DINOv2, of a bare state dict, or of AstroCLIP's image encoder,
    which holds positions and CLS token too, as they were when its training began."""
    before = ["teacher.backbone.", "teacher.module.backbone.", "teacher.", "model.", "", "backbone."]
    anchors = [*before, "state_dict.image_encoder.backbone.", "image_encoder.backbone."]
    state = Weights(files["weights"]).below([f"{anchor}|patch_embed.proj.weight" for anchor in anchors])
    return config, _backbone(flat(state), IMAGE_PARTS)
