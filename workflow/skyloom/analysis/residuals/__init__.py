"""How large errors of predicted properties are, and where an aligned model errs less (benchmark, BE-18, BE-19)."""

from typing import Annotated

from pydantic import Field, model_validator

from skyloom.settings import layout
from skyloom.settings.analysis import AnalysisSettings
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import reference, refuse, setting

Pair = Annotated[list[reference("model")], Field(min_length=2, max_length=2)]


class Settings(AnalysisSettings):
    """Keys of the residuals."""

    regression: reference("analysis") = setting("regression")
    "whose predictions of the test split are read"
    methods: list[str] = setting(["knn", "mlp"], min_length=1)
    "whose boxes are drawn and whose models are compared; figures of one method show the first. Published: knn"
    whisker: float = setting(1.5, gt=0)
    "reach of the whiskers, in interquartile ranges"
    bins: int = setting(4, ge=2)
    "of the property, with the same number of galaxies in each"
    error_bins: int = setting(5, ge=2)
    "of the size of the error, with the same number of errors of both models in each"
    pairs: list[Pair] = setting([])
    "models whose errors are counted against each other, first minus second, in each modality that both have; []: each \
model that is built on others against those"
    shown: list[reference("property")] = setting(["log_mstar", "log_z_mw"], min_length=1, max_length=3)
    "properties of the figure of net counts; the claims are about the first. Published: two, whose names are lost"
    least: int = setting(20, ge=2)
    "galaxies that both models have, without which they are not compared"
    resamples: int = setting(1000, ge=100)
    "of the bootstrap of the mean"

    @model_validator(mode="after")
    def _pairs(self):
        for first, second in self.pairs:
            if first == second:
                raise refuse("pairs", f"'{first}' is compared with itself; name two models")
        return self


def inputs(context: Context) -> dict[str, list[str]]:
    """The predictions of a regression, the embeddings (for the traits of their models), and who is built on whom.

    `aligned` and `backbones` are two lists of the same length: an embedding of a model that is built on others, and
    that of the model below it in the same modality.
    """
    aligned, backbones = [], []
    there = {model.name: context.config.embeddings_of(model, context.survey.name) for model in context.models()}
    for model in context.models() if not context.settings.pairs else ():
        for modality, below in model.backbones.items():
            if modality in there[model.name] and modality in there.get(below, ()):
                aligned.append(layout.embedding(context.survey.name, model.name, modality))
                backbones.append(layout.embedding(context.survey.name, below, modality))
    predictions = context.output_of("regression", "predictions")
    found = {"predictions": predictions, "embeddings": context.embeddings()}
    return {**found, "aligned": aligned, "backbones": backbones}


KIND = AnalysisKind(
    rule="examine_residuals",
    title="Residuals of predicted properties",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "residuals.csv",
        "bins": "residuals-bins.csv",
        "figure": "residuals.png",
        "figure_bins": "residuals-bins.png",
        "figure_net": "residuals-net.png",
    },
    run="skyloom.analysis.residuals.examine:examine",
    present="skyloom.analysis.residuals.present:present",
)
