"""UMAP projections. In: catalogue, embeddings. Out: table, figure."""

from skyloom.job import job

with job(snakemake):
    from skyloom.analysis.projection import project

    project(
        snakemake.wildcards.survey,
        snakemake.input.galaxies,
        snakemake.input.embeddings,
        dict(snakemake.output.items()),
        {**snakemake.params.analysis, "seed": snakemake.params.seed},
    )
