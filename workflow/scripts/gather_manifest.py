"""The manifest of all raw files. In: raw files, manifests of the others. Out: manifest."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.surveys.common.manifest import write_manifest

    write_manifest(snakemake.input.files, snakemake.output.manifest, snakemake.input.manifests)
