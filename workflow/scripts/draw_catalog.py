"""Redshifts, magnitudes, colours and positions of the galaxies. In: catalogue, splits. Out: figure."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.analysis.catalog.figures import draw_catalog
    from skyloom.analysis.common.tables import read_galaxies

    columns = ["ra", "dec", "z", "mag_g", "mag_r", "mag_z"]
    draw_catalog(read_galaxies(snakemake.input.galaxies, snakemake.input.splits, columns), snakemake.output.figure)
