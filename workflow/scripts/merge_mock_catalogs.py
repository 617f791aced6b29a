"""The survey-wide catalogues of the mock survey. In: redrock and truth of its tiles. Out: zcatalog, property table."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.mock.survey.catalogs import merge_catalogs

    merge_catalogs(
        [
            {"redrock": redrock, "truth": truth}
            for redrock, truth in zip(snakemake.input.redrock, snakemake.input.truth, strict=True)
        ],
        snakemake.output.zcatalog,
        snakemake.output.properties,
        snakemake.output.derived,
    )
