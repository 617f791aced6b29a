"""One row a galaxy that passes every cut. In: raw catalogues. Out: galaxies, what each cut lost."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.galaxies import build_galaxies

    build_galaxies(
        snakemake.wildcards.survey,
        snakemake.params.survey,
        {role: list(paths) for role, paths in snakemake.input.items()},
        snakemake.output.galaxies,
        snakemake.output.cuts,
    )
