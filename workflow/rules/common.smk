"""What the rules share: the checked configuration, inputs that depend on it, and the hash of each rule's code."""

import functools
import re
from pathlib import Path

import snakemake.io
from snakemake.exceptions import WorkflowError

from skyloom.analysis.common import captions
from skyloom.core.code import code_hash
from skyloom.core.errors import SkyloomError
from skyloom.formats.file_names import sorted_paths
from skyloom.mock import layout as mock_layout
from skyloom.settings import kinds, layout
from skyloom.settings.config import load
from skyloom.settings.names import IMAGES, JOINT, LISTED, MODALITIES
from skyloom.surveys import desi_samples
from skyloom.surveys.common import packaged, web
from skyloom.surveys.common.wheels import PINNED

try:
    settings = load(config)
except SkyloomError as error:
    sys.exit(str(error))
notices.extend(settings.notices)


def one_of(names) -> str:
    """A wildcard constraint: one of these names (nothing at all when there are none)."""
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or "(?!)"


wildcard_constraints:
    survey=one_of(settings.surveys),
    model=one_of(settings.models),
    modality=one_of(MODALITIES),
    name=one_of([*MODALITIES, JOINT]),
    query=r"[A-Za-z0-9_]+",
    shard=r"\d{4}",
    group=r"\d+",
    hpix=r"\d+",
    program=one_of(mock_layout.TARGETS),


@functools.cache
def code(script: str, *data: str, modules: tuple[str, ...] = ()) -> str:
    """The hash of a script, the library code it uses, modules found by name, and the files it shows: a change of code
    reruns what depends on it."""
    folder = Path(workflow.basedir, "workflow")
    files = sorted(path for name in data for path in folder.glob(name))
    return code_hash(folder / "scripts" / f"{script}.py", *files, modules=modules, roots=settings.root.extensions)


def growing(first: int):
    """A resource function: megabytes or minutes, as many again with every attempt."""
    return lambda wildcards, attempt: first * attempt


# --- surveys


def of_kind(*kinds: str) -> str:
    """A wildcard constraint: the surveys whose raw files the rules of these kinds make."""
    return one_of(name for name, survey in settings.surveys.items() if survey.kind_name in kinds)


def with_files(role: str) -> str:
    """A wildcard constraint: the surveys that have raw files of a role."""
    return one_of(name for name, survey in settings.surveys.items() if survey.has(role))


def pinned(suffix: str) -> str:
    """A wildcard constraint: the pinned packages of one form."""
    return one_of(name for name, package in PINNED.items() if package.suffix == suffix)


def wheel_path(name: str) -> str:
    """Where a pinned wheel is put."""
    return f"results/downloads/{name}.whl"


def survey_settings(*keys: str):
    """A parameter function: the settings of the survey that a rule depends on, so that others do not rerun it."""
    return lambda wildcards: {
        key: value for key, value in settings.surveys[wildcards.survey].settings.plain().items() if key in keys
    }


def catalogue_settings(*keys: str):
    """The same, of a catalogue: not how its cross-match is done, only what it is."""

    def of_survey(wildcards) -> dict:
        survey = settings.surveys[wildcards.survey].settings
        found = survey_settings("crossmatch", *keys)(wildcards)
        how = survey.crossmatch.how()
        return {**found, "crossmatch": {key: v for key, v in found["crossmatch"].items() if key not in how}}

    return of_survey


MATCHING = ("skyloom.catalog.by_lsdb",)
"""What a catalogue with a cross-match loads by name."""


def matching_threads(wildcards) -> int:
    """Threads of a cross-match: those that LSDB may use, should it be wanted."""
    dask = settings.surveys[wildcards.survey].settings.crossmatch.dask
    return dask.workers if dask.where == "local" else 1


def environment_of_crossmatch(wildcards) -> str:
    """The conda environment of a job that matches catalogues, which may become LSDB's work."""
    above = settings.surveys[wildcards.survey].settings.crossmatch.lsdb_above
    return f"../../envs/{'survey' if above is None else 'hats'}.yaml"


def environment_of_population(wildcards) -> str:
    """The conda environment of a job that draws galaxies: one population needs packages of its own."""
    drawn = settings.surveys[wildcards.survey].settings.population
    return f"../../envs/{'diffsky' if drawn == 'diffsky' else 'survey'}.yaml"


def raw_settings(wildcards) -> dict:
    """The settings of the survey that its raw files depend on."""
    return survey_settings(*settings.surveys[wildcards.survey].kind.keys)(wildcards)


def fetched(paths: list[str], survey: str = "") -> list[str]:
    """Files that a job waits for: in place of those inside packages the packages, of URLs where they are put, of those
    that the workflow makes where they are in the survey's raw folder."""
    return list(dict.fromkeys(sample_files.place(path, survey) for path in paths))


@functools.cache
def urls() -> dict[str, str]:
    """Where files of the web are put -> their URLs, as the surveys name them."""
    return {web.place(url): url for survey in settings.surveys.values() for url in urls_of(survey)}


