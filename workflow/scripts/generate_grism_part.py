"""One part of a mock grism survey. In: stellar grid. Out: spectra on the survey's grid."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.mock.grism.generate import make_part

    make_part(
        int(snakemake.wildcards.part),
        snakemake.params.seed,
        snakemake.params.survey,
        snakemake.input.grid,
        snakemake.output.part,
    )
