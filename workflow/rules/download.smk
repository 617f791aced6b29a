"""Raw files as the archives have them, each verified."""


rule download_wheel:
    """Fetch a pinned wheel that carries survey data: sha256 checked, no dependencies, not installed."""
    output:
        wheel=temp("results/downloads/{wheel}.whl"),
    log:
        "results/downloads/logs/download_wheel-{wheel}.log",
    benchmark:
        "results/downloads/benchmarks/download_wheel-{wheel}.tsv"
    wildcard_constraints:
        wheel=pinned(".whl"),
    localrule: True
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
    params:
        code=code("download_wheel"),
    message:
        "Download the wheel {wildcards.wheel}"
    script:
        "../scripts/download_wheel.py"


use rule download_wheel as download_source with:
    output:
        wheel=temp("results/downloads/{wheel}.tar.gz"),
    wildcard_constraints:
        wheel=pinned(".tar.gz"),
    localrule: True  # not inherited
    message:
        "Download the source archive {wildcards.wheel}"


rule download_file:
    """A file of the web that a survey, or a model, names by its URL."""
    output:
        file="results/downloads/web/{file}",
    log:
        "results/downloads/logs/download_file-{file}.log",
    benchmark:
        "results/downloads/benchmarks/download_file-{file}.tsv"
    wildcard_constraints:
        file=one_of(place.removeprefix(f"{web.FOLDER}/") for place in urls()),
    localrule: True
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=2880,
        connections=1,
    params:
        code=code("download_file"),
        url=lambda wildcards: urls()[f"{web.FOLDER}/{wildcards.file}"],
    message:
        "Download {wildcards.file}"
    script:
        "../scripts/download_file.py"


rule extract_samples:
    """Take the real DESI coadds and redrock files out of the wheels that carry them."""
    input:
        wheels=[wheel_path(name) for name in desi_samples.WHEELS],
    output:
        files=[f"results/{{survey}}/raw/{name}" for name in desi_samples.file_names()],
    log:
        "results/{survey}/logs/extract_samples.log",
    benchmark:
        "results/{survey}/benchmarks/extract_samples.tsv"
    wildcard_constraints:
        survey=of_kind("desi_samples"),
    localrule: True
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("extract_samples"),
    message:
        "Extract the real DESI samples of {wildcards.survey}"
    script:
        "../scripts/extract_samples.py"


ruleorder: pass_raw > fetch_raw


checkpoint list_files:
    """Which files of an archive hold galaxies that pass the cuts, by its redshift catalogue."""
    input:
        zcatalog=raw_first("zcatalog"),
    output:
        files="results/{survey}/raw/files.json",
        galaxies="results/{survey}/raw/wanted.parquet",
    log:
        "results/{survey}/logs/list_files.log",
    benchmark:
        "results/{survey}/benchmarks/list_files.tsv"
    wildcard_constraints:
        survey=listed_by("listing"),
    localrule: True
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(16000),
        runtime=60,
    params:
        code=lambda wildcards: code(
            "list_files",
            modules=(kinds.module_name("survey", settings.surveys[wildcards.survey].kind_name),),
        ),
        chosen_by=lambda wildcards: settings.surveys[wildcards.survey].chosen_by,
    message:
        "List the wanted files of {wildcards.survey}"
    script:
        "../scripts/list_files.py"


checkpoint list_partitions:
    """Which partitions of HATS catalogues are wanted, by their descriptions."""
    input:
        metadata=raw_first("metadata"),
    output:
        files="results/{survey}/raw/files.json",
    log:
        "results/{survey}/logs/list_partitions.log",
    benchmark:
        "results/{survey}/benchmarks/list_partitions.tsv"
    wildcard_constraints:
        survey=listed_by("partitions"),
    localrule: True
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=10,
    params:
        code=lambda wildcards: code(
            "list_partitions",
            modules=(kinds.module_name("survey", settings.surveys[wildcards.survey].kind_name),),
        ),
        chosen_by=lambda wildcards: settings.surveys[wildcards.survey].chosen_by,
    message:
        "List the wanted partitions of {wildcards.survey}"
    script:
        "../scripts/list_partitions.py"