def urls_of(survey) -> list[str]:
    """The URLs of files that a survey names."""
    named = (*survey.samples.values(), survey.kind.tables(survey.settings))
    return list(dict.fromkeys(path for paths in named for path in paths if web.is_url(path)))


def raw(survey: str) -> dict[str, list[str]]:
    """The raw files of a survey by role; those of an archive once its catalogue was read, for which jobs wait."""
    if settings.surveys[survey].listed is None:
        told_by = checkpoints.list_partitions if settings.surveys[survey].kind.partitions else checkpoints.list_files
        told_by.get(survey=survey)
    return all_raw(survey)


@functools.cache
def all_raw(survey: str) -> dict[str, list[str]]:
    """See `raw`, which asks for it when all are known."""
    return layout.raw(survey, settings)


def raw_first(role: str):
    """An input function: raw files of a role that no catalogue has to tell."""
    return lambda wildcards: layout.raw(wildcards.survey, settings)[role]


@functools.cache
def numbered(survey: str, role: str) -> list[str]:
    """The raw files of a role in the order in which the catalogue numbers them."""
    return sorted_paths(raw(survey)[role])


def raw_files(role: str):
    """An input function: the raw files of one role of the survey."""
    return lambda wildcards: raw(wildcards.survey)[role] if may_have(wildcards, role) else []


def may_have(wildcards, role: str) -> bool:
    """Whether a survey has files of a role, known or not yet."""
    return settings.surveys[wildcards.survey].has(role)


def fits_without_catalogue(wildcards) -> list[str]:
    """The redshift fits of a survey that has no catalogue made of them."""
    return [] if may_have(wildcards, "zcatalog") else raw(wildcards.survey)["redrock"]


def raw_of_shard(role: str):
    """An input function: the raw files that the galaxies of a shard are in (a galaxy's shard is that of its file)."""

    def of_shard(wildcards) -> list[str]:
        count = settings.surveys[wildcards.survey].settings.shards
        return numbered(wildcards.survey, role)[int(wildcards.shard) :: count]

    return of_shard


def manifests(wildcards) -> list[str]:
    """The manifests of the roles that have one of their own."""
    return [path for role in LISTED for path in manifest_if_any(role)(wildcards)]


def raw_not_listed(wildcards) -> list[str]:
    """The raw files of the other roles."""
    gone = files_that_go(wildcards.survey)
    return [path for role, paths in raw(wildcards.survey).items() if role not in (*LISTED, *gone) for path in paths]


def manifest_if_any(role: str):
    """An input function: the manifest of one role, if the survey has such files."""
    return lambda wildcards: (
        [layout.manifest(wildcards.survey, role)]
        if may_have(wildcards, role) and role not in files_that_go(wildcards.survey)
        else []
    )


def hsc_images(wildcards) -> list[str]:
    """The HSC images of the survey, which must have the size of the wildcard."""
    survey, size = settings.surveys[wildcards.survey], int(wildcards.size)
    found = getattr(survey.settings, "hsc_size", size)
    if found != size:
        text = f"surveys.{wildcards.survey}.hsc_size: {found}, expected {size} for pairs of {size} pixels"
        raise WorkflowError(f"config: {text}")
    return raw(wildcards.survey)["hsc"]


def tile_outputs(hsc_size: int | None = None) -> dict[str, str]:
    """The files of a tile by role, as patterns."""
    names = mock_layout.tile_names("{program}", "{hpix}", "{group}", hsc_size)
    return {role: f"results/{{survey}}/raw/{name}" for role, name in names.items()}


def with_hsc(size: int | None) -> str:
    """A wildcard constraint: the mock surveys whose HSC images have this size (None: without HSC)."""
    mocks = {name: survey for name, survey in settings.surveys.items() if survey.kind_name == "mock"}
    return one_of(name for name, survey in mocks.items() if mock_layout.hsc_size(survey.settings.plain()) == size)


# --- tokens


def shards(modality: str | None = None):
    """An input function: the token shards of one modality of the survey (of the wildcard's modality unless given)."""
    return lambda wildcards: layout.shards(wildcards.survey, modality or wildcards.modality, settings)


def shards_of(wildcards, number: str) -> list[str]:
    """One token shard of each modality that an embedding or a prediction is made from."""
    model, have = settings.models[wildcards.model], settings.surveys[wildcards.survey].settings.modalities
    name = wildcards.get("name", JOINT)
    taken = model.takes if name == JOINT else [name]
    return [f"{layout.tokens(wildcards.survey, modality)}/shard-{number}.h5" for modality in taken if modality in have]


def tokens_of_shard(wildcards) -> list[str]:
    """One token shard of each modality of the model, that of the wildcard."""
    return shards_of(wildcards, wildcards.shard)


def by_shard(pattern: str):
    """An input function: a file for every shard of the survey."""
    return lambda wildcards: layout.by_shard(
        pattern.format(**{**dict(wildcards.items()), "shard": "{shard}"}), wildcards.survey, settings
    )
