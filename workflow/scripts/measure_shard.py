"""Sums over the training galaxies of one shard. In: shard, splits. Out: sums."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.tokens.statistics import shard_statistics

    shard_statistics(snakemake.input.shard, snakemake.input.splits, snakemake.output.sums)
