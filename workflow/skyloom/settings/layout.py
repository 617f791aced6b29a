"""The names of all results: the one place that knows which file is called what.

Pure functions of the configuration, cheap enough for the Snakefile to call while it builds the DAG. ``{survey}`` is a
key of ``config["surveys"]``, ``{model}`` a key of ``config["models"]``.
"""

from skyloom.settings import registry

RESULTS = "results"
MODALITIES = {"spectrum": "coadd", "image": "images", "hsc_image": "hsc"} | dict.fromkeys(
    ("scalars", "lsst", "spherex", "sfh", "sed"), "simulated"
)
"""What a survey can hold of a galaxy, and the role of the raw files it is in: each modality has token shards,
`results/{survey}/tokens/{modality}`, of its own."""


def survey_folder(survey: str) -> str:
    """``results/{survey}``."""
    return f"{RESULTS}/{survey}"


def raw(survey: str, config: dict) -> dict[str, list[str]]:
    """The raw files of a survey by role: those of `skyloom.settings.registry.ROLES`."""
    files = registry.raw_files(survey, config["surveys"][survey])
    return {role: [f"{survey_folder(survey)}/raw/{name}" for name in names] for role, names in files.items()}


def possible_modalities(survey: str, config: dict) -> list[str]:
    """The modalities that a survey of this kind has raw files for, whether it asks for them or not."""
    files = registry.raw_files(survey, config["surveys"][survey] | {"modalities": list(MODALITIES)})
    return [modality for modality, role in MODALITIES.items() if files[role]]


def shards(survey: str, modality: str, config: dict) -> list[str]:
    """The token shards of one modality of a survey."""
    count = config["surveys"][survey]["shards"]
    return [f"{survey_folder(survey)}/tokens/{modality}/shard-{number:04d}.h5" for number in range(count)]


def quarantines(survey: str, modality: str, config: dict) -> list[str]:
    """The lists of what tokenization put aside, one a shard."""
    count = config["surveys"][survey]["shards"]
    return [f"{survey_folder(survey)}/tokens/{modality}/quarantine-{number:04d}.csv" for number in range(count)]


def all_statistics(config: dict) -> list[str]:
    """The statistics of every modality of every survey: with them, all tokens."""
    return [
        f"{survey_folder(survey)}/tokens/{modality}/statistics.json"
        for survey, entry in config["surveys"].items()
        for modality in entry["modalities"]
    ]


def mock_surveys(config: dict) -> list[str]:
    """The surveys of kind mock."""
    return [survey for survey, entry in config["surveys"].items() if entry["kind"] == "mock"]


def trained_on(survey: str, config: dict) -> str:
    """The survey whose models embed this one: itself, unless it names another with ``models_from``."""
    return config["surveys"][survey].get("models_from", survey)


def model_folder(survey: str, model: str, config: dict) -> str:
    """The folder of a model that embeds `survey`."""
    return f"{survey_folder(trained_on(survey, config))}/models/{model}"


def modalities(model: str, config: dict) -> list[str]:
    """What a model can embed: its own modality, or that of every backbone it aligns."""
    entry = config["models"][model]
    return [entry["modality"]] if "modality" in entry else sorted(entry["backbones"])


def embeddings(survey: str, config: dict) -> dict[str, str]:
    """Every embedding table of a survey: ``{"specformer-spectrum": path, ...}`` in the order of the configuration."""
    entry = config["surveys"][survey]
    return {
        f"{model}-{modality}": f"{survey_folder(survey)}/embeddings/{model}-{modality}.parquet"
        for model in entry["models"]
        for modality in modalities(model, config)
        if modality in entry["modalities"]
    }


def models_of_stage(stage: str, config: dict) -> list[str]:
    """Model names by the rule that trains them: ``pretrain`` (one modality) or ``align`` (built on backbones)."""
    return [name for name, entry in config["models"].items() if ("backbones" in entry) == (stage == "align")]


def report_files(survey: str, config: dict) -> dict[str, dict[str, list[str]] | list[str]]:
    """What the report of a survey shows: tables and figures by name, and the cards of its models.

    Surveys that are embedded with its models (``models_from``) appear with their redshifts.
    """
    folder, entry = survey_folder(survey), config["surveys"][survey]
    guests = [name for name in config["surveys"] if name != survey and trained_on(name, config) == survey]
    figures = {name: f"{folder}/analysis/{name}.png" for name in FIGURES}
    if guests:  # the tables of all are shown, the spectra of the first
        figures["redshift"] = f"{survey_folder(guests[0])}/analysis/redshift.png"
    embedding = [model for model in entry["models"] if set(modalities(model, config)) & set(entry["modalities"])]
    models = {model: model_folder(survey, model, config) for model in embedding}
    trained = [
        model
        for model in models
        if config["models"][model].get("training", {}).get("steps", 1) and config["models"][model]["kind"] != "pca"
    ]
    figures |= {f"loss-{model}": f"{models[model]}/loss.png" for model in trained}
    return {
        "tables": {
            "flow": [f"{survey_folder(name)}/catalog/cuts.csv" for name in (survey, *guests)],
            "splits": [f"{folder}/catalog/splits.parquet"],
            "quarantine": [f"{folder}/tokens/{modality}/quarantine.csv" for modality in entry["modalities"]],
            "regression": [f"{folder}/analysis/regression.csv"],
            "retrieval": [f"{folder}/analysis/retrieval.csv"],
            "clusters": [f"{folder}/analysis/clusters.csv"],
            "redshift": [f"{survey_folder(name)}/analysis/redshift.csv" for name in guests],
            "published": ["resources/published.csv"],
            "manifest": [f"{folder}/raw/manifest.csv"],
        },
        "figures": figures,
        "cards": [f"{path}/model.json" for path in models.values()],
    }


FIGURES = (
    "catalog",
    "examples",
    "regression",
    "regression-predictions",
    "retrieval",
    "retrieval-recall",
    "umap",
    "kmeans",
    "hdbscan",
)
