"""Pairs of spectra and HSC images. In: catalogue, coadds, HSC images. Out: a file in the form of GalaxiesML-Spectra."""

from skyloom.job import job

with job(snakemake):
    from skyloom.surveys.galaxiesml_spectra import build

    build(
        snakemake.input.galaxies,
        snakemake.input.coadd,
        snakemake.input.hsc,
        snakemake.output.pairs,
        int(snakemake.wildcards.size),
    )
