"""What models say of every galaxy of a survey: embeddings, predictions, reconstructions; one job a token shard."""


rule embed:
    """Embed one token shard of a survey with one model: one modality, or all it takes together (joint)."""
    input:
        model=model_file("model.safetensors"),
        card=model_file("model.json"),
        splits=rules.split_galaxies.output.splits,
        tokens=tokens_of_shard,
    output:
        part="results/{survey}/embeddings/parts/{model}-{name}-{shard}.parquet",
    log:
        "results/{survey}/logs/embed-{model}-{name}-{shard}.log",
    benchmark:
        "results/{survey}/benchmarks/embed-{model}-{name}-{shard}.tsv"
    wildcard_constraints:
        model=that_train(True),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=growing(3000),
        runtime=growing(240),
    params:
        code=model_code("embed"),
    message:
        "Embed {wildcards.survey} with {wildcards.model}, {wildcards.name}, shard {wildcards.shard}"
    script:
        "../scripts/embed.py"


use rule embed as embed_baseline with:
    wildcard_constraints:
        model=that_train(False),
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),


rule gather_embeddings:
    """One table of the embeddings of all shards, by rising targetid."""
    input:
        parts=by_shard("results/{survey}/embeddings/parts/{model}-{name}-{shard}.parquet"),
    output:
        table="results/{survey}/embeddings/{model}-{name}.parquet",
    log:
        "results/{survey}/logs/gather_embeddings-{model}-{name}.log",
    benchmark:
        "results/{survey}/benchmarks/gather_embeddings-{model}-{name}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=code("gather_parts"),
    message:
        "Gather the embeddings of {wildcards.survey} by {wildcards.model}, {wildcards.name}"
    script:
        "../scripts/gather_parts.py"


rule predict:
    """What a model says of the galaxies of one token shard when asked: values, or a reconstruction."""
    input:
        model=model_file("model.safetensors"),
        card=model_file("model.json"),
        splits=rules.split_galaxies.output.splits,
        tokens=tokens_of_shard,
    output:
        part="results/{survey}/predictions/parts/{model}-{query}-{shard}.parquet",
    log:
        "results/{survey}/logs/predict-{model}-{query}-{shard}.log",
    benchmark:
        "results/{survey}/benchmarks/predict-{model}-{query}-{shard}.tsv"
    wildcard_constraints:
        model=that_train(True),
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=growing(3000),
        runtime=growing(240),
    params:
        code=model_code("predict"),
        asked=what_is_asked,
    message:
        "Ask {wildcards.model} for {wildcards.query} of {wildcards.survey}, shard {wildcards.shard}"
    script:
        "../scripts/predict.py"


use rule predict as predict_baseline with:
    wildcard_constraints:
        model=that_train(False),
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),


use rule gather_embeddings as gather_predictions with:
    input:
        parts=by_shard("results/{survey}/predictions/parts/{model}-{query}-{shard}.parquet"),
    output:
        table="results/{survey}/predictions/{model}-{query}.parquet",
    log:
        "results/{survey}/logs/gather_predictions-{model}-{query}.log",
    benchmark:
        "results/{survey}/benchmarks/gather_predictions-{model}-{query}.tsv"
    message:
        "Gather what {wildcards.model} says of {wildcards.query} in {wildcards.survey}"


rule mmae:
    """What every model of kind mmae says of galaxies of which parts are hidden."""
    input:
        answers=answers_to_queries("mmae"),


rule mosaic:
    """The answers to every query of the configuration by models of kind mosaic, and how right they are."""
    input:
        answers=answers_to_queries("mosaic"),
        compared=made_when_asked("queries"),
