"""One row a galaxy that passes every cut. In: raw catalogues. Out: galaxies, what each cut lost."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.galaxies import build_galaxies
    from skyloom.surveys.manifest import files_of

    raw = {role: list(paths) for role, paths in snakemake.input.items()}
    for role in ("images", "hsc"):  # files so many that their manifest stands for them
        raw[role] = [path for manifest in raw[role] for path in files_of(manifest)]
    build_galaxies(
        snakemake.wildcards.survey,
        snakemake.params.survey,
        raw,
        snakemake.output.galaxies,
        snakemake.output.cuts,
    )
