"""Catalogues and embeddings for other programs: HATS for LSDB, one table for TOPCAT. Made when asked for."""


rule share_galaxies:
    """The catalogue as HATS, with margins."""
    input:
        galaxies="results/{survey}/catalog/galaxies.parquet",
    output:
        properties="results/{survey}/hats/galaxies/collection.properties",
        manifest="results/{survey}/hats/galaxies/manifest.csv",
    log:
        "results/{survey}/logs/share_galaxies.log",
    benchmark:
        "results/{survey}/benchmarks/share_galaxies.tsv"
    conda:
        "../../envs/hats.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=240,
    params:
        code=code("share_galaxies"),
    message:
        "Write the catalogue of {wildcards.survey} as HATS"
    script:
        "../scripts/share_galaxies.py"


rule share_embeddings:
    """A table of embeddings as HATS, with margins."""
    input:
        galaxies="results/{survey}/catalog/galaxies.parquet",
        table=rules.gather_embeddings.output.table,
    output:
        properties="results/{survey}/hats/{model}-{name}/collection.properties",
        manifest="results/{survey}/hats/{model}-{name}/manifest.csv",
    log:
        "results/{survey}/logs/share_embeddings-{model}-{name}.log",
    benchmark:
        "results/{survey}/benchmarks/share_embeddings-{model}-{name}.tsv"
    conda:
        "../../envs/hats.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=240,
    params:
        code=code("share_embeddings"),
    message:
        "Write the embeddings of {wildcards.survey} by {wildcards.model}, {wildcards.name}, as HATS"
    script:
        "../scripts/share_embeddings.py"


rule share_tables:
    """Catalogue and embeddings in one table, as VOTable and as Parquet with the metadata of one."""
    input:
        galaxies="results/{survey}/catalog/galaxies.parquet",
        embeddings=embeddings_of_survey,
    output:
        votable="results/{survey}/share/galaxies.vot",
        parquet="results/{survey}/share/galaxies.parquet",
    log:
        "results/{survey}/logs/share_tables.log",
    benchmark:
        "results/{survey}/benchmarks/share_tables.tsv"
    conda:
        "../../envs/hats.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=240,
    params:
        code=code("share_tables"),
        names=lambda wildcards: list(layout.embeddings(wildcards.survey, settings)),
    message:
        "Write catalogue and embeddings of {wildcards.survey} as one table"
    script:
        "../scripts/share_tables.py"


rule hats:
    """Catalogue and embeddings of the surveys with a report, for LSDB."""
    input:
        [path for survey in settings.reports for path in layout.hats(survey, settings)],


rule votable:
    """The same in one table a survey, for TOPCAT."""
    input:
        [path for survey in settings.reports for path in layout.shared_tables(survey)],
