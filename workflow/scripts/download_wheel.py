"""Fetch a pinned wheel that carries survey data. In: nothing. Out: the wheel, its sha256 checked."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.surveys.common import wheels

    wheels.fetch(snakemake.wildcards.wheel, snakemake.output.wheel)
