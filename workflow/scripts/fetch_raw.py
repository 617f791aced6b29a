"""One raw file of a survey. In: its settings. Out: the file."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.settings import kinds
    from skyloom.settings.config import load

    given = snakemake.params
    survey = load(snakemake.config).surveys[snakemake.wildcards.survey]
    # where files come from is no parameter: another address would make all of them again
    access = {key: survey.settings.plain()[key] for key in survey.kind.access}
    fetch = kinds.load(survey.kind.fetch)
    fetch({**given.survey, **access}, given.seed, snakemake.wildcards.file, snakemake.output.file)
