"""Two encoders brought into one embedding space."""


rule align:
    """Align frozen encoders by contrastive learning with cross-attention pooling."""
    input:
        splits=rules.split_galaxies.output.splits,
        backbones=backbones("model.safetensors"),
        cards=backbones("model.json"),
        spectrum=shards("spectrum"),
        image=shards("image"),
    output:
        model="results/{survey}/models/{model}/model.safetensors",
        card="results/{survey}/models/{model}/model.json",
        metrics="results/{survey}/models/{model}/metrics.jsonl",
        figure="results/{survey}/models/{model}/loss.png",
    log:
        "results/{survey}/logs/align-{model}.log",
    benchmark:
        "results/{survey}/benchmarks/align-{model}.tsv"
    wildcard_constraints:
        model=stage("align"),
    conda:
        "../../envs/train.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=6000,
        runtime=2880,
    params:
        code=code("align"),
        model=model_config,
        seed=config["seed"],
        threads=config["threads"],
        checkpoints="results/{survey}/checkpoints/{model}",
    message:
        "Align {wildcards.model} on {wildcards.survey}"
    script:
        "../scripts/align.py"
