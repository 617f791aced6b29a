"""One row a simulated galaxy. In: part files. Out: galaxies."""

from skyloom.job import job

with job(snakemake):
    from skyloom.surveys.simulated.catalog import build_galaxies

    build_galaxies(snakemake.input.parts, snakemake.params.survey["shards"], snakemake.output.galaxies)
