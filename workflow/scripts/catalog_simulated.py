"""One row a simulated galaxy. In: part files. Out: galaxies."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.simulated import build_galaxies

    build_galaxies(snakemake.input.parts, snakemake.params.survey["shards"], snakemake.output.galaxies)
