"""The loss curve of a model. In: metrics. Out: figure."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.training.figure import draw

    draw(snakemake.input.metrics, snakemake.output.figure, snakemake.wildcards.model)
