"""Align frozen encoders of two modalities. In: shards, splits, encoders. Out: weights, card, metrics, loss curve."""

from pathlib import Path

from skyloom.core.job import job

with job(snakemake):
    from skyloom.training import train

    modalities = sorted(snakemake.params.model["backbones"])
    train(
        {**snakemake.params.model, "seed": snakemake.params.seed, "threads": snakemake.params.threads},
        {modality: list(snakemake.input[modality]) for modality in modalities},
        snakemake.input.splits,
        dict(snakemake.output.items()),
        snakemake.params.checkpoints,
        backbones={m: str(Path(card).parent) for m, card in zip(modalities, snakemake.input.cards, strict=True)},
    )
