"""Is the mock survey like the sky? In: its raw files, real spectra and observations. Out: page, table, figures."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.analysis.mock_validation import FIGURES
    from skyloom.analysis.mock_validation.compare import compare

    given = snakemake.input
    roles = ("truth", "zcatalog", "coadd", "images", "hsc", "grid", "sky", "samples")
    outputs = {"page": snakemake.output.page, "table": snakemake.output.table}
    compare(
        snakemake.wildcards.survey,
        snakemake.params.survey,
        snakemake.params.seed,
        {role: [given[role]] if isinstance(given[role], str) else list(given[role]) for role in roles},
        snakemake.params.observations,
        given.expected,
        outputs | dict(zip(FIGURES, snakemake.output.figures, strict=True)),
    )
