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


rule describe_model:
    """The card of a model, for those who are given its folder."""
    input:
        card="results/{survey}/models/{model}/model.json",
        metrics="results/{survey}/models/{model}/metrics.jsonl",
    output:
        readme="results/{survey}/models/{model}/README.md",
    log:
        "results/{survey}/logs/describe_model-{model}.log",
    benchmark:
        "results/{survey}/benchmarks/describe_model-{model}.tsv"
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=10,
    params:
        code=code("describe_model"),
        terms=lambda wildcards: settings.surveys[wildcards.survey].terms,
    message:
        "Describe {wildcards.model} of {wildcards.survey}"
    script:
        "../scripts/describe_model.py"


rule export_onnx:
    """The embeddings of a model as an ONNX file that gives the numbers of torch."""
    input:
        model="results/{survey}/models/{model}/model.safetensors",
        card="results/{survey}/models/{model}/model.json",
    output:
        onnx="results/{survey}/models/{model}/model.onnx",
    log:
        "results/{survey}/logs/export_onnx-{model}.log",
    benchmark:
        "results/{survey}/benchmarks/export_onnx-{model}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        mem_mb=growing(6000),
        runtime=growing(60),
    params:
        code=model_code("export_onnx"),
    message:
        "Export {wildcards.model} of {wildcards.survey} as ONNX"
    script:
        "../scripts/export_onnx.py"
