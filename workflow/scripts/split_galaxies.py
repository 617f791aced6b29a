"""Leak-safe train, validation and test sets. In: galaxies. Out: splits."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.galaxies import write_splits

    write_splits(snakemake.input.galaxies, snakemake.params, snakemake.output.splits)
