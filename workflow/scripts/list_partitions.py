"""Which partitions of HATS catalogues are wanted. In: what describes the catalogues. Out: the files."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.settings import kinds, layout, listing
    from skyloom.settings.config import load

    survey = load(snakemake.config).surveys[snakemake.wildcards.survey]
    choose = kinds.load(survey.kind.partitions)
    files = choose(survey.settings.plain(), f"{layout.survey_folder(survey.name)}/raw")
    listing.write(snakemake.output.files, survey.chosen_by, files)
