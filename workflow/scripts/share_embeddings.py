"""Embeddings as HATS. In: their table, galaxies. Out: a collection that LSDB opens, and the manifest of its files."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.share import write_embeddings

    given = snakemake.input
    write_embeddings(given.galaxies, given.table, snakemake.wildcards.survey, snakemake.output.properties)
