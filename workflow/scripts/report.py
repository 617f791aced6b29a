"""Everything of one survey on one page. In: catalogue, tables, figures, model cards. Out: report.html."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.report.page import build_report

    given = snakemake.input
    build_report(
        snakemake.wildcards.survey,
        snakemake.params.config,
        {name: list(given[name]) for name in snakemake.params.tables if given[name]},
        dict(zip(snakemake.params.figures, given.figures, strict=True)),
        list(given.cards),
        snakemake.output.report,
    )
