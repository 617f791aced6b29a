"""Crop the images of one shard of galaxies, raw and as RGB. In: catalogue, cutouts. Out: shard, quarantine list."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.surveys.common.manifest import files_or_listed
    from skyloom.tokens.images import tokenize_images

    tokenize_images(
        snakemake.input.galaxies,
        files_or_listed(snakemake.input.images),
        int(snakemake.wildcards.shard),
        snakemake.output.shard,
        snakemake.output.quarantine,
        **snakemake.params.survey,
    )
