"""A model's answers to one query for one shard. In: model, splits, the shard in every modality. Out: a part."""

from pathlib import Path

from skyloom.core.job import job

with job(snakemake):
    from skyloom.embedding.embed import predict_shard
    from skyloom.settings import kinds
    from skyloom.tokens.modalities import one_by_modality

    kinds.extend(snakemake.config.get("extensions", ()))
    predict_shard(
        Path(snakemake.input.card).parent,
        snakemake.wildcards.query,
        one_by_modality(snakemake.input.tokens),
        snakemake.input.splits,
        snakemake.output.part,
        asked=snakemake.params.asked,
    )
