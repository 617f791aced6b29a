"""The dark-sky spectrum. In: the wheel desispec. Out: its file spec-sky.dat."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.surveys.common import wheels

    wheels.extract(snakemake.input.wheel, "desispec/data/spec-sky.dat", snakemake.output.sky)
