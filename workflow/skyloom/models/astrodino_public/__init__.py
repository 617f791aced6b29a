"""The published AstroDINO (Parker et al. 2024, MNRAS 531, 4990) with its weights; ours, `astrodino`, differs."""

from skyloom.models.common.published import HUB, File, ImageEncoder, check
from skyloom.settings.kinds import ModelKind
from skyloom.settings.section import Section, setting


class Config(Section):
    """Where the weights are, and the shape they have."""

    weights: File = setting(f"{HUB}/astrodino/resolve/main/astrodino.ckpt")
    "the published checkpoint (MIT; sha256 not known here), or its teacher as safetensors: path or URL#sha256=..."
    image: ImageEncoder = setting(ImageEncoder())
    "shape of the encoder"


KIND = ModelKind(
    settings=Config,
    network="skyloom.models.astroclip_public.network:OneAstroDINO",
    modalities=("image",),
    weights=lambda settings: {"weights": settings.weights},
    reads="skyloom.models.astroclip_public.network:read_astrodino",
    blocks=lambda settings: settings.image.layers,
    training={"steps": 0},
    check=lambda model, survey: check(model, survey, model.settings.image.image_size),
)
