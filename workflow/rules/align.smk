"""Models built on trained encoders: brought into one embedding space, or taught labels. Files of encoders stay."""


use rule pretrain as align with:
    input:
        splits=rules.split_galaxies.output.splits,
        galaxies=model_labels,
        tokens=model_tokens,
        statistics=model_statistics,
        backbones=backbones("model.safetensors"),
        cards=backbones("model.json"),
    log:
        "results/{survey}/logs/align-{model}.log",
    benchmark:
        "results/{survey}/benchmarks/align-{model}.tsv"
    wildcard_constraints:
        model=trained_by("align"),
    message:
        "Align {wildcards.model} on {wildcards.survey}"
