"""k-means and HDBSCAN. In: catalogue, embeddings. Out: table, members, figures."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.analysis.clusters.clusters import cluster

    cluster(
        snakemake.wildcards.survey,
        snakemake.input.galaxies,
        snakemake.input.embeddings,
        dict(snakemake.output.items()),
        {**snakemake.params.analysis, "seed": snakemake.params.seed},
    )
