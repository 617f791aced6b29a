"""A few galaxies as the models see them. In: catalogue, token shards. Out: figure."""

from skyloom.job import job

with job(snakemake):
    from skyloom.analysis.tables import read_galaxies
    from skyloom.figures.examples import draw_examples

    galaxies = read_galaxies(snakemake.input.galaxies, columns=["z"])
    draw_examples(galaxies, snakemake.input.image, snakemake.input.spectrum, snakemake.output.figure)
