"""What the rules of models share: which rule makes a model, what it learns from, what it asks for."""


def trained_by(rule: str) -> str:
    """A wildcard constraint: the models made by `align`, which are built on others, `read_weights`, which others have
    trained, `pretrain` or, without GPU, `fit`."""

    def chosen(model) -> str:
        if model.backbones or model.weights:
            return "align" if model.backbones else "read_weights"
        return "pretrain" if model.learns else "fit"

    return one_of(name for name, model in settings.models.items() if chosen(model) == rule)


def that_train(yes: bool) -> str:
    """A wildcard constraint: the models that are trained, for which a GPU is asked, or baselines and networks left untrained."""
    return one_of(name for name, model in settings.models.items() if bool(model.trained) == yes)


def model_settings(wildcards) -> dict:
    """What a model is, and its name."""
    return {"name": wildcards.model, **settings.models[wildcards.model].plain()}


def what_is_asked(wildcards) -> dict | None:
    """A query of the user's own, of a model that answers such."""
    query = settings.models[wildcards.model].asked.get(wildcards.query)
    return query and query.plain()


def model_modules(wildcards) -> tuple[str, ...]:
    """The modules of a model and of those it is built on: where the hash of its code starts."""
    model = settings.models[wildcards.model]
    parts = [model, *(settings.models[name] for name in model.backbones.values())]
    return tuple(dict.fromkeys(kinds.module_name("model", part.kind_name) for part in parts))


def model_code(script: str):
    """A parameter function: the hash of a script and of the model's own code."""
    return lambda wildcards: code(script, modules=model_modules(wildcards))


def model_tokens(wildcards) -> list[str]:
    """The token shards that a model learns from, of all its modalities."""
    have = settings.surveys[wildcards.survey].settings.modalities
    taken = [modality for modality in settings.models[wildcards.model].takes if modality in have]
    return [path for modality in taken for path in layout.shards(wildcards.survey, modality, settings)]


def model_statistics(wildcards) -> list[str]:
    """The statistics of the modalities that a model takes."""
    have = settings.surveys[wildcards.survey].settings.modalities
    taken = [modality for modality in settings.models[wildcards.model].takes if modality in have]
    return [f"{layout.tokens(wildcards.survey, modality)}/statistics.json" for modality in taken]


def model_labels(wildcards) -> str:
    """The table whose columns a model learns from: the catalogue, or one of the user's."""
    model = settings.models[wildcards.model]
    return model.kind.label_table(model.settings) or layout.galaxies(wildcards.survey)


def model_file(name: str):
    """An input function: a file of the model that embeds the survey."""
    return lambda wildcards: f"{layout.model_folder(wildcards.survey, wildcards.model, settings)}/{name}"


def backbones(name: str):
    """An input function: a file of each encoder that a model is built on, in the order of the modalities."""
    return lambda wildcards: [
        f"{layout.model_folder(wildcards.survey, backbone, settings)}/{name}"
        for _, backbone in sorted(settings.models[wildcards.model].backbones.items())
    ]


def published_weights(wildcards) -> list[str]:
    """The files with the weights of a model that others have trained, where they are."""
    return fetched(list(settings.models[wildcards.model].weights.values()))


def model_start(wildcards) -> list[str]:
    """Weights and card of the trained model that a model starts from, if any."""
    start = settings.models[wildcards.model].starts_from
    if start is None:
        return []
    folder = layout.model_folder(start.survey or wildcards.survey, start.model, settings)
    return [f"{folder}/model.safetensors", f"{folder}/model.json"]


def gpus(wildcards) -> int:
    """GPUs that a model asks for: none if it is fitted, or left as it starts."""
    return int(settings.models[wildcards.model].learns)


def training_minutes(wildcards, attempt) -> int:
    """How long a training may take: a day at first, since longer jobs wait for ever where a partition lets none in."""
    return (1440 if settings.models[wildcards.model].learns else 120) * attempt


def answers_to_queries(kind: str) -> list[str]:
    """The answers to the user's own queries by models of a kind, of every survey."""
    return [
        layout.prediction(survey, model.name, query)
        for survey in settings.surveys
        for model in settings.models_of(survey)
        for query in settings.queries_of(model, survey)
        if query in model.asked and model.kind_name == kind
    ]


def embeddings_by(*, aligned: bool) -> list[str]:
    """Embeddings of every survey by models that are built on others, or by the rest."""
    return [
        layout.embedding(survey, model.name, name)
        for survey in settings.surveys
        for model in settings.models_of(survey)
        for name in settings.embeddings_of(model, survey)
        if bool(model.backbones) == aligned
    ]


def embeddings_of(kind: str, fits) -> list[str]:
    """Embeddings of every survey by models of a kind whose settings fit."""
    return [
        layout.embedding(survey, model.name, name)
        for survey in settings.surveys
        for model in settings.models_of(survey)
        if model.kind_name == kind and fits(model.settings)
        for name in settings.embeddings_of(model, survey)
    ]


def lacks_model(preset: str):
    """An input function that says, when it is asked, that the configuration has no such model."""

    def refuse(wildcards):
        raise WorkflowError(
            f"config: models: there is none like it; add `--configfile resources/presets/{preset}.yaml`"
        )

    return refuse
