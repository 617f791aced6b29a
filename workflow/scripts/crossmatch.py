"""One row a galaxy that passes every cut. In: raw catalogues. Out: galaxies, what each cut lost."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.galaxies import build_galaxies
    from skyloom.surveys.manifest import files_by_role

    build_galaxies(
        snakemake.wildcards.survey,
        snakemake.params.survey,
        files_by_role(snakemake.input),
        snakemake.output.galaxies,
        snakemake.output.cuts,
    )
