"""The page to explore a survey in. In: catalogue, embeddings, tokens, predictions, maps, anomalies. Out: a folder."""

from skyloom.core.job import job

with job(snakemake):
    from skyloom.explore.page.build import build
    from skyloom.explore.page.sources import Sources, by_modality

    given = snakemake.input
    sources = Sources(
        snakemake.wildcards.survey,
        given.galaxies,
        given.splits,
        tuple(given.embeddings),
        by_modality(given.tokens),
        tuple(given.predictions),
        tuple(given.maps),
        tuple(given.anomalies),
        snakemake.params.simulated,
    )
    build(sources, snakemake.output.index)
