"""Which files of an archive are wanted. In: its redshift catalogue. Out: the files, and the galaxies in them."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.wanted import list_files
    from skyloom.settings.config import load

    name = snakemake.wildcards.survey
    survey = load(snakemake.config).surveys[name]
    list_files(
        name,
        survey.settings.plain(),
        snakemake.input.zcatalog[0],
        survey.kind,
        survey.chosen_by,
        snakemake.output.files,
    )
