"""Embeddings as results of hyrax. In: their table. Out: a Lance data set, and the manifest of its files."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.explore.lance_results import write_lance

    write_lance(snakemake.input.table, snakemake.output.manifest)
