"""Train one encoder on one modality. In: shards, splits. Out: weights, card, metrics, loss curve."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.training import train

    modality = snakemake.params.model["modality"]
    train(
        {**snakemake.params.model, "seed": snakemake.params.seed, "threads": snakemake.params.threads},
        {modality: list(snakemake.input.shards)},
        snakemake.input.splits,
        dict(snakemake.output.items()),
        snakemake.params.checkpoints,
    )
