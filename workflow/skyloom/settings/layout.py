"""The names of all results: the one place that knows which file is called what.

Pure functions of the configuration, cheap enough for the Snakefile to call while it builds the DAG. ``{survey}`` is a
key of ``config["surveys"]``, ``{model}`` a key of ``config["models"]``, ``{analysis}`` one of ``config["analyses"]``.
"""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skyloom.settings.config import Analysis, Config

RESULTS = "results"
PUBLISHED = "resources/published.csv"
"""Published numbers that analyses set beside ours: those of papers of which a few are quoted."""
PUBLISHED_TABLES = ("resources/published/benchmark_2026.csv", "resources/published/astroclip_2024.csv")
"""Tables of papers, complete."""
PUBLISHED_ALL = (PUBLISHED, *PUBLISHED_TABLES, "resources/published/papers.csv")
"""All of it: each number is in one of these, and papers.csv says which papers the tables are of."""
VECTOR = "_vector"
"""What follows the role of a figure in that of its other form."""
_PAIRS = re.compile(rf"{RESULTS}/([^/]+)/catalog/DESI_HSC_(\d+)x\2\.hdf5")


def survey_folder(survey: str) -> str:
    """``results/{survey}``."""
    return f"{RESULTS}/{survey}"


def raw(survey: str, config: "Config") -> dict[str, list[str]]:
    """The raw files of a survey by role: those of `skyloom.settings.names.ROLES`."""
    folder = survey_folder(survey)
    return {role: [f"{folder}/raw/{name}" for name in names] for role, names in config.surveys[survey].raw.items()}


def manifest(survey: str, role: str) -> str:
    """Name, size and sha256 of the raw files of a role."""
    return f"{survey_folder(survey)}/raw/manifest-{role}.csv"


def listing(survey: str) -> str:
    """The raw files of an archive's survey that its catalogue tells (`skyloom.settings.listing`)."""
    return f"{survey_folder(survey)}/raw/files.json"


def galaxies(survey: str) -> str:
    """The catalogue, one row a galaxy."""
    return f"{survey_folder(survey)}/catalog/galaxies.parquet"


def splits(survey: str) -> str:
    """Train, validation and test."""
    return f"{survey_folder(survey)}/catalog/splits.parquet"


def pairs(survey: str, size: int | str) -> str:
    """The galaxies of a survey with spectra and HSC images, of so many pixels, as GalaxiesML-Spectra is published."""
    return f"{survey_folder(survey)}/catalog/DESI_HSC_{size}x{size}.hdf5"


def of_pairs(path: str) -> tuple[str, int] | None:
    """The survey and the pixels of a path that `pairs` gives; None for any other."""
    found = _PAIRS.fullmatch(path)
    return (found[1], int(found[2])) if found else None


def cuts(survey: str, config: "Config") -> list[str]:
    """The flow table of a survey with cuts: none of one that is simulated whole."""
    cut = config.surveys[survey].samples or any(map(config.surveys[survey].has, ("coadd", "spectra")))
    return [f"{survey_folder(survey)}/catalog/cuts.csv"] if cut else []


def tokens(survey: str, modality: str) -> str:
    """The folder of a modality's tokens."""
    return f"{survey_folder(survey)}/tokens/{modality}"


def by_shard(pattern: str, survey: str, config: "Config") -> list[str]:
    """`pattern` for every shard of a survey."""
    return [pattern.format(shard=f"{number:04d}") for number in range(config.surveys[survey].settings.shards)]


def shards(survey: str, modality: str, config: "Config") -> list[str]:
    """The token shards of one modality of a survey."""
    return by_shard(tokens(survey, modality) + "/shard-{shard}.h5", survey, config)


def all_statistics(config: "Config") -> list[str]:
    """The statistics of every modality of every survey: with them, all tokens."""
    return [
        f"{tokens(name, modality)}/statistics.json"
        for name, survey in config.surveys.items()
        for modality in survey.settings.modalities
    ]


def model_folder(survey: str, model: str, config: "Config") -> str:
    """The folder of a model that embeds `survey`."""
    return f"{survey_folder(config.surveys[survey].host(model))}/models/{model}"


def embedding(survey: str, model: str, name: str) -> str:
    """An embedding table; `name` is a modality or ``joint``."""
    return f"{survey_folder(survey)}/embeddings/{model}-{name}.parquet"


def prediction(survey: str, model: str, query: str) -> str:
    """What a model says when asked: values, or a reconstruction, by targetid."""
    return f"{survey_folder(survey)}/predictions/{model}-{query}.parquet"


