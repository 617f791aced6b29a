"""One part of the simulated catalogue. In: stellar grid, SPHEREx filters. Out: the part file."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.mock.simulated.generate import make_part

    make_part(
        int(snakemake.wildcards.part),
        snakemake.params.seed,
        snakemake.params.survey,
        snakemake.input.grid,
        snakemake.input.spherex,
        snakemake.output.part,
    )
