"""A group of a user's files. In: FITS, HDF5, Parquet or npz. Out: their spectra on the survey's grid."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.formats.spectrum_parts import convert
    from skyloom.surveys.common.packaged import unpacked

    survey = snakemake.params.survey
    with unpacked(snakemake.input.files, snakemake.params.packaged) as files:
        convert(
            files,
            survey.get("format", "auto"),
            survey.get("columns"),
            survey["grid"],
            survey["minimum_good"],
            snakemake.output.part,
        )
