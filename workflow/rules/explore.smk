"""The page to explore a survey in, made when asked for."""


rule write_page:
    """The map of a survey's embeddings, its galaxies and their neighbours, as a folder that opens without a server."""
    input:
        unpack(page_inputs),
    output:
        index="results/{survey}/explore/index.html",
        files="results/{survey}/explore/files.csv",
    log:
        "results/{survey}/logs/write_page.log",
    benchmark:
        "results/{survey}/benchmarks/write_page.tsv"
    conda:
        "../../envs/search.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        code=code("write_page", "skyloom/explore/page/static/*"),
        simulated=lambda wildcards: settings.surveys[wildcards.survey].kind.simulated,
    message:
        "Write the page to explore {wildcards.survey} in"
    script:
        "../scripts/write_page.py"


rule explore:
    """The page of every survey with a report."""
    input:
        [layout.page(survey) for survey in settings.reports],
