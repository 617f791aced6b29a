"""Embeddings of every galaxy of a survey by every model."""


rule embed:
    """Embed one modality of a survey with one model."""
    input:
        model=model_file("model.safetensors"),
        card=model_file("model.json"),
        splits=rules.split_galaxies.output.splits,
        shards=shards(),
    output:
        embeddings="results/{survey}/embeddings/{model}-{modality}.parquet",
    log:
        "results/{survey}/logs/embed-{model}-{modality}.log",
    benchmark:
        "results/{survey}/benchmarks/embed-{model}-{modality}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=3000,
        runtime=240,
    params:
        code=code("embed"),
    message:
        "Embed {wildcards.survey} with {wildcards.model}, {wildcards.modality}"
    script:
        "../scripts/embed.py"
