"""The published SpecFormer (Parker et al. 2024, MNRAS 531, 4990) with its weights; ours, `specformer`, differs."""

from skyloom.models.common.published import HUB, File, SpectrumEncoder, WithGrid, check
from skyloom.settings.kinds import ModelKind
from skyloom.settings.section import setting

SHA256 = "712c5c1fd4024baa2d85991071d5884b2b13a377bd08f94d08a403a10e9a93f8"
"""As the page of the file states it."""


class Config(WithGrid):
    """Where the weights are, and the shape they have."""

    weights: File = setting(f"{HUB}/specformer/resolve/main/specformer.ckpt#sha256={SHA256}")
    "the published checkpoint (173 MB, MIT), its state dict as safetensors, or AstroCLIP's: path or URL#sha256=..."
    spectrum: SpectrumEncoder = setting(SpectrumEncoder())
    "shape of the encoder"


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.astroclip_public.network:OneSpecFormer",
    modalities=("spectrum",),
    weights=lambda settings: {"weights": settings.weights},
    reads="skyloom.models.astroclip_public.network:read_specformer",
    blocks=lambda settings: settings.spectrum.layers,
    training={"steps": 0},
    check=check,
)
