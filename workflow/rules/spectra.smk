"""Spectra of the user's own: files of many forms, brought to one grid, one row a spectrum."""


rule read_spectra:
    """A group of the user's files, on the survey's grid; what is of no use is put aside with its reason."""
    input:
        files=lambda wildcards: fetched(sources_of_part(wildcards)),
    output:
        part="results/{survey}/raw/spectra/spectra-{part}.h5",
    log:
        "results/{survey}/logs/read_spectra-{part}.log",
    benchmark:
        "results/{survey}/benchmarks/read_spectra-{part}.tsv"
    wildcard_constraints:
        survey=of_kind("spectra"),
        part=r"\d{4,9}",
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
    params:
        code=code("read_spectra"),
        survey=raw_settings,
        packaged=lambda wildcards: packaged.of_packages(sources_of_part(wildcards)),
    message:
        "Read part {wildcards.part} of the spectra of {wildcards.survey}"
    script:
        "../scripts/read_spectra.py"


rule catalog_spectra:
    """One row a spectrum that is of use, and how many were put aside for which reason."""
    input:
        parts=raw_files("spectra"),
        known=lambda wildcards: fetched(known_tables(wildcards)),
    output:
        galaxies="results/{survey}/catalog/galaxies.parquet",
        cuts="results/{survey}/catalog/cuts.csv",
    log:
        "results/{survey}/logs/catalog_spectra.log",
    benchmark:
        "results/{survey}/benchmarks/catalog_spectra.tsv"
    wildcard_constraints:
        survey=with_files("spectra"),
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        code=code("catalog_spectra"),
        survey=survey_settings("shards", "catalog"),
        packaged=lambda wildcards: packaged.of_packages(known_tables(wildcards)),
    message:
        "Catalogue {wildcards.survey}"
    script:
        "../scripts/catalog_spectra.py"


rule tokenize_own_spectra:
    """Store one shard of the user's spectra."""
    input:
        galaxies=rules.catalog_spectra.output.galaxies,
        parts=raw_of_shard("spectra"),
    output:
        shard="results/{survey}/tokens/spectrum/shard-{shard}.h5",
        quarantine="results/{survey}/tokens/spectrum/quarantine-{shard}.csv",
    log:
        "results/{survey}/logs/tokenize_own_spectra-{shard}.log",
    benchmark:
        "results/{survey}/benchmarks/tokenize_own_spectra-{shard}.tsv"
    wildcard_constraints:
        survey=with_files("spectra"),
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=code("tokenize_own_spectra"),
        survey=survey_settings("compression", "grid"),
    message:
        "Tokenize spectra of {wildcards.survey}, shard {wildcards.shard}"
    script:
        "../scripts/tokenize_own_spectra.py"
