"""Everything of one survey on one page. In: catalogue, tables, figures, model cards. Out: report.html."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.report.page import build_report

    files = {role: [given] if isinstance(given, str) else list(given) for role, given in snakemake.input.items()}
    build_report(snakemake.wildcards.survey, snakemake.params.config, files, snakemake.output.report)
