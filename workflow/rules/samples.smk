"""What the rules of surveys of files share: which of the user's files hold the samples of a part or a shard."""

import functools

from skyloom.settings.sharding import parts_of_shard
from skyloom.surveys.common import files as sample_files


def of_samples(modality: str) -> str:
    """A wildcard constraint: the surveys of files that hold samples of a modality already."""
    return one_of(name for name, survey in settings.surveys.items() if modality in survey.samples)


def catalogued() -> str:
    """A wildcard constraint: the surveys whose galaxies are the rows of files of samples, or of parts of spectra."""
    return one_of(name for name, survey in settings.surveys.items() if survey.samples or survey.has("spectra"))


def with_images(role: str, modality: str) -> str:
    """A wildcard constraint: the surveys that have images, as raw files of a role or in files of samples."""
    return "|".join([with_files(role), of_samples(modality)])


def samples_of(survey: str) -> dict[str, list[str]]:
    """The files of a survey by modality, for which jobs wait if they have to be told first."""
    raw(survey)
    return settings.surveys[survey].samples


@functools.cache
def sample_parts(survey: str) -> tuple[tuple[str, ...], ...]:
    """The user's files of every part of a survey of files."""
    return sample_files.parts_of(samples_of(survey), settings.surveys[survey].settings)


def sources_of_part(wildcards) -> list[str]:
    """The user's files of a part, those inside packages as they are named."""
    return list(sample_parts(wildcards.survey)[int(wildcards.part)])


def images_catalogued(modality: str):
    """An input function: the user's files of images whose catalogues are read: those whose rows are the galaxies, and
    those that are joined to them."""

    def of_survey(wildcards) -> list[str]:
        survey, samples = settings.surveys[wildcards.survey], samples_of(wildcards.survey)
        own, asked = next(iter(samples), ""), modality in survey.settings.modalities
        joined = asked and modality in samples and sample_files.beside(samples, modality)
        return fetched(samples[modality], survey.name) if modality == own or joined else []

    return of_survey


def samples_of_shard(wildcards, modality: str) -> list[str]:
    """The user's files with the samples of a shard."""
    survey = settings.surveys[wildcards.survey]
    groups, shards = sample_parts(wildcards.survey), survey.settings.shards
    files = sample_files.files_of_shard(samples_of(survey.name), groups, modality, shards, int(wildcards.shard))
    return fetched(files, survey.name)


def known_tables(wildcards) -> list[str]:
    """The user's tables of what is known of the objects."""
    survey = settings.surveys[wildcards.survey]
    return survey.kind.tables(survey.settings)


def parts_of_spectra(wildcards) -> list[str]:
    """The parts of spectra that the galaxies of a shard are in."""
    there = numbered(wildcards.survey, "spectra")
    shards = settings.surveys[wildcards.survey].settings.shards
    return [there[number] for number in parts_of_shard(len(there), shards, int(wildcards.shard))]


def lists_quarantine(wildcards) -> bool:
    """Whether a shard is the first one of its parts, which says what of them was put aside."""
    return int(wildcards.shard) < len(numbered(wildcards.survey, "spectra"))
