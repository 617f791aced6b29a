"""Cross-modal retrieval. In: catalogue, embeddings, token shards for the examples. Out: table, figures."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.analysis.retrieval.ranks import retrieve

    retrieve(
        snakemake.wildcards.survey,
        snakemake.input.galaxies,
        snakemake.input.embeddings,
        {"image": snakemake.input.image, "spectrum": snakemake.input.spectrum},
        dict(snakemake.output.items()),
        {**snakemake.params.analysis, "seed": snakemake.params.seed},
    )
