"""Queries of a model that answers any: how right, how sure, beside what is trained for one query alone."""

from typing import Annotated

from pydantic import Field

from skyloom.core.errors import BadConfig
from skyloom.settings import layout
from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind
from skyloom.settings.section import Section, reference, setting


class Gain(Section):
    """A claim: one query is so much better than another."""

    of: str = setting()
    "the quantity whose mean absolute error is compared"
    better: str = setting()
    "query"
    worse: str = setting()
    "query"
    least: float = setting(0.0)
    "by which share the error falls at least, of the worse one's"
    brighter: float | None = setting(None)
    "of galaxies brighter than this in LSST i alone"


def sample_of(gain: Gain) -> str:
    """Which galaxies a gain is of, as the table's column `method` says it."""
    return "" if gain.brighter is None else f"i < {gain.brighter:g}"


class Settings(AnalysisSettings):
    """Keys of a comparison of queries."""

    model: reference("model") | None = setting(None)
    "that is asked; without this key the first of the survey that answers queries of your own"
    queries: list[str] = setting([])
    "of it, in their order; [] for all"
    beside: list[reference("model")] = setting([])
    "models of the survey that are asked the same by the same name, such as one trained for it alone, to compare with"
    gains: list[Gain] = setting([])
    "what one query gains over another, with its paired interval"
    trees: int = setting(200, ge=0)
    "of gradient boosting, for every query and scalar; 0: none"
    components: int = setting(8, ge=1)
    "of a history, which are boosted one by one"
    galaxies: int = setting(50_000, ge=100)
    "training galaxies of the boosting at most"
    resamples: int = setting(1000, ge=1000)
    "of the bootstrap"
    shown: Annotated[int, Field(ge=1, le=9)] = setting(3)
    "curves in a panel"
    points: int = setting(1000, ge=10)
    "galaxies in a scatter plot"
    states: int = setting(10_000, ge=0)
    "test galaxies at most in the map of hidden states; 0: no map"


def inputs(context: Context) -> dict[str, list[str]]:
    """The answers to each query, what is true, and the model itself for its hidden states."""
    context.trains()
    s, survey = context.settings, context.survey.name
    asking = [m for m in context.models() if m.kind.says_numbers and m.asked]
    if s.model is not None:
        asking = [m for m in asking if m.name == s.model]
    if not asking:
        raise Lacking("has no model that answers queries of your own (key `queries`)")
    model = asking[0]
    there = [name for name in context.config.queries_of(model, survey) if name in model.asked]
    where = f"analyses.{context.analysis.name}"
    asked = {query for m in context.config.models.values() if m.kind.says_numbers for query in m.asked}
    for name in [*s.queries, *(q for gain in s.gains for q in (gain.better, gain.worse))]:
        if name not in asked or (s.model and name not in there):
            raise BadConfig(f"{where}: '{name}' is not a query of '{model.name}'; it has {', '.join(there)}")
    for name in s.queries:  # a gain between queries that another survey's model has is left out here
        if name not in there:
            raise Lacking(f"has no query '{name}' of '{model.name}'; it has {', '.join(there)}")
    names = s.queries or there
    others = {query: [m for m in s.beside if _alike(context, model, m, query)] for query in names}
    have = context.survey.settings.modalities
    return {
        "galaxies": context.galaxies,
        "splits": context.splits,
        "model": context.model_files(model.name),
        **{f"query_{name}": [layout.prediction(survey, model.name, name)] for name in names},
        **{f"beside_{q}": [layout.prediction(survey, m, q) for m in models] for q, models in others.items() if models},
        **{f"tokens_{name}": context.tokens(name) for name in model.takes if name in have},
        "published": [layout.PUBLISHED],
    }


def _alike(context: Context, model, name: str, query: str) -> bool:
    """Whether another model of the survey is asked the same: what is given and wanted is equal."""
    if name == model.name or name not in context.answering(query):
        return False
    one, other = model.asked[query], context.config.models[name].asked.get(query)
    return other is not None and (one.given, one.wanted) == (other.given, other.wanted)


KIND = AnalysisKind(
    rule="compare_queries",
    title="Any query: what is said of a galaxy from what else is known",
    settings=Settings,
    inputs=inputs,
    outputs={
        "table": "queries.csv",
        "physics": "queries-physics.csv",
        "figure": "queries.png",
        "figure_schema": "queries-model.png",
        "figure_states": "queries-states.png",
        "figure_calibration": "queries-calibration.png",
    },
    run="skyloom.analysis.queries.compare:compare",
    present="skyloom.analysis.queries.present:present",
    mem_mb=6000,
    runtime=120,
)
