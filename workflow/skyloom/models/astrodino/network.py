"""AstroDINO: a vision transformer for galaxy images, trained without labels by self-distillation (DINO).

Notable:
- input is arcsinh RGB in 0..1 (tokens/images.py)
- a student sees two global and several local crops, cut without rescaling (an arcsecond stays an arcsecond); the
  teacher, a running mean of the student, sees the global ones; both must agree. The final model is the teacher
- colours are never jittered: for a galaxy they are the redshift. Crops hold the centre of the cutout, where the galaxy
  is
- positions are learned on the grid of the full image and interpolated by one fixed matrix (deterministic on every
  device)
- loss: cross-entropy between prototype assignments + KoLeo. iBOT is not here yet: it needs a mask token in `patches`
  and a second loss on `AstroDINO.tokens`
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.core.errors import BadConfig
from skyloom.nn import distributed
from skyloom.nn.blocks import Block, init_by_depth, normal
from skyloom.nn.draws import Draws


@dataclass(frozen=True)
class Config:
    """Shape, crops and loss of an AstroDINO.

    Attributes
    ----------
    image_size : side of the images to embed, pixels (larger ones are cropped at the centre)
    patch : side of a patch, pixels
    offset, scale : the network sees (rgb - offset) / scale; published 0 and 1. The default is about the mean and
        deviation of all pixels: a small network in a short training does not find them by itself
    dim, layers, heads, mlp_ratio, drop_path, layer_scale, registers : the transformer
    global_size, local_size, local_crops : sides of the crops, pixels, and how many local ones; a side of 0 is 7/8
        (1/2) of the image, in whole patches
    noise : deviation of the noise added to a crop, in units of RGB
    brightness : a crop is multiplied by 1 +- at most this, the same factor for all bands
    prototypes, head_hidden, head_dim : the projection head
    student_temperature, teacher_temperature, teacher_temperature_end, teacher_warmup : sharpness; the teacher's goes
        from the first to the second value in the first `teacher_warmup` of the training
    momentum, momentum_end : of the teacher's running mean, along a cosine
    centring : "centre" (running mean of the logits) or "sinkhorn"
    centre_momentum : of the running mean of the logits
    koleo : weight of the loss that spreads embeddings out
    """

    image_size: int = 48
    patch: int = 6
    offset: float = 0.15
    scale: float = 0.15
    dim: int = 128
    layers: int = 4
    heads: int = 2
    mlp_ratio: float = 4.0
    drop_path: float = 0.0
    layer_scale: float = 0.0
    registers: int = 0
    global_size: int = 0
    local_size: int = 0
    local_crops: int = 3
    noise: float = 0.01
    brightness: float = 0.05
    prototypes: int = 256
    head_hidden: int = 512
    head_dim: int = 64
    student_temperature: float = 0.1
    teacher_temperature: float = 0.03
    teacher_temperature_end: float = 0.03
    teacher_warmup: float = 0.3
    momentum: float = 0.95
    momentum_end: float = 1.0
    centring: Literal["centre", "sinkhorn"] = "sinkhorn"
    centre_momentum: float = 0.9
    koleo: float = 0.1

    def __post_init__(self):
        for name, share in (("global_size", 7 / 8), ("local_size", 1 / 2)):
            if getattr(self, name) == 0:
                patches = max(1, int(self.image_size * share) // self.patch)
                object.__setattr__(self, name, patches * self.patch)
        for name in ("image_size", "global_size", "local_size"):
            if getattr(self, name) % self.patch:
                raise BadConfig(f"{name}: {getattr(self, name)} is not a multiple of patch {self.patch}")
        if max(self.global_size, self.local_size) > self.image_size:
            raise BadConfig(
                f"global_size {self.global_size}, local_size {self.local_size}: at most image_size {self.image_size}"
            )


PUBLISHED = {
    "teacher_temperature_end": 0.07,
    "teacher_temperature": 0.04,
    "centring": "sinkhorn",
    "patch": 12,
    "offset": 0.0,
    "scale": 1.0,
    "image_size": 144,
    "dim": 1024,
    "layers": 24,
    "heads": 16,
    "drop_path": 0.3,
    "layer_scale": 1e-5,
    "global_size": 144,
    "local_size": 60,
    "local_crops": 8,
    "prototypes": 65536,
    "head_hidden": 2048,
    "head_dim": 256,
    "momentum": 0.992,
}
TRAINING = {
    "batch_size": 64,
    "learning_rate": 2e-3,
    "weight_decay": 0.001,
    "weight_decay_end": 0.01,
    "clip": 3.0,
}


class AstroDINO(nn.Module):
    """Images to tokens and embeddings. A batch is a dict with rgb, (B, 3, H, W) in 0..1."""

    inputs = {"image": ("rgb",)}

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.grid = config.image_size // config.patch
        self.embed_patch = nn.Linear(3 * config.patch**2, config.dim)
        self.first = nn.Parameter(torch.empty(1, 1 + config.registers, config.dim))  # CLS, then registers
        self.position = nn.Parameter(torch.empty(1, self.grid**2, config.dim))
        self.blocks = nn.ModuleList(
            Block(config.dim, config.heads, config.mlp_ratio, rate, config.layer_scale)
            for rate in np.linspace(0, config.drop_path, config.layers)
        )
        self.norm = nn.LayerNorm(config.dim)
        init_by_depth(self, 1)  # at the published width about the usual 0.02
        normal(self.first, 0.02)
        normal(self.position, 0.02)

    def patches(self, images: Tensor) -> Tensor:
        """Cut (B, 3, H, W) into flat patches, (B, H/p * W/p, 3 * p * p), row by row."""
        p = self.config.patch
        return images.unfold(2, p, p).unfold(3, p, p).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)

    def encode(self, images: Tensor) -> Tensor:
        """Output tokens, (B, 1 + registers + patches, dim); CLS first."""
        side = images.shape[-1] // self.config.patch
        position = self.position
        if side != self.grid:
            position = resample(self.grid, side).to(position.device) @ position
        x = self.embed_patch(self.patches((images - self.config.offset) / self.config.scale)) + position
        x = torch.cat([self.first.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def images(self, batch: dict[str, Tensor]) -> Tensor:
        """The central image_size x image_size pixels, (B, 3, H, W)."""
        images, size = batch["rgb"], self.config.image_size
        if images.shape[-1] < size:
            raise BadConfig(f"image_size: {size} is more than the {images.shape[-1]} pixels of the image tokens")
        margin = (images.shape[-1] - size) // 2
        return images[..., margin : margin + size, margin : margin + size]

    def tokens(self, batch: dict[str, Tensor]) -> Tensor:
        """CLS and patch tokens with positions, registers left out, (B, 1 + patches, dim)."""
        x = self.encode(self.images(batch))
        return torch.cat([x[:, :1], x[:, 1 + self.config.registers :]], dim=1)

    def embed(self, batch: dict[str, Tensor], modality: str = "image") -> Tensor:
        """The CLS token, (B, dim)."""
        return self.encode(self.images(batch))[:, 0]


@cache
def resample(grid: int, side: int) -> Tensor:
    """Matrix (side^2, grid^2) that interpolates values on a grid x grid array to side x side (bicubic, antialiased)."""
    basis = torch.eye(grid**2).view(grid**2, 1, grid, grid)
    return functional.interpolate(basis, (side, side), mode="bicubic", antialias=True).flatten(1).T.contiguous()


class Head(nn.Module):
    """Embedding (B, dim) to logits over prototypes (B, prototypes): MLP, L2 norm, cosine to each prototype."""

    def __init__(self, config: Config):
        super().__init__()
        hidden = config.head_hidden
        self.mlp = nn.Sequential(
            nn.Linear(config.dim, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, config.head_dim),
        )
        init_by_depth(self.mlp, 1)
        self.prototypes = nn.Parameter(torch.randn(config.prototypes, config.head_dim))

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(self.mlp(x), dim=-1) @ functional.normalize(self.prototypes, dim=-1).T


class Objective(nn.Module):
    """Self-distillation. `model` is the teacher; `student` starts as its copy."""

    def __init__(self, model: AstroDINO):
        super().__init__()
        config = model.config
        self.inputs = model.inputs
        self.student, self.student_head = AstroDINO(config), Head(config)
        self.model, self.teacher_head = model, Head(config)
        self.student.load_state_dict(model.state_dict())
        self.teacher_head.load_state_dict(self.student_head.state_dict())
        self.model.requires_grad_(False)
        self.teacher_head.requires_grad_(False)
        self.register_buffer("centre", torch.zeros(1, config.prototypes))

    def train(self, mode: bool = True) -> "Objective":
        super().train(mode)
        self.model.eval()  # no drop path in the teacher
        return self

    def forward(self, batch: dict[str, Tensor], draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.model.config
        images = self.model.images(batch)
        large = torch.cat([self.crop(images, draws, config.global_size) for _ in range(2)])  # (2B, 3, G, G)
        with torch.no_grad():
            target = self.assign(self.teacher_head(self.model.encode(large)[:, 0]), progress)  # (2B, K)
        features = self.student.encode(large)[:, 0]
        views = [features]
        if config.local_crops:
            small = torch.cat([self.crop(images, draws, config.local_size) for _ in range(config.local_crops)])
            views.append(self.student.encode(small)[:, 0])
        logits = self.student_head(torch.cat(views)) / config.student_temperature
        loss = cross_view_loss(target.chunk(2), logits.log_softmax(-1).chunk(2 + config.local_crops))
        if config.koleo:
            loss = loss + config.koleo * sum(koleo(distributed.gather(view)) for view in features.chunk(2)) / 2
        return loss, entropies(target)

    def crop(self, images: Tensor, draws: Draws, size: int) -> Tensor:
        """One augmented crop of each image, (B, 3, size, size), that holds the centre of the image."""
        config = self.model.config
        room = images.shape[-1] - size
        reach = min(room, size - 1)  # offsets from room/2 - reach/2 keep the centre inside
        y, x = (draws.integers((room - reach) // 2, (room - reach) // 2 + reach + 1) for _ in range(2))
        windows = images.unfold(2, size, 1).unfold(3, size, 1)  # a view: (B, 3, room + 1, room + 1, size, size)
        crops = windows[torch.arange(len(images), device=images.device), :, y, x]
        coin = draws.uniform(3)[..., None, None, None] < 0.5
        crops = torch.where(coin[:, 0], crops.flip(2), crops)
        crops = torch.where(coin[:, 1], crops.flip(3), crops)
        crops = torch.where(coin[:, 2], crops.transpose(2, 3), crops)
        if config.brightness:
            crops = crops * (1 + config.brightness * (2 * draws.uniform(1, 1, 1) - 1))
        if config.noise:
            crops = crops + config.noise * draws.normal(3, size, size)
        return crops

    def assign(self, logits: Tensor, progress: float) -> Tensor:
        """The teacher's soft assignment to prototypes, (B, K), each row summing to 1."""
        config = self.model.config
        warm = min(1.0, progress / config.teacher_warmup) if config.teacher_warmup else 1.0
        temperature = config.teacher_temperature + warm * (config.teacher_temperature_end - config.teacher_temperature)
        if config.centring == "sinkhorn":
            return sinkhorn(logits, temperature)
        target = ((logits - self.centre) / temperature).softmax(-1)
        if self.training:
            new = distributed.mean(logits.mean(0, keepdim=True))
            self.centre.lerp_(new.to(self.centre.dtype), 1 - config.centre_momentum)
        return target

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the teacher towards the student."""
        config = self.model.config
        momentum = (
            config.momentum_end - (config.momentum_end - config.momentum) * (1 + math.cos(math.pi * progress)) / 2
        )
        teacher = [*self.model.parameters(), *self.teacher_head.parameters()]
        student = [*self.student.parameters(), *self.student_head.parameters()]
        torch._foreach_lerp_(teacher, student, 1 - momentum)


def cross_view_loss(targets: tuple[Tensor, ...], predictions: tuple[Tensor, ...]) -> Tensor:
    """Mean cross-entropy of each target (B, K) with every prediction (B, K, log) of another view of the same galaxy."""
    pairs = [(t, s) for t in range(len(targets)) for s in range(len(predictions)) if s != t]
    return sum(-(targets[t] * predictions[s]).sum(-1).mean() for t, s in pairs) / len(pairs)


def sinkhorn(logits: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """Assignment (B, K) that uses all prototypes equally: Sinkhorn-Knopp on exp(logits / temperature) (SwAV, DINOv2).

    The sums run over the batches of all processes.
    """
    logits = distributed.gather(logits.float())
    q = ((logits - logits.max()) / temperature).exp()
    for _ in range(iterations):
        q = q / q.sum(0, keepdim=True).clamp(min=1e-30) / q.shape[1]
        q = q / q.sum(1, keepdim=True).clamp(min=1e-30) / q.shape[0]
    return distributed.own_rows(q * q.shape[0])


def koleo(features: Tensor) -> Tensor:
    """Minus the mean log distance to the nearest other row on the unit sphere (KoLeo, Sablayrolles et al. 2019)."""
    unit = functional.normalize(features.float(), dim=-1)
    with torch.no_grad():
        similarity = unit @ unit.T
        nearest = similarity.fill_diagonal_(-2).argmax(1)
    return -((unit - unit[nearest]).norm(dim=-1) + 1e-8).log().mean()


def entropies(target: Tensor) -> dict[str, Tensor]:
    """Signs of collapse, as fractions of log K: of one assignment (1: uniform), of their mean (0: one prototype)."""
    scale = math.log(target.shape[1])
    mean = distributed.mean(target.mean(0))
    each = -(target * (target + 1e-12).log()).sum(-1).mean() / scale
    overall = -(mean * (mean + 1e-12).log()).sum() / scale
    return {"teacher_entropy": each, "mean_entropy": overall}
