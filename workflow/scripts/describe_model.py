"""The card of a model for those who are given its folder. In: card and metrics. Out: README.md."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.report.model_card import write_card

    given = snakemake.input
    write_card(given.card, given.metrics, snakemake.output.readme, snakemake.wildcards.survey, snakemake.params.terms)
