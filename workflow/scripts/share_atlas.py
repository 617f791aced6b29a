"""Embeddings for embedding-atlas. In: galaxies, embeddings, index, map, images. Out: one Parquet file."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.explore.atlas import write_atlas
    from skyloom.explore.index import open_index

    given = snakemake.input
    index = open_index(given.index, given.table)
    umap = next(iter(given.umap), None)
    write_atlas(given.galaxies, given.table, index, umap, list(given.images), snakemake.output.atlas)