def embeddings(survey: str, config: "Config") -> dict[str, str]:
    """Every embedding table of a survey: ``{"specformer-spectrum": path, ...}`` in the order of the configuration."""
    return {
        f"{model.name}-{name}": embedding(survey, model.name, name)
        for model in config.models_of(survey)
        for name in config.embeddings_of(model, survey)
    }


def hats(survey: str, config: "Config") -> list[str]:
    """Catalogue and embeddings as HATS: the file of each collection that is written last."""
    names = ["galaxies", *embeddings(survey, config)]
    return [f"{survey_folder(survey)}/hats/{name}/collection.properties" for name in names]


def shared_tables(survey: str) -> list[str]:
    """Catalogue and embeddings in one table, as VOTable and as Parquet."""
    return [f"{survey_folder(survey)}/share/galaxies.{form}" for form in ("vot", "parquet")]


def search(survey: str, config: "Config") -> list[str]:
    """The index of every table of embeddings, one file each; how many of the true neighbours it finds is beside it, in
    ``{model}-{name}.json``."""
    return [f"{survey_folder(survey)}/search/{name}.usearch" for name in embeddings(survey, config)]


def atlas(survey: str, config: "Config") -> list[str]:
    """Every table of embeddings as embedding-atlas opens it."""
    return [f"{survey_folder(survey)}/share/{name}.atlas.parquet" for name in embeddings(survey, config)]


def lance(survey: str, config: "Config") -> list[str]:
    """Every table of embeddings as results of hyrax: the manifest in each folder, which is written last."""
    return [f"{survey_folder(survey)}/lance/{name}/manifest.csv" for name in embeddings(survey, config)]


def page(survey: str) -> str:
    """The page to explore a survey in, in a folder of its own."""
    return f"{survey_folder(survey)}/explore/index.html"


def predictions(survey: str, config: "Config") -> list[str]:
    """Every table of predictions of a survey."""
    models = config.models_of(survey)
    return [prediction(survey, model.name, query) for model in models for query in config.queries_of(model, survey)]


def outputs(analysis: "Analysis", survey: str) -> dict[str, str]:
    """The files an analysis makes, by role.

    An entry that is not called as its kind has its own name in theirs: ``regression.png`` of an entry `published` is
    ``published.png``, and a file that does not begin with the kind gets the name in front. A figure that is wanted in
    another form too has it beside the PNG, of the role ``{role}_vector``.
    """
    folder = f"{survey_folder(survey)}/{analysis.kind.folder}"
    found = {role: f"{folder}/{_own(name, analysis)}" for role, name in analysis.kind.outputs.items()}
    if analysis.vector:
        figures = {role: path for role, path in found.items() if path.endswith(".png")}
        found |= {f"{role}{VECTOR}": f"{path.removesuffix('png')}{analysis.vector}" for role, path in figures.items()}
    return found


def _own(name: str, analysis: "Analysis") -> str:
    kind = analysis.kind_name.rpartition(".")[2]
    if analysis.name == analysis.kind_name:
        return name
    return analysis.name + name.removeprefix(kind) if name.startswith(kind) else f"{analysis.name}-{name}"


def report_files(survey: str, config: "Config") -> dict[str, list[str]]:
    """What the report of a survey shows, by role: its own results, and those of surveys embedded with its models."""
    folder, entry = survey_folder(survey), config.surveys[survey].settings
    models = config.models_of(survey)
    shown = config.shown(survey)
    made = [
        path
        for name in shown
        for analysis in config.analyses_of(name)
        if analysis.kind.default
        for path in outputs(analysis, name).values()
    ]
    return {
        "flow": [path for name in shown for path in cuts(name, config)],
        "splits": [splits(survey)],
        "shared": [f"{folder}/catalog/shared_sky.json"],
        "quarantine": [f"{folder}/tokens/{modality}/quarantine.csv" for modality in entry.modalities],
        "statistics": [f"{folder}/tokens/{modality}/statistics.json" for modality in entry.modalities],
        "analyses": made,
        "predictions": predictions(survey, config),
        "published": list(PUBLISHED_ALL),
        "manifest": [f"{folder}/raw/manifest.csv"],
        "cards": [f"{model_folder(survey, model.name, config)}/model.json" for model in models],
        "losses": [f"{model_folder(survey, model.name, config)}/loss.png" for model in models if model.learns],
    }
