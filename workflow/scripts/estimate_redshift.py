"""Redshifts of real spectra from their neighbours. In: embeddings, catalogues, shards. Out: table, figure."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.analysis.redshift.neighbours import estimate_redshift

    estimate_redshift(
        snakemake.input.galaxies,
        snakemake.input.embedding,
        snakemake.input.reference,
        snakemake.input.reference_galaxies,
        snakemake.input.spectrum,
        dict(snakemake.output.items()),
        snakemake.params.analysis,
    )
