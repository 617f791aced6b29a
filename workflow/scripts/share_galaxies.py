"""The catalogue as HATS. In: galaxies. Out: a collection that LSDB opens, and the manifest of its files."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.share import write_galaxies

    write_galaxies(snakemake.input.galaxies, snakemake.wildcards.survey, snakemake.output.properties)
