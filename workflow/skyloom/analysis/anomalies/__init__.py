"""Galaxies in which something is wrong: how odd each is, of how many kinds, and a guess at the cause."""

from typing import Annotated, Literal

from pydantic import Field

from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, setting


class Settings(AnalysisSettings):
    """Keys of a search for anomalies."""

    embeddings: list[reference("embedding")] = setting([])
    "which, as MODEL-MODALITY; [] for all of the survey"
    regression: reference("analysis") = setting("regression")
    "whose predictions from one modality are compared with those from another; a survey without them: not compared"
    split: Literal["validation", "test"] = setting("test")
    "galaxies that are ranked; the training split is what they are measured against"
    k: int = setting(16, ge=1)
    "a galaxy is as far as this neighbour among the training galaxies"
    components: int = setting(16, ge=1)
    "leading principal components of an embedding, whitened, in which that is"
    trees: int = setting(100, ge=10)
    "of the isolation forest, the baseline"
    catalogue: list[str] = setting(["z", "mag_g", "mag_r", "mag_z"])
    "columns of galaxies.parquet that must agree with those of a galaxy's neighbours; what a survey lacks is left out"
    properties: list[reference("property")] = setting(["z", "log_mstar"])
    "whose predictions from two modalities are compared"
    combined: Literal["chosen", "sum", "maximum"] = setting("chosen")
    "of the standardised ranks; chosen: on the validation split where anomalies are labelled, else the sum"
    flagged: int = setting(30, ge=1)
    "galaxies at the top of the list whose cause is guessed"
    stands_out: float = setting(0.1, gt=0, lt=1)
    "share of the galaxies that stand out in a family of scores, for the guess"
    top: list[Annotated[int, Field(ge=1)]] = setting([10, 20, 50], min_length=1)
    "k of precision@k, as far as there are anomalies"
    least: int = setting(3, ge=2)
    "labelled galaxies of a kind without which nothing is scored"
    resamples: int = setting(1000, ge=100)
    "of the bootstrap"


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogue, the splits and the embeddings; predictions and labels where the survey has them."""
    settings: Settings = context.settings
    fractions = context.survey.settings.split.fractions
    if not (fractions.train and getattr(fractions, settings.split)):
        raise Lacking(f"has no galaxies to train on and to search (split.fractions, train and {settings.split})")
    return {
        "galaxies": context.galaxies,
        "splits": context.splits,
        "embeddings": context.embeddings(settings.embeddings),
        "predictions": _predictions(context),
        "truth": context.raw("truth") if context.survey.raw["truth"] else [],
    }


def _predictions(context: Context) -> list[str]:
    if context.settings.split != "test":
        return []  # a regression predicts the test split alone
    try:
        return context.output_of("regression", "predictions")
    except Lacking:
        return []


KIND = AnalysisKind(
    rule="find_anomalies",
    title="Galaxies in which something is wrong",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "anomalies.csv",
        "galaxies": "anomalies.parquet",
        "figure_scores": "anomalies.png",
        "figure_found": "anomalies-found.png",
    },
    run="skyloom.analysis.anomalies.find:find",
    present="skyloom.analysis.anomalies.present:present",
)
