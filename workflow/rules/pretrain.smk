"""Encoders of one modality, trained without labels."""


rule pretrain:
    """Train one encoder on one modality (no steps: the untrained network of the same shape)."""
    input:
        splits=rules.split_galaxies.output.splits,
        shards=model_shards,
    output:
        model="results/{survey}/models/{model}/model.safetensors",
        card="results/{survey}/models/{model}/model.json",
        metrics="results/{survey}/models/{model}/metrics.jsonl",
        figure="results/{survey}/models/{model}/loss.png",
    log:
        "results/{survey}/logs/pretrain-{model}.log",
    benchmark:
        "results/{survey}/benchmarks/pretrain-{model}.tsv"
    wildcard_constraints:
        model=stage("pretrain"),
    conda:
        "../../envs/train.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=6000,
        runtime=2880,
    params:
        code=code("pretrain"),
        model=model_config,
        seed=config["seed"],
        threads=config["threads"],
        checkpoints="results/{survey}/checkpoints/{model}",
    message:
        "Pretrain {wildcards.model} on {wildcards.survey}"
    script:
        "../scripts/pretrain.py"
