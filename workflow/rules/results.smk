"""What the rules of analyses, reports and archives of results share: what they take and make."""


def analysis_rule(analysis) -> str:
    """The name of an analysis' rule: that of its kind, with its own name where it has one."""
    kind = analysis.kind.rule
    return kind if analysis.name == analysis.kind_name else f"{kind}_{re.sub(r'[^A-Za-z0-9_]', '_', analysis.name)}"


def analysed(analysis) -> str:
    """A wildcard constraint: the surveys that have what an analysis takes."""
    return one_of(survey for name, survey in settings.made if name == analysis.name)


def analysis_inputs(analysis):
    """An input function: what an analysis takes, by role."""
    return lambda wildcards: settings.made[analysis.name, wildcards.survey]


def analysis_outputs(analysis) -> dict:
    """What an analysis makes, by role; what has a caption stands in Snakemake's own report."""
    declared, made = analysis.kind.outputs, layout.outputs(analysis, "{survey}")
    return {
        role: (
            shown(path, caption)
            if (caption := captions.caption_file(analysis.kind_name, declared.get(role, "")))
            else path
        )
        for role, path in made.items()
    }


def shown(path: str, caption: str):
    """An output in Snakemake's report, under its survey and its name."""
    words = Path(path).stem.replace("-", " ") + (" table" if path.endswith(".csv") else "")
    return snakemake.io.report(path, caption=caption, category="{survey}", labels={"figure": words})


def analysis_code(analysis) -> str:
    """The hash of an analysis' code: its module and what it reads besides."""
    own = kinds.module_name("analysis", analysis.kind_name)
    return code("analyse", *analysis.kind.data, modules=(own,))


def made_when_asked(kind: str) -> list[str]:
    """The results of all analyses of a kind for every survey that has what they take, shown in a report or not."""
    made = [(settings.analyses[name], survey) for name, survey in settings.made]
    return [path for a, survey in made if a.kind_name == kind for path in layout.outputs(a, survey).values()]


def nothing_of_kind(kind: str):
    """An input function that says, when it is asked, that the configuration has no analysis of a kind."""

    def refuse(wildcards):
        text = f"no analysis of kind {kind} is made for any survey; add `--configfile resources/presets/{kind}.yaml`"
        raise WorkflowError(f"config: analyses: {text}, or an entry of yours")

    return refuse


def beside_the_page(kind: str) -> list[str]:
    """All analyses of every survey of which a kind of page is made."""
    surveys = dict.fromkeys(survey for name, survey in settings.made if settings.analyses[name].kind_name == kind)
    made = [(analysis, survey) for survey in surveys for analysis in settings.analyses_of(survey)]
    return [path for a, survey in made if a.kind.default for path in layout.outputs(a, survey).values()]


def embeddings_of_survey(wildcards) -> list[str]:
    """Every table of embeddings of a survey."""
    return list(layout.embeddings(wildcards.survey, settings).values())


def results_of(survey: str) -> list[str]:
    """All that a survey with a report has, so that a file that was deleted is made again."""
    shown = settings.shown(survey)
    tables = [path for name in shown for path in layout.embeddings(name, settings).values()]
    files = layout.report_files(survey, settings)
    return [*tables, *files["analyses"], *files["cards"], *files["predictions"]]


def report_inputs(wildcards) -> dict[str, list[str]]:
    """All that the report of a survey shows."""
    return layout.report_files(wildcards.survey, settings)


def report_made(wildcards) -> dict[str, list[str]]:
    """Of that, what rules make."""
    return {role: files for role, files in report_inputs(wildcards).items() if role != "published"}


def surveys_behind(survey: str) -> list[str]:
    """The surveys that the report of a survey shows, and those whose models they use or their models start from."""
    found = list(settings.shown(survey))
    for name in found:  # it grows
        found += [host for host in settings.hosts(name) if host not in found]
    return found


def terms_of_surveys(wildcards) -> dict[str, dict]:
    """Licence and citations of every survey behind a report; without a licence nothing can be archived."""
    terms = {name: settings.surveys[name].terms for name in surveys_behind(wildcards.survey)}
    for name, stated in terms.items():
        if not stated["licence"]:
            text = "the key is missing; an archive wants the licence of the data, as CC-BY-4.0 or as an address"
            raise WorkflowError(f"config: surveys.{name}.licence: {text}")
    return terms


def crate_inputs(wildcards) -> dict[str, list[str]]:
    """All that an archive of a survey's results holds."""
    terms_of_surveys(wildcards)  # before the first job
    names = surveys_behind(wildcards.survey)
    folders = {layout.model_folder(name, model.name, settings) for name in names for model in settings.models_of(name)}
    files = ("model.safetensors", "model.json", "metrics.jsonl")
    return {
        "shown": [path for paths in report_inputs(wildcards).values() for path in paths],
        "results": results_of(wildcards.survey),
        "models": [f"{folder}/{file}" for folder in sorted(folders) for file in files],
        "catalogues": [layout.galaxies(name) for name in names],
    }


report_modules = tuple(kinds.module_name("analysis", analysis.kind_name) for analysis in settings.analyses.values())


def of_analyses(survey: str, kind: str, role: str) -> list[str]:
    """The files of a role that the analyses of a kind make of a survey."""
    made = [settings.analyses[name] for name, other in settings.made if other == survey]
    return [layout.outputs(analysis, survey)[role] for analysis in made if analysis.kind_name == kind]


def page_inputs(wildcards) -> dict:
    """What the page of a survey shows, by role."""
    survey = wildcards.survey
    modalities = settings.surveys[survey].settings.modalities
    return {
        "galaxies": layout.galaxies(survey),
        "splits": layout.splits(survey),
        "embeddings": embeddings_of_survey(wildcards),
        "tokens": [path for name in modalities for path in layout.shards(survey, name, settings)],
        "predictions": layout.predictions(survey, settings),
        "maps": of_analyses(survey, "umap", "table"),
        "anomalies": of_analyses(survey, "anomalies", "galaxies"),
    }


def map_of_survey(wildcards) -> list[str]:
    """The table of the first map of a survey's embeddings, if the configuration has one."""
    return of_analyses(wildcards.survey, "umap", "table")[:1]


def pictures_of_survey(wildcards) -> list[str]:
    """The token shards of the first kind of images of a survey, if it has any."""
    have = [name for name in settings.surveys[wildcards.survey].settings.modalities if name in IMAGES]
    return [path for name in have[:1] for path in layout.shards(wildcards.survey, name, settings)]
