"""One file of a user's catalogue. In: HDF5 or Parquet. Out: a part file of this project."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.formats.catalog_tables import convert

    convert(
        snakemake.input.catalog,
        int(snakemake.wildcards.part),
        snakemake.params.survey["columns"],
        snakemake.output.part,
    )
