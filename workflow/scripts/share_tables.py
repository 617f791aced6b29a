"""Catalogue and embeddings in one table. In: galaxies, embeddings. Out: a VOTable, and Parquet with its metadata."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.share import write_tables

    given, made = snakemake.input, snakemake.output
    embeddings = dict(zip(snakemake.params.names, given.embeddings, strict=True))
    write_tables(given.galaxies, embeddings, snakemake.wildcards.survey, made.votable, made.parquet)
