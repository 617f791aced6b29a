"""Combine the arms of the coadds of one shard of galaxies. In: catalogue, coadds. Out: shard, quarantine list."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.tokens.spectra import tokenize_spectra

    tokenize_spectra(
        snakemake.input.galaxies,
        snakemake.input.coadd,
        int(snakemake.wildcards.shard),
        snakemake.output.shard,
        snakemake.output.quarantine,
        **snakemake.params.survey,
    )
