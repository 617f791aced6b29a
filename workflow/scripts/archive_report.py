"""Snakemake's own report of how a survey's results were made. In: the page. Out: a zip archive."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.report.archive import archive

    archive(snakemake.params.snakefile, snakemake.params.config, snakemake.input.report, snakemake.output.archive)
