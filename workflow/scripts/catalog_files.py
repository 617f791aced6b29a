"""One row a galaxy of files of samples. In: parts of spectra, files of images, tables beside. Out: galaxies, losses."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.catalog.files import build_galaxies
    from skyloom.settings.config import load
    from skyloom.surveys.common.packaged import unpacked

    name, given = snakemake.wildcards.survey, snakemake.params.survey
    how = load(snakemake.config).surveys[name].settings.crossmatch.how()  # no parameter: the result is the same
    with unpacked(snakemake.input.known, snakemake.params.packaged) as known:
        build_galaxies(
            name,
            {**given, "crossmatch": {**given["crossmatch"], **how}, "own": snakemake.params.own},
            {
                "parts": snakemake.input.parts,
                "known": list(known.values()),
                "image": snakemake.input.image,
                "hsc_image": snakemake.input.hsc_image,
            },
            snakemake.output.galaxies,
            snakemake.output.cuts,
        )
