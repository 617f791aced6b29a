"""The manifest of all raw files. In: manifests by role. Out: one."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.surveys.manifest import gather_manifests

    gather_manifests(snakemake.input.manifests, snakemake.output.manifest)
