"""A few galaxies as the models see them. In: catalogue, token shards. Out: figure."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.analysis.common.tables import read_galaxies
    from skyloom.analysis.examples.figures import draw_examples

    galaxies = read_galaxies(snakemake.input.galaxies, columns=["z"])
    given = snakemake.input
    draw_examples(galaxies, given.image, given.spectrum, snakemake.output.figure, hsc_shards=list(given.hsc))
