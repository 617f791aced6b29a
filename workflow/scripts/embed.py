"""One embedding of the galaxies of one shard. In: model, splits, the shard in every modality. Out: a part."""

from pathlib import Path

from skyloom.core.job import job

with job(snakemake):
    from skyloom.embedding.embed import embed_shard
    from skyloom.settings import kinds
    from skyloom.tokens.modalities import one_by_modality

    kinds.extend(snakemake.config.get("extensions", ()))
    embed_shard(
        Path(snakemake.input.card).parent,
        snakemake.wildcards.name,
        one_by_modality(snakemake.input.tokens),
        snakemake.input.splits,
        snakemake.output.part,
    )
