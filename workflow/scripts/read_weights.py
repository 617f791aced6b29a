"""A model that others have trained. In: the files with its weights. Out: weights, card, metrics (none)."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.settings import kinds
    from skyloom.training.published import read_weights

    kinds.extend(snakemake.config.get("extensions", ()))
    read_weights(snakemake.params.model, list(snakemake.input.weights), dict(snakemake.output.items()))
