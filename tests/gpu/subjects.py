"""What is measured: every kind of model in its published size, or a tiny one, and batches made up for it."""

import dataclasses
from collections.abc import Callable

import torch

from skyloom.models import astroclip, astrodino, mmae, moco, mosaic, networks, specformer
from skyloom.nn.batch import Batch
from skyloom.settings import kinds
from skyloom.settings.training import Training
from tests.gpu import spectra

DINO_CROPS = 2, 8  # large and small ones of an image


@dataclasses.dataclass(frozen=True)
class Subject:
    """A kind of model to measure.

    Attributes
    ----------
    config : as `skyloom.models.networks.build` takes it
    size : of the batch whose step is timed; that of the publication, over the cards it was spread over
    make : (batch size, generator) -> a batch on the generator's device
    tokens : that the trained encoder computes for a sample; None of what has no tokens
    """

    name: str
    config: dict
    size: int
    make: Callable[[int, torch.Generator], Batch]
    tokens: int | None

    def objective(self) -> torch.nn.Module:
        """A new network in what trains it."""
        torch.manual_seed(0)
        return kinds.load(kinds.find("model", self.config["kind"], "kind").objective)(networks.build(self.config))

    def training(self, **more) -> Training:
        """The settings of its kind."""
        kind = kinds.find("model", self.config["kind"], "kind")
        return Training(**{**kind.training, "steps": 10**6, "batch_size": self.size, "precision": "bfloat16", **more})


TINY_GRID = {"start": 3600.0, "step": 8.0, "pixels": 700}
TINY_SPECFORMER = {**specformer.PUBLISHED, "dim": 24, "layers": 1, "heads": 2, "grid": TINY_GRID, "positions": 0}
TINY_SPECFORMER |= {"mask_length": 0}  # as many of the few tokens as the paper's are of its 778
TINY_DINO = {
    **astrodino.PUBLISHED,
    "image_size": 24,
    "dim": 24,
    "layers": 1,
    "heads": 2,
    "global_size": 24,
    "local_size": 12,
}
TINY_DINO |= {"prototypes": 32, "head_hidden": 16, "head_dim": 8}
TINY_MOCO = {**moco.PUBLISHED, "image_size": 32, "blocks": [1, 1], "width": 4, "dim": 8, "queue": 16}
# of MOSAIC the paper does not say width and depth; tokens of one number are the paper's
MOSAIC = {"dim": 256, "layers": 6, "heads": 8}
MOSAIC |= {"norm": "after", "unknown": "zero", "entry": "linear", "says": "mean", "factors": 0, "scale": "modality"}
MOSAIC |= {"visible": 1.0, "colours": 0.0, "scored": 1.0, "masks": {"whole": 0.0, "largest": 0.2}}
TINY_MOSAIC = {**MOSAIC, "dim": 16, "layers": 1, "heads": 2, "sizes": {"spherex": 6, "sfh": 6, "sed": 12}}
TINY_MMAE = {**mmae.PUBLISHED, "dim": 16, "layers": 1, "heads": 2, "fusion": 1, "image_size": 16, "grid": TINY_GRID}


def one(kind: str, modality: str, model: dict) -> dict:
    return {"kind": kind, "modality": modality, "model": model}


def subject(name: str, tiny: bool) -> Subject:
    """A model by its name; in its published size, or in this project's where nothing is published."""
    spectrum, image = (TINY_SPECFORMER, TINY_DINO) if tiny else (specformer.PUBLISHED, astrodino.PUBLISHED)
    grid, side = (TINY_GRID if tiny else {}), image["image_size"] + 8
    encoders = {"image": one("astrodino", "image", image), "spectrum": one("specformer", "spectrum", spectrum)}
    tokens = specformer.Config(**spectrum).token_count
    patches = {cut: (image[f"{cut}_size"] // image["patch"]) ** 2 + 1 for cut in ("global", "local")}
    mosaic_model = TINY_MOSAIC if tiny else MOSAIC
    sizes = {**mosaic.SIZES, **mosaic_model.get("sizes", {})}
    hsc = 16 if tiny else 64
    both = [mmae.IMAGE, mmae.SPECTRUM]
    made = {
        "specformer": (one("specformer", "spectrum", spectrum), 64, of(spectrum=grid), tokens),
        "astrodino": (
            one("astrodino", "image", image),
            48,
            of(rgb=side, flux=(3, side)),
            sum(count * patches[cut] for count, cut in zip(DINO_CROPS, ("global", "local"), strict=True)),
        ),
        "moco": (
            one("moco", "image", TINY_MOCO if tiny else moco.PUBLISHED),
            256,
            of(flux=(3, 56 if tiny else 152)),
            None,
        ),
        "astroclip": (
            {
                "kind": "astroclip",
                "backbones": encoders,
                "model": {**astroclip.PUBLISHED, **({"dim": 8} if tiny else {})},
            },
            64,
            of(rgb=side, spectrum=grid),
            tokens + patches["global"],
        ),
        "redshift": (
            one("redshift", "spectrum", {"grid": grid, "velocity": 500.0} if tiny else {}),
            128,
            of(spectrum=grid),
            None,
        ),
        "mmae": (
            {"kind": "mmae", "modalities": both, "model": TINY_MMAE if tiny else mmae.PUBLISHED},
            256,
            of(hsc=hsc, spectrum=grid),
            None if tiny else 64 + 33,
        ),
        "mosaic": (
            {"kind": "mosaic", "modalities": [*mosaic.SIZES], "model": mosaic_model},
            64,
            of(values=sizes),
            sum(sizes.values()),
        ),
        "inception": (
            one("inception", "hsc_image", {"image_size": 16, "stem": 8, "channels": [8, 8, 8]} if tiny else {}),
            256,
            of(hsc=hsc),
            None,
        ),
    }
    config, size, make, tokens = made[name]
    return Subject(name, config, 4 if tiny else size, make, tokens)


NAMES = ["specformer", "astrodino", "moco", "astroclip", "redshift", "mmae", "mosaic", "inception"]


def of(rgb=None, flux=None, hsc=None, spectrum=None, values=None) -> Callable[[int, torch.Generator], Batch]:
    """What makes batches of these modalities: sides of images, a grid of spectra, sizes of vectors."""

    def make(size: int, random: torch.Generator) -> Batch:
        device, data, labels = random.device, {}, {}
        if rgb:
            data["image"] = {"rgb": torch.rand(size, 3, rgb, rgb, generator=random, device=device)}
        if flux:
            pixels = torch.randn(size, flux[0], flux[1], flux[1], generator=random, device=device)
            data["image"] = {**data.get("image", {}), "flux": pixels}
            labels["ebv"] = torch.full((size,), 0.03, device=device)
        if hsc:
            data["hsc_image"] = {"flux": torch.randn(size, 5, hsc, hsc, generator=random, device=device)}
        if spectrum is not None:
            data["spectrum"], z = spectra.generated(size, random, **spectrum)
        else:
            z = torch.rand(size, generator=random, device=device)
        for name, numbers in (values or {}).items():
            data[name] = {"values": torch.randn(size, numbers, generator=random, device=device)}
        zero = torch.zeros(size, device=device)
        labels |= {"z": z, "zwarn": zero, "z_true": z, "spectype_true": zero}
        return Batch(data, labels=labels, targetid=torch.arange(size, device=device))

    return make
