"""Any analysis. In and out: the roles that its kind declares."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.analysis.common.entry import run_analysis

    run_analysis(
        snakemake.params.kind,
        snakemake.wildcards.survey,
        snakemake.input.items(),
        snakemake.output.items(),
        snakemake.params.analysis,
        snakemake.params.seed,
        snakemake.params.get("of_survey"),
        snakemake.config.get("extensions", ()),
    )
