"""Nearest neighbours in embeddings: an index a table, and the forms in which other programs search. Made when asked for."""


rule index_embeddings:
    """An index of a table of embeddings, and how many of the true neighbours it finds."""
    input:
        table=rules.gather_embeddings.output.table,
    output:
        index="results/{survey}/search/{model}-{name}.usearch",
        recall="results/{survey}/search/{model}-{name}.json",
    log:
        "results/{survey}/logs/index_embeddings-{model}-{name}.log",
    benchmark:
        "results/{survey}/benchmarks/index_embeddings-{model}-{name}.tsv"
    conda:
        "../../envs/search.yaml"
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        code=code("index_embeddings"),
    message:
        "Index the embeddings of {wildcards.survey} by {wildcards.model}, {wildcards.name}"
    script:
        "../scripts/index_embeddings.py"


rule share_atlas:
    """A table of embeddings with its map, neighbours and pictures, for embedding-atlas."""
    input:
        galaxies="results/{survey}/catalog/galaxies.parquet",
        table=rules.gather_embeddings.output.table,
        index=rules.index_embeddings.output.index,
        umap=map_of_survey,
        images=pictures_of_survey,
    output:
        atlas="results/{survey}/share/{model}-{name}.atlas.parquet",
    log:
        "results/{survey}/logs/share_atlas-{model}-{name}.log",
    benchmark:
        "results/{survey}/benchmarks/share_atlas-{model}-{name}.tsv"
    conda:
        "../../envs/search.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        code=code("share_atlas"),
    message:
        "Write the embeddings of {wildcards.survey} by {wildcards.model}, {wildcards.name}, for embedding-atlas"
    script:
        "../scripts/share_atlas.py"


rule share_lance:
    """A table of embeddings as results of hyrax; needs the extra 'lance'."""
    input:
        table=rules.gather_embeddings.output.table,
    output:
        manifest="results/{survey}/lance/{model}-{name}/manifest.csv",
    log:
        "results/{survey}/logs/share_lance-{model}-{name}.log",
    benchmark:
        "results/{survey}/benchmarks/share_lance-{model}-{name}.tsv"
    conda:
        "../../envs/lance.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=code("share_lance"),
    message:
        "Write the embeddings of {wildcards.survey} by {wildcards.model}, {wildcards.name}, as results of hyrax"
    script:
        "../scripts/share_lance.py"


rule search:
    """The index of every table of embeddings of the surveys with a report."""
    input:
        [path for survey in settings.reports for path in layout.search(survey, settings)],


rule atlas:
    """The same tables for embedding-atlas."""
    input:
        [path for survey in settings.reports for path in layout.atlas(survey, settings)],


rule lance:
    """The same tables as results of hyrax."""
    input:
        [path for survey in settings.reports for path in layout.lance(survey, settings)],
