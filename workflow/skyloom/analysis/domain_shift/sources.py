"""What heads see of a galaxy: an embedding in a survey and in the survey of its model, or magnitudes."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from skyloom.analysis.common.embeddings import Embedding, EmbeddingFile, open_embedding
from skyloom.analysis.common.traits import in_order
from skyloom.analysis.domain_shift import PHOTOMETRY, Settings
from skyloom.analysis.domain_shift.domains import Catalogue, Shift, between, read_catalogue, shifts
from skyloom.settings.analysis import Job

BASELINE = {"kind": PHOTOMETRY, "baseline": True, "photometry": True}


@dataclasses.dataclass(frozen=True)
class Source:
    """One way of seeing galaxies.

    Attributes
    ----------
    model, modality, traits : as in the embedding's metadata
    features : survey -> what gives rows by targetid
    shifts : that it is tested in
    """

    model: str
    modality: str
    traits: Mapping
    features: Mapping[str, Embedding | EmbeddingFile]
    shifts: Sequence[Shift]


def sources(job: Job, catalogues: dict[str, Catalogue]) -> Iterator[Source]:
    """Photometry, then every embedding; `catalogues` is filled: survey -> its galaxies."""
    settings: Settings = job.settings
    here = read_catalogue(job.survey, job.one("galaxies"), job.one("splits"), settings)
    catalogues[job.survey] = here
    hosted = {}
    roles = ("host_embeddings", "host_galaxies", "host_splits")
    for path, galaxies, splits in zip(*(job.inputs[role] for role in roles), strict=True):
        file = open_embedding(path)
        name = _host(job, file.model)
        if name not in catalogues:
            catalogues[name] = read_catalogue(name, galaxies, splits, settings)
        hosted[file.name] = name, file
    own = list(shifts(here, settings, job.seed))
    carried = {name: between(catalogues[name], here) for name in catalogues if name != job.survey}
    magnitudes = {name: _magnitudes(catalogue, settings) for name, catalogue in catalogues.items()}
    magnitudes = {name: found for name, found in magnitudes.items() if found is not None}
    if job.survey in magnitudes:
        reached = [shift for name, shift in carried.items() if name in magnitudes]
        yield Source(PHOTOMETRY, PHOTOMETRY, BASELINE, magnitudes, [*own, *reached])
    for place in in_order(job.inputs["embeddings"], bool(settings.embeddings)):
        features, reached = {job.survey: open_embedding(place.path)}, []
        if place.name in hosted:
            name, features[name] = hosted[place.name][0], hosted[place.name][1]
            reached = [carried[name]]
        yield Source(place.model, place.modality, place.traits, features, [*own, *reached])


def _host(job: Job, model: str) -> str:
    """The name of the survey on which a model is trained."""
    given = job.of_survey.get("models_from") or "host"
    return given if isinstance(given, str) else given.get(model, "host")


def _magnitudes(catalogue: Catalogue, settings: Settings) -> Embedding | None:
    """Galaxies with all magnitudes; None where there is no such galaxy."""
    if not settings.photometry:
        return None
    table = catalogue.table
    values = table[settings.photometry].to_numpy(np.float32)
    known = np.isfinite(values).all(axis=1)
    split = table["split"].to_numpy(object)[known]
    found = Embedding(PHOTOMETRY, PHOTOMETRY, table.index.to_numpy()[known], split, values[known], BASELINE)
    return found if known.any() else None
