"""What properties are predicted from, and how: kNN and MLP on embeddings and on columns of the catalogue."""

from typing import Annotated, Literal

from pydantic import Field

from skyloom.analysis.common.head_settings import HeadSettings
from skyloom.settings.names import JOINT, MODALITIES
from skyloom.settings.section import reference, setting

Count = Annotated[int, Field(ge=1)]
PHOTOMETRY = "photometry"
"""What the baseline of magnitudes is called, as a model and as an input."""
WITH_REDSHIFT = "photometry+z"
"""The same magnitudes and the redshift: what a spectrum that gives nothing else would add."""
TRUTH = "truth"
"""What was put in, of a simulated survey: no model does better against labels as noisy as these."""
BASELINES = (PHOTOMETRY, WITH_REDSHIFT, TRUTH)


class PredictorSettings(HeadSettings):
    """Keys of predictions. A list of candidates is a choice made on the validation split, property by property. The
    heads are MLPs."""

    embeddings: list[reference("embedding")] = setting([])
    "which, as MODEL-MODALITY; [] for all of the survey"
    properties: list[reference("property")] = setting(["z", "log_mstar", "log_z_mw", "t_age", "log_ssfr"], min_length=1)
    "columns of galaxies.parquet; one that a survey does not know is left out there"
    photometry: list[str] = setting(["mag_g", "mag_r", "mag_z"])
    "magnitudes of the baseline, columns of galaxies.parquet; [] or a survey without them: no such baseline"
    k: list[Count] = setting([64], min_length=1)
    "neighbours; published: 64"
    weights: Literal["distance", "uniform"] = setting("distance")
    "of the neighbours"
    metric: list[Literal["euclidean", "cosine"]] = setting(["euclidean"], min_length=1)
    "of standardised embeddings; cosine L2-normalises them first. Published: euclidean"
    components: list[Count] = setting([4, 8, 16, 32, 64], min_length=1)
    "leading columns of embeddings whose columns are ordered (PCA)"
    whitened: list[Annotated[int, Field(ge=0)]] = setting([0, 4, 8, 16], min_length=1)
    "leading principal components of other embeddings, whitened, that kNN compares; 0: all, as published"
    batch_sizes: dict[Literal[(*MODALITIES, JOINT, *BASELINES)], dict[reference("property"), Count]] = setting({})
    "modality -> property -> another batch size of the MLP there; published: { image: { z: 32 } }"
    epochs: list[Count] = setting([10], min_length=1)
    "of the MLP; published: 10"
    seeds: int = setting(1, ge=1)
    "trainings of the MLP: scores are of the first; of more than one their mean and scatter are stated too"
