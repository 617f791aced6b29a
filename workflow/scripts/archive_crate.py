"""The results of a survey for an archive. In: all its report shows, embeddings, models. Out: an RO-Crate (zip)."""

import datetime

from skyloom.core.job import job

with job(snakemake):
    from skyloom.report.crate import archive

    archive(
        snakemake.wildcards.survey,
        [str(path) for path in snakemake.input],
        snakemake.params.surveys,
        snakemake.params.config,
        snakemake.params.project,
        snakemake.params.snakemake,
        datetime.datetime.now(datetime.UTC).date().isoformat(),
        snakemake.output.crate,
    )
