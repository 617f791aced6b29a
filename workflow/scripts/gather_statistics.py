"""Statistics of the training split of one modality. In: shards, splits, quarantine lists. Out: statistics, one list."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.tokens.statistics import gather

    gather(
        snakemake.input.shards,
        snakemake.input.splits,
        snakemake.input.quarantine,
        snakemake.output.statistics,
        snakemake.output.quarantine,
    )
