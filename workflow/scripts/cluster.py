"""k-means and HDBSCAN. In: catalogue, embeddings. Out: table, members, figures."""

from skyloom.job import job

with job(snakemake):
    from skyloom.analysis.clusters import cluster

    cluster(
        snakemake.wildcards.survey,
        snakemake.input.galaxies,
        snakemake.input.embeddings,
        dict(snakemake.output.items()),
        {**snakemake.params.analysis, "seed": snakemake.params.seed},
    )