rule fetch_raw:
    """One raw file of a survey whose kind says how it is had."""
    input:
        parts=parts_of_file,
    output:
        file="results/{survey}/raw/{file}",
    log:
        "results/{survey}/logs/fetch_raw-{file}.log",
    benchmark:
        "results/{survey}/benchmarks/fetch_raw-{file}.tsv"
    wildcard_constraints:
        survey=one_of(name for name, survey in settings.surveys.items() if survey.kind.fetch),
        file=fetched_files(),
    localrule: True
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=240,
        connections=1,
    params:
        code=lambda wildcards: code(
            "fetch_raw",
            modules=(kinds.module_name("survey", settings.surveys[wildcards.survey].kind_name),),
        ),
        kind=lambda wildcards: settings.surveys[wildcards.survey].kind_name,
        survey=raw_settings,
        rows=rows_of_file,
        seed=config["seed"],
    message:
        "Fetch {wildcards.file} of {wildcards.survey}"
    script:
        "../scripts/fetch_raw.py"


use rule fetch_raw as pass_raw with:
    input:
        earlier=earlier_tokens,
    output:
        file=temp("results/{survey}/raw/{file}"),
    wildcard_constraints:
        survey=passing(),
        file=passing_files(),
    localrule: True
    message:
        "Fetch {wildcards.file} of {wildcards.survey}, until it is tokens"


rule derive_properties:
    """Metallicity, age and star formation from the fitted parameters of PROVABGS, which its archive does not have."""
    input:
        properties="results/{survey}/raw/properties/{table}.hdf5",
        bases=bases,
    output:
        derived="results/{survey}/raw/derived/{table}.hdf5",
    log:
        "results/{survey}/logs/derive_properties-{table}.log",
    benchmark:
        "results/{survey}/benchmarks/derive_properties-{table}.tsv"
    wildcard_constraints:
        survey=with_catalogue_first(),
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
    params:
        code=code("derive_properties"),
    message:
        "Derive the properties of {wildcards.survey}"
    script:
        "../scripts/derive_properties.py"


ruleorder: derive_properties > fetch_raw


rule plan_survey:
    """What is still to be fetched of a survey: files, bytes, hours, and whether it fits."""
    input:
        files=listing_if_any,
    output:
        plan=temp("results/{survey}/raw/plan.csv"),
    log:
        "results/{survey}/logs/plan_survey.log",
    benchmark:
        "results/{survey}/benchmarks/plan_survey.tsv"
    wildcard_constraints:
        survey=one_of(planned_surveys()),
    localrule: True
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
        connections=1,
    params:
        code=lambda wildcards: code(
            "plan_survey",
            modules=(kinds.module_name("survey", settings.surveys[wildcards.survey].kind_name),),
        ),
    message:
        "Plan what is fetched of {wildcards.survey}"
    script:
        "../scripts/plan_survey.py"


rule checksum_raw:
    """The manifest of a survey's raw files of one role: name, size, sha256."""
    input:
        files=lambda wildcards: raw_files(wildcards.role)(wildcards),
    output:
        manifest="results/{survey}/raw/manifest-{role}.csv",
    log:
        "results/{survey}/logs/checksum_raw-{role}.log",
    benchmark:
        "results/{survey}/benchmarks/checksum_raw-{role}.tsv"
    wildcard_constraints:
        role=one_of(LISTED),
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(240),
    params:
        code=code("checksum_raw"),
    message:
        "Checksum the {wildcards.role} files of {wildcards.survey}"
    script:
        "../scripts/checksum_raw.py"


rule gather_manifest:
    """The manifest of all raw files of a survey."""
    input:
        manifests=manifests,
        files=raw_not_listed,
    output:
        manifest="results/{survey}/raw/manifest.csv",
    log:
        "results/{survey}/logs/gather_manifest.log",
    benchmark:
        "results/{survey}/benchmarks/gather_manifest.tsv"
    localrule: True
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("gather_manifest"),
    message:
        "Gather the manifest of {wildcards.survey}"
    script:
        "../scripts/gather_manifest.py"
