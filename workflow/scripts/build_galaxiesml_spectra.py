"""Pairs of spectra and HSC images. In: catalogue, coadds, HSC images. Out: a file in the form of GalaxiesML-Spectra."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.formats.galaxiesml_spectra import build

    build(
        snakemake.input.galaxies,
        snakemake.input.coadd,
        snakemake.input.hsc,
        snakemake.output.pairs,
        int(snakemake.wildcards.size),
    )
