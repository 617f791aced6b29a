"""What the rules share: the checked configuration, inputs that depend on it, and the hash of each rule's code."""

from pathlib import Path

from snakemake.exceptions import WorkflowError

from skyloom.analysis import mock_validation
from skyloom.core.code import code_hash
from skyloom.core.errors import SkyloomError
from skyloom.mock import layout as mock_layout
from skyloom.settings import layout
from skyloom.settings.config import validate
from skyloom.surveys import desi_samples
from skyloom.surveys import simulated as simulated_survey

try:
    validate(config)
except SkyloomError as error:
    sys.exit(str(error))


wildcard_constraints:
    survey="|".join(config["surveys"]),
    model="|".join(config["models"]),
    modality="|".join(layout.MODALITIES),
    shard=r"\d{4}",
    group=r"\d+",
    hpix=r"\d+",
    program="|".join(mock_layout.TARGETS),


def code(script: str, *data: str) -> str:
    """The hash of a script, the library code it uses and the files it shows: a change of code reruns what depends on it."""
    folder = Path(workflow.basedir, "workflow")
    return code_hash(folder / "scripts" / f"{script}.py", *sorted(path for name in data for path in folder.glob(name)))


def one_of(names: list[str]) -> str:
    """A wildcard constraint: one of these names (nothing at all when there are none)."""
    return "|".join(names) or "(?!)"


def of_kind(kind: str) -> str:
    """A wildcard constraint: the surveys of one kind."""
    return one_of([name for name, survey in config["surveys"].items() if survey["kind"] == kind])


def with_files(role: str) -> str:
    """A wildcard constraint: the surveys that have raw files of a role."""
    return one_of([name for name in config["surveys"] if layout.raw(name, config)[role]])


def stage(name: str) -> str:
    """A wildcard constraint: the models that the rule of this name trains."""
    return one_of(layout.models_of_stage(name, config))


def wheel_path(name: str) -> str:
    """Where a pinned wheel is put."""
    return f"results/downloads/{name}.whl"


def survey_settings(*keys: str):
    """A parameter function: the settings of the survey that a rule depends on, so that others do not rerun it."""
    return lambda wildcards: {key: value for key, value in config["surveys"][wildcards.survey].items() if key in keys}


def model_config(wildcards) -> dict:
    """The configuration of the model."""
    return config["models"][wildcards.model]


def raw_files(role: str):
    """An input function: the raw files of one role of the survey."""
    return lambda wildcards: layout.raw(wildcards.survey, config).get(role, [])


def hsc_images(wildcards) -> list[str]:
    """The HSC images of the survey, which must have the size of the wildcard."""
    entry, size = config["surveys"][wildcards.survey], int(wildcards.size)
    if entry["kind"] == "mock" and (found := mock_layout.hsc_size(entry)) != size:
        raise WorkflowError(
            f"config: surveys.{wildcards.survey}.hsc_size: {found}, expected {size} for pairs of {size} pixels"
        )
    return layout.raw(wildcards.survey, config)["hsc"]


def all_raw_files(wildcards) -> list[str]:
    """All raw files of the survey."""
    return [path for paths in layout.raw(wildcards.survey, config).values() for path in paths]


def shards(modality: str | None = None):
    """An input function: the token shards of one modality of the survey (of the wildcard's modality unless given)."""
    return lambda wildcards: layout.shards(wildcards.survey, modality or wildcards.modality, config)


def shards_if_any(modality: str):
    """An input function: the token shards of a modality, none if it is not among the survey's."""
    return lambda wildcards: (
        layout.shards(wildcards.survey, modality, config)
        if modality in config["surveys"][wildcards.survey]["modalities"]
        else []
    )


def quarantines(wildcards) -> list[str]:
    """The lists of what tokenization put aside, one a shard."""
    return layout.quarantines(wildcards.survey, wildcards.modality, config)


def model_shards(wildcards) -> list[str]:
    """The token shards that a model of one modality learns from."""
    return layout.shards(wildcards.survey, model_config(wildcards)["modality"], config)


def model_file(name: str):
    """An input function: a file of the model that embeds the survey."""
    return lambda wildcards: f"{layout.model_folder(wildcards.survey, wildcards.model, config)}/{name}"


def backbones(name: str):
    """An input function: a file of each encoder that a model aligns, in the order of the modalities."""
    return lambda wildcards: [
        f"{layout.model_folder(wildcards.survey, backbone, config)}/{name}"
        for _, backbone in sorted(model_config(wildcards)["backbones"].items())
    ]


def embeddings(wildcards) -> list[str]:
    """All embedding tables of the survey."""
    return list(layout.embeddings(wildcards.survey, config).values())


def redshift_file(kind: str):
    """An input function of the redshift estimate: its own embedding, or the embedding or catalogue it is compared with."""
    name = f"{config['analyses']['redshift']['model']}-spectrum"
    return lambda wildcards: {
        "own": f"results/{wildcards.survey}/embeddings/{name}.parquet",
        "reference": f"results/{layout.trained_on(wildcards.survey, config)}/embeddings/{name}.parquet",
        "galaxies": f"results/{layout.trained_on(wildcards.survey, config)}/catalog/galaxies.parquet",
    }[kind]


def astroclip_embeddings() -> list[str]:
    """Embeddings of every survey by models that align two modalities."""
    return [
        path
        for survey in config["surveys"]
        for name, path in layout.embeddings(survey, config).items()
        if name.rsplit("-", 1)[0] in layout.models_of_stage("align", config)
    ]


def report_inputs(wildcards) -> dict[str, list[str]]:
    """All that the report of a survey shows: its own results, and those of surveys embedded with its models."""
    shown = layout.report_files(wildcards.survey, config)
    return {**shown["tables"], "figures": list(shown["figures"].values()), "cards": shown["cards"]}


def report_names(role: str):
    """A parameter function: the names of the tables or figures of the report."""
    return lambda wildcards: list(layout.report_files(wildcards.survey, config)[role])


def tile_outputs(hsc_size: int | None = None) -> dict[str, str]:
    """The files of a tile by role, as patterns."""
    names = mock_layout.tile_names("{program}", "{hpix}", "{group}", hsc_size)
    return {role: f"results/{{survey}}/raw/{name}" for role, name in names.items()}


def with_hsc(size: int | None) -> str:
    """A wildcard constraint: the mock surveys whose HSC images have this size (None: without HSC)."""
    mocks = {name: survey for name, survey in config["surveys"].items() if survey["kind"] == "mock"}
    return one_of([name for name, survey in mocks.items() if mock_layout.hsc_size(survey) == size])


def real_coadds(wildcards) -> list[str]:
    """The real DESI coadds that every installation has, if a survey of theirs is configured."""
    return [
        path
        for name, survey in config["surveys"].items()
        if survey["kind"] == "desi_samples"
        for path in layout.raw(name, config)["coadd"]
    ]
