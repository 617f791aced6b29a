"""One row a galaxy that passes every cut. In: raw catalogues. Out: galaxies, what each cut lost."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.galaxies import build_galaxies
    from skyloom.settings.config import load
    from skyloom.surveys.common.manifest import files_by_role

    name, given = snakemake.wildcards.survey, snakemake.params.survey
    how = load(snakemake.config).surveys[name].settings.crossmatch.how()  # no parameter: the result is the same
    build_galaxies(
        name,
        {**given, "crossmatch": {**given["crossmatch"], **how}},
        files_by_role(snakemake.input),
        snakemake.output.galaxies,
        snakemake.output.cuts,
    )
