"""Redshifts from images: how right, how sure, what hidden parts and short exposures cost, beside other methods."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from skyloom.core.errors import BadConfig
from skyloom.settings import layout
from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.models import Model
from skyloom.settings.names import IMAGES
from skyloom.settings.section import hint, refuse, setting

PHOTOMETRY = "photometry"
"""What the baseline of aperture magnitudes is called, beside MODEL-QUERY of predictions."""
SPECTRUM = "spectrum"
NEAR = 0.4
"""Redshift below which the paper compares methods."""
PUBLISHED_SHARE = 0.25
"""Share of an image's tokens that the paper hides for its best redshifts."""

Pair = Annotated[list[str], Field(min_length=2, max_length=2)]
Share = Annotated[float, Field(ge=0, lt=1)]
Redshift = Annotated[float, Field(ge=0)]
Exposure = Annotated[float, Field(gt=0, le=1)]


class Settings(AnalysisSettings):
    """Keys of a comparison of redshifts from images. Predictions are named MODEL-QUERY."""

    predictions: list[str] = setting([])
    "which; [] for all of the survey's models that give redshifts from images, spectra or both"
    shown: str | None = setting(None)
    "what is drawn against the known redshifts; without it one of images alone, if there is with a quarter hidden"
    differences: list[Pair] = setting([])
    "pairs of predictions, or `photometry`, to compare galaxy by galaxy, besides the whole image with all of images"
    apertures: list[Annotated[float, Field(gt=0)]] = setting([0.6, 1.2, 2.4], min_length=1)
    "radii in arcsec of the circles in which the baseline measures magnitudes"
    trees: int = setting(300, ge=1)
    "of the baseline, gradient boosting, at most; how many, and their size, is chosen on the validation split"
    edges: list[Redshift] = setting([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0], min_length=2)
    "of the bins of known redshift"
    least: int = setting(20, ge=2)
    "galaxies in a group or bin that is scored"
    magnitude: str = setting("mag_r")
    "column of galaxies.parquet to bin the calibration by; a survey without it: no such bins"
    bins: int = setting(4, ge=2)
    "of estimate and magnitude in which calibration is checked, with the same number of galaxies in each, at most"
    shares: list[Share] = setting([0.0, 0.1, 0.25, 0.5, 0.75, 0.9], min_length=2)
    "of the tokens that are hidden: of the image without any spectrum, of the spectrum without any image, of both"
    exposures: list[Exposure] = setting([1.0, 0.3, 0.1, 0.03, 0.01], min_length=1)
    "shares of the spectra's exposure to which noise is added, with and without the image"
    galaxies: int = setting(2000, ge=0)
    "test galaxies at most, by a hash, with other shares hidden and other exposures; 0: none"
    resamples: int = setting(1000, ge=100)
    "of the paired bootstrap"

    @model_validator(mode="after")
    def _rising(self):
        for key in ("edges", "shares"):
            values = getattr(self, key)
            if any(later <= earlier for earlier, later in zip(values[:-1], values[1:], strict=True)):
                raise refuse(key, f"{values} is not allowed; expected numbers that rise")
        return self


def inputs(context: Context) -> dict[str, list[str]]:
    """The catalogue, predictions, images for the baseline; models whose tokens can be hidden, and what they see."""
    context.trains()
    s: Settings = context.settings
    have = context.survey.settings.modalities
    able = [model for model in context.models() if model.kind.gives_redshift]
    there = {name: model for model in able for name in _names(context, model)}
    _check_names(context)
    if not any(set(_given(model, name)) <= set(IMAGES) for name, model in there.items()):
        raise Lacking("has no model that is asked for redshifts from images alone")
    for name in s.predictions:
        if name not in there:
            raise Lacking(f"has no prediction '{name}'; it has {', '.join(there)}")
    chosen = {name: there[name] for name in s.predictions or there}
    tables = [layout.prediction(context.survey.name, m.name, _query(m, name)) for name, m in chosen.items()]
    masked = [model for model in able if model.kind.hides and set(model.kind.hides) <= set(have)] if s.galaxies else []
    pictures = [name for name in reversed(IMAGES) if name in have][:1]
    seen = dict.fromkeys(name for model in masked for name in model.kind.hides)
    return {
        "galaxies": context.galaxies,
        "splits": context.splits,
        "predictions": tables,
        "pictures": context.tokens(pictures[0]),
        "models": [path for model in masked for path in context.model_files(model.name)],
        **{f"tokens_{name}": context.tokens(name) for name in seen},
        "published": [layout.PUBLISHED],
    }


def _query(model: Model, name: str) -> str:
    return name.removeprefix(f"{model.name}-")


def _given(model: Model, name: str) -> tuple[str, ...]:
    """The modalities that an answer is made of."""
    asked = model.asked.get(_query(model, name))
    return model.takes if asked is None else tuple(model.kind.asked_of(asked))


def _names(context: Context, model: Model) -> Iterator[str]:
    """MODEL-QUERY of the answers of a model that are made of images, spectra or both."""
    for query in context.config.queries_of(model, context.survey.name):
        name = f"{model.name}-{query}"
        if set(_given(model, name)) <= {*IMAGES, SPECTRUM}:
            yield name


def _check_names(context: Context) -> None:
    """Names that no model of the configuration has are mistakes; those of another survey's models are none."""
    s, where = context.settings, f"analyses.{context.analysis.name}"
    every = [f"{m.name}-{q}" for m in context.config.models.values() if m.kind.gives_redshift for q in m.queries]
    named = [("predictions", name) for name in s.predictions] + [("shown", s.shown)] * (s.shown is not None)
    for key, name in named + [("differences", name) for pair in s.differences for name in pair]:
        allowed = [*every, PHOTOMETRY] if key == "differences" else every
        if name not in allowed:
            raise BadConfig(f"{where}.{key}: '{name}' is not a prediction of a redshift; {hint(name, allowed)}")


KIND = AnalysisKind(
    rule="compare_photoz",
    title="Photometric redshifts from images, and what is hidden costs",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "photoz.csv",
        "calibration": "photoz-calibration.csv",
        "masks": "photoz-masks.csv",
        "exposure": "photoz-exposure.csv",
        "figure": "photoz.png",
        "figure_bins": "photoz-bins.png",
        "figure_calibration": "photoz-calibration.png",
        "figure_masks": "photoz-masks.png",
        "figure_exposure": "photoz-exposure.png",
    },
    run="skyloom.analysis.photoz.measure:measure_photoz",
    present="skyloom.analysis.photoz.present:present",
    mem_mb=6000,
    runtime=120,
)
