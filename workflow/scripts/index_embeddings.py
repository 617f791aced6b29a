"""An index of embeddings. In: their table. Out: one file for usearch, and its recall against the exact scan."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.explore import recall
    from skyloom.explore.index import build_index

    made = snakemake.output
    scan = build_index(snakemake.input.table, made.index, snakemake.threads)
    recall.write(made.recall, made.index, scan)
