"""Train one model. In: shards of all its modalities, splits, models it is built on. Out: weights, card, metrics."""

from pathlib import Path

from skyloom.core.job import job

with job(snakemake):
    from skyloom.tokens.modalities import by_modality
    from skyloom.training.launch import asked, launch, processes
    from skyloom.training.run import statistics_by_modality

    modalities = sorted(snakemake.params.model.get("backbones", {}))
    launch(
        processes(asked(snakemake.resources)),
        extensions=snakemake.config.get("extensions", ()),
        config={**snakemake.params.model, "seed": snakemake.params.seed, "threads": snakemake.params.threads},
        tokens=by_modality(snakemake.input.tokens),
        splits_path=snakemake.input.splits,
        out=dict(snakemake.output.items()),
        checkpoints=snakemake.params.checkpoints,
        backbones={m: Path(card).parent for m, card in zip(modalities, snakemake.input.get("cards", []), strict=True)},
        galaxies_path=snakemake.input.get("galaxies"),
        start=next((Path(path).parent for path in snakemake.input.get("start", [])), None),
        statistics=statistics_by_modality(snakemake.input.get("statistics", [])),
    )
