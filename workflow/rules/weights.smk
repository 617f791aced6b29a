"""Models that others have trained, and ours as others load them: published weights in, cards and ONNX files out."""


rule read_weights:
    """Read the published weights of a model into its folder, without running anything that is in their files."""
    input:
        weights=published_weights,
    output:
        model="results/{survey}/models/{model}/model.safetensors",
        card="results/{survey}/models/{model}/model.json",
        metrics="results/{survey}/models/{model}/metrics.jsonl",
    log:
        "results/{survey}/logs/read_weights-{model}.log",
    benchmark:
        "results/{survey}/benchmarks/read_weights-{model}.tsv"
    wildcard_constraints:
        model=trained_by("read_weights"),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(30),
    params:
        code=model_code("read_weights"),
        model=model_settings,
    message:
        "Read the published weights of {wildcards.model} for {wildcards.survey}"
    script:
        "../scripts/read_weights.py"
