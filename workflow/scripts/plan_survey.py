"""What would be fetched of a survey. In: the list of its files, if it has one. Out: a table; words for the terminal."""

from skyloom.core.job import job, progress

with job(snakemake):
    import os

    from skyloom.settings import layout
    from skyloom.settings.config import load
    from skyloom.surveys.common.plan import plan

    name = snakemake.wildcards.survey
    survey = load(snakemake.config).surveys[name]
    folder = f"{layout.survey_folder(name)}/raw"
    os.makedirs(folder, exist_ok=True)
    plan(survey, folder, snakemake.output.plan, lambda line: progress(line, every=0))
