"""Redshifts, magnitudes, colours and positions of the galaxies. In: catalogue, splits. Out: figure."""

from skyloom.job import job

with job(snakemake):
    from skyloom.analysis.tables import read_galaxies
    from skyloom.figures.catalog import draw_catalog

    columns = ["ra", "dec", "z", "mag_g", "mag_r", "mag_z"]
    draw_catalog(read_galaxies(snakemake.input.galaxies, snakemake.input.splits, columns), snakemake.output.figure)
