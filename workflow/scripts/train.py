"""Train one model. In: shards of all its modalities, splits, models it is built on. Out: weights, card, metrics."""

from pathlib import Path

from skyloom.core.job import job

with job(snakemake):
    from skyloom.settings import kinds
    from skyloom.tokens.modalities import by_modality
    from skyloom.training.run import statistics_by_modality, train

    kinds.extend(snakemake.config.get("extensions", ()))
    modalities = sorted(snakemake.params.model.get("backbones", {}))
    train(
        {**snakemake.params.model, "seed": snakemake.params.seed, "threads": snakemake.params.threads},
        by_modality(snakemake.input.tokens),
        snakemake.input.splits,
        dict(snakemake.output.items()),
        snakemake.params.checkpoints,
        {m: Path(card).parent for m, card in zip(modalities, snakemake.input.get("cards", []), strict=True)},
        snakemake.input.get("galaxies"),
        statistics_by_modality(snakemake.input.get("statistics", [])),
    )
