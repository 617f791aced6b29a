"""Join the embeddings, or predictions, of all shards. In: a part a shard. Out: one table by rising targetid."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.embedding.parts import gather_parts

    gather_parts(list(snakemake.input.parts), snakemake.output.table)
