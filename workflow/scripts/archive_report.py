"""Snakemake's own report of how a survey's results were made. In: what the page shows. Out: a zip archive."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.report.archive import archive

    archive(snakemake.params.snakefile, snakemake.params.config, list(snakemake.input), snakemake.output.archive)
