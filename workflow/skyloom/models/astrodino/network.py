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
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from skyloom.core.errors import BadConfig
from skyloom.models.astrodino import Config
from skyloom.nn import distributed
from skyloom.nn.batch import Batch
from skyloom.nn.blocks import Block, init_by_depth, normal
from skyloom.nn.collapse import spread
from skyloom.nn.draws import Draws
from skyloom.nn.images import dihedral
from skyloom.nn.places import Patches


class AstroDINO(nn.Module):
    """Images to tokens and embeddings. Takes rgb, (B, 3, H, W) in 0..1, of its modality."""

    views = 8  # flips and rotations that leave the galaxy what it is

    def __init__(self, config: Config, takes: tuple[str, ...]):
        super().__init__()
        self.config, self.width = config, config.dim
        (self.modality,) = takes
        self.inputs = {self.modality: ("rgb",)}
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

    def view(self, batch: Batch, number: int) -> Batch:
        """The batch with its images turned in one of `views` ways; 0 leaves them alone."""
        return batch.changed(self.modality, rgb=dihedral(batch[self.modality]["rgb"], number))

    def images(self, batch: Batch) -> Tensor:
        """The central image_size x image_size pixels, (B, 3, H, W)."""
        images, size = batch[self.modality]["rgb"], self.config.image_size
        if images.shape[-1] < size:
            raise BadConfig(f"image_size: {size} is more than the {images.shape[-1]} pixels of the image tokens")
        margin = (images.shape[-1] - size) // 2
        return images[..., margin : margin + size, margin : margin + size]

    def tokens(self, batch: Batch) -> Tensor:
        """CLS and patch tokens with positions, registers left out, (B, 1 + patches, dim)."""
        x = self.encode(self.images(batch))
        return torch.cat([x[:, :1], x[:, 1 + self.config.registers :]], dim=1)

    def bare_tokens(self, batch: Batch) -> Tensor:
        """Patch tokens that went through the blocks without positions, class token and registers, (B, patches, dim)."""
        x = self.embed_patch(self.patches((self.images(batch) - self.config.offset) / self.config.scale))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def places(self) -> Patches:
        """What `tokens` show."""
        return Patches(1, self.grid, self.config.image_size, {0: "CLS"})

    def embed(self, batch: Batch, name: str) -> Tensor:
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
        self.student, self.student_head = AstroDINO(config, (model.modality,)), Head(config)
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

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.model.config
        images = self.model.images(batch)
        large = torch.cat([self.crop(images, draws, config.global_side) for _ in range(2)])  # (2B, 3, G, G)
        with torch.no_grad():
            seen = self.model.encode(large)[:, 0]
            target = self.assign(self.teacher_head(seen), progress)  # (2B, K)
        features = self.student.encode(large)[:, 0]
        views = [features]
        if config.local_crops:
            small = torch.cat([self.crop(images, draws, config.local_side) for _ in range(config.local_crops)])
            views.append(self.student.encode(small)[:, 0])
        logits = self.student_head(torch.cat(views)) / config.student_temperature
        loss = cross_view_loss(target.chunk(2), logits.log_softmax(-1).chunk(2 + config.local_crops))
        if config.koleo:
            loss = loss + config.koleo * sum(koleo(distributed.gather(view)) for view in features.chunk(2)) / 2
        return loss, entropies(target) | spread(seen.chunk(2)[0])

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
