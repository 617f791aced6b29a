"""Leak-safe train, validation and test sets. In: galaxies. Out: splits, and how much sky they share."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.galaxies import write_splits

    write_splits(
        snakemake.input.galaxies,
        {**snakemake.params.survey, "seed": snakemake.params.seed},
        snakemake.output.splits,
        snakemake.output.shared,
    )
