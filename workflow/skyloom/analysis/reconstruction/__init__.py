"""What is hidden, drawn up again: lines in their places, better than a redshift alone tells, and like real spectra?"""

from typing import Annotated

from pydantic import Field

from skyloom.core.errors import BadConfig
from skyloom.settings import layout
from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import Section, reference, setting


class Line(Section):
    """An emission line, or several that are one at this resolution."""

    wavelength: float = setting(gt=0)
    "Angstrom of the rest frame, in vacuum"
    window: float = setting(gt=0)
    "Angstrom of the rest frame on either side, in which a Gaussian on a straight continuum is fitted"


LINES = {
    "H-alpha": Line(wavelength=6564.6, window=350.0),  # with [N II] and [S II] in its wings
    "[O III]": Line(wavelength=5008.2, window=110.0),  # with 4960, without H-beta
    "[O II]": Line(wavelength=3728.5, window=150.0),
    "Mg II": Line(wavelength=2799.9, window=200.0),
    "C IV": Line(wavelength=1549.5, window=150.0),
    "Ly-alpha": Line(wavelength=1215.67, window=120.0),  # with N V
}


class Settings(AnalysisSettings):
    """Keys of a comparison of what is drawn up again with what is there."""

    model: reference("model") | None = setting(None)
    "whose answers; without this key the first of the survey with queries that `reconstruct`"
    queries: list[str] = setting([])
    "of it, in their order; [] for all that reconstruct"
    lines: Annotated[dict[str, Line | None], Field(min_length=1)] = setting(LINES)
    "name -> where it is and how far around it is fitted; null takes one out"
    least_snr: float = setting(5.0, gt=0)
    "height over its error, from the residuals of the fit, of a line that counts as there"
    redshifts: list[float] = setting([0.4, 1.0, 2.0])
    "where bins of redshift meet"
    neighbours: int = setting(16, ge=1)
    "training galaxies nearest in redshift whose mean spectrum is one of the baselines"
    galaxies: int = setting(20_000, ge=100)
    "training galaxies at most behind the baselines, and test galaxies at most"
    fooled: float = setting(0.65, ge=0.5, le=1)
    "largest area under the curve of a classifier that is fooled: it tells drawn spectra from observed ones"
    classified: int = setting(3000, ge=20)
    "test galaxies at most that classifiers see"
    shown: Annotated[int, Field(ge=1, le=6)] = setting(3)
    "galaxies in a figure"
    low: float = setting(0.4, gt=0)
    "largest redshift of galaxies in the first figure"
    resamples: int = setting(1000, ge=1000)
    "of the bootstrap"


def inputs(context: Context) -> dict[str, list[str]]:
    """The answers to each query, the model, and the tokens that say what is there."""
    context.trains()
    s, survey = context.settings, context.survey.name
    asking = [m for m in context.models() if _queries(m) and (s.model is None or m.name == s.model)]
    if not asking:
        raise Lacking("has no model with queries of your own that reconstruct what is hidden")
    model = asking[0]
    there = [name for name in context.config.queries_of(model, survey) if name in _queries(model)]
    anywhere = {name for m in context.config.models.values() for name in _queries(m)}
    for name in s.queries:
        if name not in (there if s.model else anywhere):
            where = f"analyses.{context.analysis.name}"
            has = ", ".join(there) or "none"
            raise BadConfig(f"{where}: '{name}' is not a query of '{model.name}' that reconstructs; it has {has}")
        if name not in there:
            raise Lacking(f"has no query '{name}' of '{model.name}' that reconstructs")
    if not there:
        raise Lacking(f"has not what is given in the queries of '{model.name}' that reconstruct")
    have = context.survey.settings.modalities
    return {
        "galaxies": context.galaxies,
        "splits": context.splits,
        "model": context.model_files(model.name),
        **{f"query_{name}": [layout.prediction(survey, model.name, name)] for name in s.queries or there},
        **{f"tokens_{name}": context.tokens(name) for name in model.takes if name in have},
    }


def _queries(model) -> list[str]:
    """The queries of a model that reconstruct something."""
    return [name for name, query in model.asked.items() if model.kind.reconstructs and query.reconstruct]


KIND = AnalysisKind(
    rule="compare_reconstructions",
    title="What is hidden, drawn up again",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "reconstruction.csv",
        "lines": "reconstruction-lines.csv",
        "figure_low": "reconstruction-low.png",
        "figure_high": "reconstruction-high.png",
        "figure_lines": "reconstruction-lines.png",
        "figure_draws": "reconstruction-draws.png",
    },
    run="skyloom.analysis.reconstruction.compare:compare",
    present="skyloom.analysis.reconstruction.present:present",
    mem_mb=6000,
    runtime=120,
)
