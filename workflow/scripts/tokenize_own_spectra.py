"""One shard of a user's own spectra. In: catalogue, part files. Out: shard, quarantine list."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.tokens.own_spectra import tokenize_own_spectra

    tokenize_own_spectra(
        snakemake.input.galaxies,
        snakemake.input.parts,
        shard=int(snakemake.wildcards.shard),
        out_path=snakemake.output.shard,
        quarantine_path=snakemake.output.quarantine,
        aside=snakemake.params.aside,
        **snakemake.params.survey,
    )
