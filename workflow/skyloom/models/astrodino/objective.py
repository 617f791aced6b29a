"""How AstroDINO is trained: a student agrees with a teacher, its own running mean, without labels (DINOv2).

Notable:
- the student sees two large and several small crops, cut without rescaling (an arcsecond stays an arcsecond), the
  teacher the large ones; both must agree (DINO). The final model is the teacher
- in some large crops the student does not see some patches, and must say what the teacher sees there (iBOT); with a
  shared head, as published, in the same prototypes
- colours are never jittered: for a galaxy they are the redshift. Crops hold the centre of the cutout, where the galaxy
  is
- embeddings of a batch are pushed apart (KoLeo), and what the teacher says is spread over prototypes by Sinkhorn-Knopp
  or by taking off its running mean
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from skyloom.models.astrodino import Config
from skyloom.models.astrodino.losses import cross_view_loss, entropies, koleo, patch_loss, sinkhorn
from skyloom.models.astrodino.masks import blocks, hidden_counts
from skyloom.models.astrodino.network import AstroDINO, Head
from skyloom.nn import distributed
from skyloom.nn.batch import Batch
from skyloom.nn.collapse import spread
from skyloom.nn.draws import Draws
from skyloom.nn.nights import another
from skyloom.nn.rgb import arcsinh_rgb
from skyloom.nn.schedules import cosine


class Objective(nn.Module):
    """Self-distillation. `model` is the teacher; `student` starts as its copy."""

    def __init__(self, model: AstroDINO):
        super().__init__()
        config = model.config
        datasets = ("flux",) * bool(config.of_flux or config.light) + ("rgb",) * (not config.of_flux)
        self.inputs = {model.modality: datasets}
        self.student, self.student_head = AstroDINO(config, (model.modality,)), Head(config)
        self.model, self.teacher_head = model, Head(config)
        own = config.ibot > 0 and config.ibot_head == "own"
        self.student_patch_head, self.teacher_patch_head = (Head(config) if own else None for _ in range(2))
        self.twins = [(self.student, self.model), (self.student_head, self.teacher_head)]
        self.twins += [(self.student_patch_head, self.teacher_patch_head)] if own else []
        self.student.load_state_dict(model.state_dict())
        for student, teacher in self.twins[1:]:
            teacher.load_state_dict(student.state_dict())
        for _, teacher in self.twins:
            teacher.requires_grad_(False)
        self.register_buffer("centre", torch.zeros(1, config.prototypes))
        if config.ibot:
            self.register_buffer("patch_centre", torch.zeros(1, config.prototypes))
        self.waiting: dict[str, tuple[Tensor, int]] = {}  # sum and number of logits since the last step, by centre
        self.rates = rates(config)

    begin_samples = 2000

    def begin(self, labels: Mapping[str, Tensor], statistics: Mapping[str, dict], batches: Iterable[Batch]) -> None:
        """Take mean and deviation of the photometry from training galaxies, if it is asked for."""
        if self.model.light is not None:
            truth = self.model.light.truth
            truth.standard.learn(torch.cat([truth.measured(self.model.images(batch, "flux")) for batch in batches]))
            self.student.light.load_state_dict(self.model.light.state_dict())

    def train(self, mode: bool = True) -> "Objective":
        super().train(mode)
        self.model.eval()  # no drop path in the teacher
        return self

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.model.config
        images = self.model.images(batch, "flux" if config.of_flux else "rgb")
        still = progress < config.prototypes_still
        *of_large, of_small = config.nights
        large = torch.cat([self.crop(images, draws, config.global_side, share) for share in of_large])  # (2B, 3, G, G)
        hidden = self.hide(draws) if config.ibot else None  # (2B, patches)
        with torch.no_grad():
            taught = self.model.shown(self.model.encode(large))
            seen = taught[:, 0]
            target = self.assign(self.teacher_head(seen), progress)  # (2B, K)
        learnt = self.student.shown(self.student.encode(large, hidden))
        views = [learnt[:, 0]]
        if config.local_crops:
            sides = [config.local_side] * config.local_crops
            small = torch.cat([self.crop(images, draws, side, of_small) for side in sides])
            views.append(self.student.encode(small)[:, 0])
        logits = self.student_head(torch.cat(views), still) / config.student_temperature
        loss = cross_view_loss(target.chunk(2), logits.log_softmax(-1).chunk(2 + config.local_crops))
        metrics = entropies(target) | spread(seen.chunk(2)[0])
        if config.ibot:
            of_patches, signs = self.of_patches(taught, learnt, hidden, progress, still)
            metrics |= {"dino": loss, "ibot": of_patches, **signs}
            loss = loss + config.ibot * of_patches
        if config.light:
            of_light = self.student.light.error(views[0], self.model.images(batch, "flux").repeat(2, 1, 1, 1))
            metrics["light"] = of_light
            loss = loss + config.light * of_light
        if config.koleo:
            loss = loss + config.koleo * sum(koleo(distributed.gather(view)) for view in views[0].chunk(2)) / 2
        return loss, metrics

    def hide(self, draws: Draws) -> Tensor:
        """Patches of the large crops that the student does not see, (2B, patches) bool, crop by crop."""
        config = self.model.config
        side = config.global_side // config.patch
        counts = hidden_counts(draws, 2, side**2, config.hidden_share, config.hidden_ratio)
        return blocks(draws, counts, side).transpose(0, 1).flatten(0, 1)

    def of_patches(
        self, taught: Tensor, learnt: Tensor, hidden: Tensor, progress: float, still: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of iBOT from both networks' tokens, (2B, 1 + patches, dim), and signs of collapse."""
        teacher, student = self.teacher_patch_head or self.teacher_head, self.student_patch_head or self.student_head
        with torch.no_grad():
            target = self.assign(teacher(taught[:, 1:][hidden]), progress, "patch_centre")  # (hidden, K)
        prediction = student(learnt[:, 1:][hidden], still) / self.model.config.student_temperature
        signs = {f"patch_{name}": value for name, value in entropies(target).items()}
        return patch_loss(target, prediction.log_softmax(-1), hidden), signs

    def crop(self, images: Tensor, draws: Draws, size: int, nights: float = 0.0) -> Tensor:
        """One augmented crop of each image, (B, 3, size, size), that holds the centre of the image; of flux, a share of
        them as another night would have shown them."""
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
        if config.of_flux:
            crops = arcsinh_rgb(another(crops, nights, draws) if nights else crops)
        if config.brightness:
            crops = crops * (1 + config.brightness * (2 * draws.uniform(1, 1, 1) - 1))
        if config.noise:
            crops = crops + config.noise * draws.normal(3, size, size)
        return crops

    def assign(self, logits: Tensor, progress: float, centre: str = "centre") -> Tensor:
        """The teacher's soft assignment to prototypes, (n, K), each row summing to 1."""
        config = self.model.config
        warm = min(1.0, progress / config.teacher_warmup) if config.teacher_warmup else 1.0
        temperature = config.teacher_temperature + warm * (config.teacher_temperature_end - config.teacher_temperature)
        if config.centring == "sinkhorn":
            return sinkhorn(logits, temperature)
        if self.training:
            total, count = self.waiting.get(centre, (0, 0))
            self.waiting[centre] = total + logits.float().sum(0, keepdim=True), count + len(logits)
        return ((logits - getattr(self, centre)) / temperature).softmax(-1)

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Move the teacher towards the student, and centres towards the mean of what the teacher said."""
        config = self.model.config
        momentum = cosine(progress, config.momentum, config.momentum_end)
        for student, teacher in self.twins:
            torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1 - momentum)
        for name, (total, count) in self.waiting.items():
            number = distributed.total(total.new_tensor(float(count)))
            getattr(self, name).lerp_(distributed.total(total) / number, 1 - config.centre_momentum)
        self.waiting = {}


def rates(config: Config) -> dict[str, float]:
    """Factors of the learning rate: each block learns slower than the next, patches slower still (DINOv2)."""
    decay, depth = config.layer_decay, config.layers + 1
    found = {f"student.{name}": decay**depth for name in ("first", "position", "blind")}
    found["student.embed_patch"] = decay**depth * config.patch_rate
    found |= {f"student.blocks.{i}.": decay ** (depth - 1 - i) for i in range(config.layers)}
    return {name: factor for name, factor in found.items() if factor != 1}
