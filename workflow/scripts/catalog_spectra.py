"""One row a spectrum of the user's that is of use. In: part files, tables of what is known. Out: galaxies, losses."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.spectra import build_galaxies
    from skyloom.surveys.packaged import unpacked

    with unpacked(snakemake.input.known, snakemake.params.packaged) as known:
        build_galaxies(
            snakemake.wildcards.survey,
            snakemake.input.parts,
            snakemake.params.survey,
            list(known.values()),
            snakemake.output.galaxies,
            snakemake.output.cuts,
        )
