"""The published AstroCLIP (Parker et al. 2024, MNRAS 531, 4990): images and spectra in one space, with its weights.

Its networks are those of the public code, kept as they are (`layers`); ours, `astroclip`, differs. Nothing is trained
here.
"""

from pydantic import model_validator

from skyloom.models.common.published import HUB, File, ImageEncoder, SpectrumEncoder, WithGrid, check
from skyloom.settings.kinds import ModelKind
from skyloom.settings.section import refuse, setting

SHA256 = "e16893952be34d570022012a94fe541d5c6fa985dda3f8d13354c2ad52896d56"
"""As the page of the file states it."""


class Config(WithGrid):
    """Where the weights are, and the shape they have."""

    weights: File = setting(f"{HUB}/astroclip/resolve/main/astroclip.ckpt#sha256={SHA256}")
    "the published checkpoint (1.7 GB, MIT), or its state dict as safetensors: path or URL#sha256=..."
    image: ImageEncoder = setting(ImageEncoder())
    "shape of the image encoder"
    spectrum: SpectrumEncoder = setting(SpectrumEncoder())
    "shape of the spectrum encoder"
    dim: int = setting(1024, ge=1)
    "length of an embedding (the paper says 512; the published weights have 1024)"
    heads: int = setting(4, ge=1)
    "attention heads of the pooling heads; they divide dim"
    normalise: bool = setting(True)
    "embeddings of length 1, as the loss compares them; false: as the public code stores them"

    @model_validator(mode="after")
    def _combinations(self):
        if self.dim % self.heads:
            raise refuse("heads", f"{self.heads} does not divide dim {self.dim}")
        return self


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.astroclip_public.network:AstroCLIP",
    takes="several",
    modalities=("image", "spectrum"),
    weights=lambda settings: {"weights": settings.weights},
    reads="skyloom.models.astroclip_public.network:read_astroclip",
    shared_space=True,
    attends=True,
    training={"steps": 0},
    check=lambda model, survey: check(model, survey, model.settings.image.image_size),
)
