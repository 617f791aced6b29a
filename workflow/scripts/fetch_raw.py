"""One raw file of a survey. In: its settings. Out: the file."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.settings import kinds

    given = snakemake.params
    kinds.extend(snakemake.config.get("extensions", ()))
    fetch = kinds.load(kinds.find("survey", given.kind, "kind").fetch)
    fetch(given.survey, given.seed, snakemake.wildcards.file, snakemake.output.file)
