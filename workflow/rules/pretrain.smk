"""Models of one modality or several, trained without labels, and what they are compared with."""


rule pretrain:
    """Train one model."""
    input:
        splits=rules.split_galaxies.output.splits,
        galaxies="results/{survey}/catalog/galaxies.parquet",
        tokens=model_tokens,
        statistics=model_statistics,
        start=model_start,
    output:
        model="results/{survey}/models/{model}/model.safetensors",
        card="results/{survey}/models/{model}/model.json",
        metrics="results/{survey}/models/{model}/metrics.jsonl",
    log:
        "results/{survey}/logs/pretrain-{model}.log",
    benchmark:
        "results/{survey}/benchmarks/pretrain-{model}.tsv"
    wildcard_constraints:
        model=trained_by("pretrain"),
    priority: 1  # the longest jobs first: what else is ready fits beside them
    conda:
        "../../envs/train.yaml"
    threads: config["threads"]
    resources:
        gpu=gpus,
        mem_mb=growing(6000),
        runtime=training_minutes,
    params:
        code=model_code("train"),
        model=model_settings,
        seed=config["seed"],
        threads=config["threads"],
        checkpoints="results/{survey}/checkpoints/{model}",
    message:
        "Pretrain {wildcards.model} on {wildcards.survey}"
    script:
        "../scripts/train.py"


use rule pretrain as fit with:
    wildcard_constraints:
        model=trained_by("fit"),
    priority: 0
    resources:
        mem_mb=growing(6000),
        runtime=training_minutes,
    message:
        "Fit {wildcards.model} on {wildcards.survey}"


rule draw_loss:
    """The loss curve of a model: apart from its training, which a change of a colour does not repeat."""
    input:
        metrics="results/{survey}/models/{model}/metrics.jsonl",
    output:
        figure="results/{survey}/models/{model}/loss.png",
    log:
        "results/{survey}/logs/draw_loss-{model}.log",
    benchmark:
        "results/{survey}/benchmarks/draw_loss-{model}.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=10,
    params:
        code=code("draw_loss"),
    message:
        "Draw the loss of {wildcards.model} on {wildcards.survey}"
    script:
        "../scripts/draw_loss.py"
