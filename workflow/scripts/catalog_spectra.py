"""One row a spectrum of the user's that is of use. In: part files, tables of what is known. Out: galaxies, losses."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.spectra import build_galaxies

    build_galaxies(
        snakemake.wildcards.survey,
        snakemake.input.parts,
        snakemake.params.survey,
        list(snakemake.input.known),
        snakemake.output.galaxies,
        snakemake.output.cuts,
    )
