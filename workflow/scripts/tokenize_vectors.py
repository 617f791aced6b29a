"""One shard of one modality of simulated galaxies. In: catalogue, part files. Out: shard, quarantine list."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.tokens.vectors import tokenize_vectors

    tokenize_vectors(
        snakemake.input.galaxies,
        snakemake.input.parts,
        snakemake.wildcards.modality,
        int(snakemake.wildcards.shard),
        snakemake.output.shard,
        snakemake.output.quarantine,
        **snakemake.params.survey,
    )
