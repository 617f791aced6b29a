"""One file of a user's catalogue. In: HDF5 or Parquet. Out: a part file of this project."""

from skyloom.job import job

with job(snakemake):
    from skyloom.surveys.simulated_catalog.reader import convert

    convert(
        snakemake.input.catalog,
        int(snakemake.wildcards.part),
        snakemake.params.survey["columns"],
        snakemake.output.part,
    )
