"""Posteriors of every property from any embedding, pair or model: how sharp they are, and whether they hold."""

from typing import Annotated

from pydantic import Field, model_validator

from skyloom.analysis.common.head_settings import DensityHeadSettings
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, refuse, setting, with_defaults

PHOTOMETRY = "photometry"
"""What the baseline of magnitudes is called, as a model and as an input."""
QUERY = "redshift"
"""What a model of `predictions` is asked: its table of posteriors over redshift."""
Pair = Annotated[list[reference("embedding", PHOTOMETRY)], Field(min_length=2, max_length=2)]


class Settings(with_defaults(DensityHeadSettings, hidden=128, learning_rate=4e-3, batch_size=128)):
    """Keys of a calibration. A head gives all properties of a source at once, each as a mixture of Gaussians."""

    embeddings: list[reference("embedding")] = setting([])
    "which, as MODEL-MODALITY; [] for all of the survey"
    pairs: list[Pair] = setting([])
    "embeddings taken together; also asked with one of the two alone"
    predictions: list[reference("model")] = setting([])
    "models that give a posterior over redshift themselves"
    properties: list[reference("property")] = setting(["z", "log_mstar", "log_z_mw", "t_age", "log_ssfr"], min_length=1)
    "columns of galaxies.parquet; one that a survey does not know is left out there"
    photometry: list[str] = setting(["mag_g", "mag_r", "mag_z"])
    "magnitudes of the baseline, columns of galaxies.parquet; [] or a survey without them: no such baseline"
    set_apart: float = setting(0.2, ge=0, lt=1)
    "share of the training split, by a hash, that calibrates with the validation split; 0: that alone. The rest trains"
    galaxies: int = setting(100_000, ge=100)
    "that train a head at most, and twice the number of either split that calibrate; chosen by a hash of the targetid"
    absent: float = setting(0.5, gt=0, lt=1)
    "how often a head of a pair sees one of the two alone in training"
    bins: int = setting(5, ge=2)
    "of redshift, magnitude, signal-to-noise and estimate, with the same number of galaxies in each, at most"
    least: int = setting(200, ge=1)
    "galaxies in a bin whose coverage is judged; there are as many bins as hold so many, and two at least"
    magnitude: str = setting("mag_r")
    "column of galaxies.parquet to bin by; a survey without it: no such bins"
    spectrum: reference("modality") = setting("spectrum")
    "modality whose tokens (flux, ivar) give the signal-to-noise to bin by; a survey without it: no such bins"

    @model_validator(mode="after")
    def _pairs(self):
        for first, second in self.pairs:
            if first == second:
                raise refuse("pairs", f"'{first}' is paired with itself; name two embeddings")
        return self


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogue, the splits, embeddings and predictions of a survey that trains its own models, and its spectra."""
    context.trains()
    settings: Settings = context.settings
    paired = [name for pair in settings.pairs for name in pair if name != PHOTOMETRY]
    return {
        "galaxies": context.galaxies,
        "splits": context.splits,
        "embeddings": context.embeddings(settings.embeddings),
        "paired": context.embeddings(list(dict.fromkeys(paired))) if paired else [],
        "predictions": [path for model in settings.predictions for path in context.predictions(model, QUERY)],
        "tokens": context.tokens_if_any(settings.spectrum),
    }


KIND = AnalysisKind(
    rule="calibrate_posteriors",
    title="Posteriors of every property and their calibration",
    settings=Settings,
    inputs=inputs,
    outputs={"table": "calibration.csv", "posteriors": "posteriors.parquet", "figure": "calibration.png"},
    run="skyloom.analysis.calibration.calibrate:calibrate",
    present="skyloom.analysis.calibration.present:present",
    tidy=False,
)
