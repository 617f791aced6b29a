"""Statistics of the training split of one modality. In: sums by shard, quarantine lists. Out: statistics, one list."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.tokens.statistics import merge_statistics

    merge_statistics(
        snakemake.input.sums, snakemake.input.quarantine, snakemake.output.statistics, snakemake.output.quarantine
    )
