"""Embed one modality of a survey with one model. In: model, shards, splits. Out: embeddings."""

from pathlib import Path

from skyloom.core.job import job

with job(snakemake):
    from skyloom.embedding.embed import embed

    embed(
        Path(snakemake.input.model).parent,
        snakemake.wildcards.modality,
        snakemake.input.shards,
        snakemake.input.splits,
        snakemake.output.embeddings,
    )
