"""Raw files as the archives have them, each verified."""


rule download_wheel:
    """Fetch a pinned wheel that carries survey data: sha256 checked, no dependencies, not installed."""
    output:
        wheel=temp("results/downloads/{wheel}.whl"),
    log:
        "results/downloads/logs/download_wheel-{wheel}.log",
    benchmark:
        "results/downloads/benchmarks/download_wheel-{wheel}.tsv"
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


rule checksum_raw:
    """The manifest of a survey's raw files: name, size, sha256."""
    input:
        files=all_raw_files,
    output:
        manifest="results/{survey}/raw/manifest.csv",
    log:
        "results/{survey}/logs/checksum_raw.log",
    benchmark:
        "results/{survey}/benchmarks/checksum_raw.tsv"
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        code=code("checksum_raw"),
    message:
        "Checksum the raw files of {wildcards.survey}"
    script:
        "../scripts/checksum_raw.py"
