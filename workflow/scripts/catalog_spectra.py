"""One row a spectrum of the user's that is of use. In: part files. Out: galaxies, what was lost."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.spectra import build_galaxies

    build_galaxies(
        snakemake.wildcards.survey,
        snakemake.input.parts,
        snakemake.params.survey["shards"],
        snakemake.output.galaxies,
        snakemake.output.cuts,
    )
