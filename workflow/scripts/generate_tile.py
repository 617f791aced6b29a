"""One tile of the mock survey. In: stellar grid, sky spectrum. Out: coadd, redrock, cutouts, HSC, truth."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.mock.survey.tile import make_tile

    make_tile(
        int(snakemake.wildcards.hpix),
        snakemake.wildcards.program,
        snakemake.params.seed,
        snakemake.params.survey,
        snakemake.input.grid,
        snakemake.input.sky,
        dict(snakemake.output.items()),
    )
