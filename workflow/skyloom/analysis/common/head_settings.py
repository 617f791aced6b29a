"""Keys of heads: small networks with two hidden layers, trained on frozen embeddings. Light to import."""

from skyloom.settings.analysis import AnalysisSettings
from skyloom.settings.section import setting


class HeadSettings(AnalysisSettings):
    """Keys of any head. The defaults are those published for the MLP of the AstroCLIP benchmark."""

    hidden: int = setting(64, ge=1)
    "units in each of the two hidden layers of a head"
    dropout: float = setting(0.1, ge=0, lt=1)
    "of a head"
    learning_rate: float = setting(1e-3, gt=0)
    "of a head; where its epochs are chosen, at its highest: it rises for a tenth of the steps and falls as a cosine"
    batch_size: int = setting(64, ge=1)
    "of a head"


class DensityHeadSettings(HeadSettings):
    """Keys of a head that gives densities, mixtures of Gaussians, and whose epochs are chosen on galaxies set apart."""

    components: int = setting(8, ge=1, le=64)
    "Gaussians in the density that a head gives"
    epochs: int = setting(30, ge=1)
    "of a head at most; it takes the one that did best on galaxies set apart, calibration property by property"
    chosen_on: float = setting(0.1, gt=0, lt=1)
    "share of the training galaxies that epochs are chosen on and no head is trained on"
