"""Files that hold samples already: spectra of many forms, brought to one grid, and one row a galaxy of them all."""


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
        survey=of_samples("spectrum"),
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


rule catalog_files:
    """One row a galaxy that is of use, and how many were put aside for which reason."""
    input:
        parts=raw_files("spectra"),
        known=lambda wildcards: fetched(known_tables(wildcards)),
        image=images_catalogued("image"),
        hsc_image=images_catalogued("hsc_image"),
    output:
        galaxies="results/{survey}/catalog/galaxies.parquet",
        cuts="results/{survey}/catalog/cuts.csv",
    log:
        "results/{survey}/logs/catalog_files.log",
    benchmark:
        "results/{survey}/benchmarks/catalog_files.tsv"
    wildcard_constraints:
        survey=catalogued(),
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        code=code("catalog_files"),
        survey=survey_settings("shards", "catalog", "crossmatch", "cuts", "modalities", "require_properties"),
        own=lambda wildcards: next(iter(settings.surveys[wildcards.survey].samples), "spectrum"),
        packaged=lambda wildcards: packaged.of_packages(known_tables(wildcards)),
    message:
        "Catalogue {wildcards.survey}"
    script:
        "../scripts/catalog_files.py"


rule tokenize_own_spectra:
    """Store one shard of the user's spectra."""
    input:
        galaxies=rules.catalog_files.output.galaxies,
        parts=parts_of_spectra,
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
        aside=lists_quarantine,
    message:
        "Tokenize spectra of {wildcards.survey}, shard {wildcards.shard}"
    script:
        "../scripts/tokenize_own_spectra.py"
