"""UMAP projections. In: catalogue, embeddings. Out: table, figure."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.analysis.umap.projection import project

    project(
        snakemake.wildcards.survey,
        snakemake.input.galaxies,
        snakemake.input.embeddings,
        dict(snakemake.output.items()),
        {**snakemake.params.analysis, "seed": snakemake.params.seed},
    )
