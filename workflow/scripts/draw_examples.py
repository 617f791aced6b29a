"""A few galaxies as the models see them. In: catalogue, token shards. Out: figure."""

from skyloom.job import job

with job(snakemake):
    from skyloom.analysis.tables import read_galaxies
    from skyloom.figures.examples import draw_examples

    galaxies = read_galaxies(snakemake.input.galaxies, columns=["z"])
    given = snakemake.input
    draw_examples(galaxies, given.image, given.spectrum, snakemake.output.figure, hsc_shards=list(given.hsc))
