"""The measured curves of the SPHEREx channels. In: the wheel astro-sedpy. Out: one table a detector."""

from skyloom.core.job import job

with job(snakemake):
    from pathlib import Path

    from skyloom.mock.simulated.channels import SPHEREX_MEMBERS
    from skyloom.surveys.common.wheels import extract

    for path in snakemake.output.filters:
        extract(snakemake.input.wheel, SPHEREX_MEMBERS[Path(path).name], path)
