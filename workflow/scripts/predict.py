"""A model's answers to one query for one shard. In: model, splits, the shard in every modality. Out: a part."""

from pathlib import Path

from skyloom.core.job import job

with job(snakemake):
    from skyloom.embedding.embed import by_modality, predict_shard
    from skyloom.settings import kinds

    kinds.extend(snakemake.config.get("extensions", ()))
    predict_shard(
        Path(snakemake.input.card).parent,
        snakemake.wildcards.query,
        by_modality(snakemake.input.tokens),
        snakemake.input.splits,
        snakemake.output.part,
    )
