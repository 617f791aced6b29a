"""What would be fetched of a survey. In: the list of its files. Out: a table, and words for the terminal."""

from skyloom.core.job import job, progress

with job(snakemake):
    from skyloom.settings import layout
    from skyloom.settings.config import load
    from skyloom.surveys.plan import plan

    name = snakemake.wildcards.survey
    survey = load(snakemake.config).surveys[name]
    plan(
        name,
        survey.settings.plain(),
        {role: files for role, files in survey.raw.items() if role != "derived"},
        survey.listed,
        f"{layout.survey_folder(name)}/raw",
        survey.kind,
        snakemake.output.plan,
        lambda line: progress(line, every=0),
    )
