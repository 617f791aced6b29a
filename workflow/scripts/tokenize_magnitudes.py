"""Store the magnitudes of one shard of galaxies. In: catalogue. Out: shard, quarantine list."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.tokens.magnitudes import tokenize_magnitudes

    tokenize_magnitudes(
        snakemake.input.galaxies,
        int(snakemake.wildcards.shard),
        snakemake.output.shard,
        snakemake.output.quarantine,
        **snakemake.params.survey,
    )
