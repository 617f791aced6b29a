"""Properties from embeddings and baselines. In: catalogue, splits, embeddings. Out: table, predictions, figures."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.analysis.regression.scores import regress

    regress(
        snakemake.wildcards.survey,
        snakemake.input.galaxies,
        snakemake.input.splits,
        snakemake.input.embeddings,
        dict(snakemake.output.items()),
        {**snakemake.params.analysis, "seed": snakemake.params.seed},
    )
