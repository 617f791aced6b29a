"""The manifest of a survey's raw files. In: raw files. Out: name, size and sha256 of each."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.surveys.common.manifest import write_manifest

    write_manifest(snakemake.input.files, snakemake.output.manifest)
