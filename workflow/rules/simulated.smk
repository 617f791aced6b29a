"""Simulated galaxies: the embedded simulation or a user's catalogue, one job a part, down to their tokens."""


rule extract_spherex:
    """The measured curves of the 102 SPHEREx channels."""
    input:
        wheel=wheel_path("astro-sedpy"),
    output:
        filters=[f"results/downloads/spherex/spherex_band{detector}.par" for detector in range(1, 7)],
    log:
        "results/downloads/logs/extract_spherex.log",
    benchmark:
        "results/downloads/benchmarks/extract_spherex.tsv"
    localrule: True
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("extract_spherex"),
    message:
        "Extract the SPHEREx filters"
    script:
        "../scripts/extract_spherex.py"


rule generate_part:
    """One part of the simulated catalogue."""
    input:
        grid=rules.build_ssp_grid.output.grid,
        spherex=rules.extract_spherex.output.filters,
    output:
        part="results/{survey}/raw/catalog/simulated-{part}.h5",
    log:
        "results/{survey}/logs/generate_part-{part}.log",
    benchmark:
        "results/{survey}/benchmarks/generate_part-{part}.tsv"
    wildcard_constraints:
        survey=of_kind("simulated"),
        part=r"\d{4}",
    conda:
        environment_of_population
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(720),
    params:
        code=code("generate_part"),
        survey=raw_settings,
        seed=config["seed"],
    message:
        "Generate part {wildcards.part} of {wildcards.survey}"
    script:
        "../scripts/generate_part.py"


rule convert_part:
    """One file of a user's catalogue, with the names and units used here."""
    input:
        catalog=lambda wildcards: settings.surveys[wildcards.survey].settings.files[int(wildcards.part)],
    output:
        part="results/{survey}/raw/catalog/simulated-{part}.h5",
    log:
        "results/{survey}/logs/convert_part-{part}.log",
    benchmark:
        "results/{survey}/benchmarks/convert_part-{part}.tsv"
    wildcard_constraints:
        survey=of_kind("simulated_catalog", "observed_catalog"),
        part=r"\d{4}",
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(720),
    params:
        code=code("convert_part"),
        survey=raw_settings,
    message:
        "Convert part {wildcards.part} of {wildcards.survey}"
    script:
        "../scripts/convert_part.py"


rule catalog_simulated:
    """One row a simulated galaxy, with its labels and where its vectors are."""
    input:
        parts=raw_files("simulated"),
    output:
        galaxies="results/{survey}/catalog/galaxies.parquet",
    log:
        "results/{survey}/logs/catalog_simulated.log",
    benchmark:
        "results/{survey}/benchmarks/catalog_simulated.tsv"
    wildcard_constraints:
        survey=with_files("simulated"),
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        code=code("catalog_simulated"),
        survey=survey_settings("shards"),
    message:
        "Catalogue {wildcards.survey}"
    script:
        "../scripts/catalog_simulated.py"


rule tokenize_vectors:
    """Store one shard of scalars, magnitudes, histories or energy distributions."""
    input:
        galaxies=rules.catalog_simulated.output.galaxies,
        parts=raw_of_shard("simulated"),
    output:
        shard="results/{survey}/tokens/{modality}/shard-{shard}.h5",
        quarantine="results/{survey}/tokens/{modality}/quarantine-{shard}.csv",
    log:
        "results/{survey}/logs/tokenize_vectors-{modality}-{shard}.log",
    benchmark:
        "results/{survey}/benchmarks/tokenize_vectors-{modality}-{shard}.tsv"
    wildcard_constraints:
        survey=with_files("simulated"),
        modality=one_of(name for name, roles in MODALITIES.items() if "simulated" in roles),
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=code("tokenize_vectors"),
        survey=survey_settings("compression"),
    message:
        "Tokenize {wildcards.modality} of {wildcards.survey}, shard {wildcards.shard}"
    script:
        "../scripts/tokenize_vectors.py"
