"""Model inputs: shards of each modality, and the statistics of their training split."""


rule tokenize_spectra:
    """Combine the arms of the coadds and store one shard of spectra."""
    input:
        galaxies=rules.crossmatch.output.galaxies,
        coadd=raw_of_shard("coadd"),
    output:
        shard="results/{survey}/tokens/spectrum/shard-{shard}.h5",
        quarantine="results/{survey}/tokens/spectrum/quarantine-{shard}.csv",
    log:
        "results/{survey}/logs/tokenize_spectra-{shard}.log",
    benchmark:
        "results/{survey}/benchmarks/tokenize_spectra-{shard}.tsv"
    wildcard_constraints:
        survey=with_files("coadd"),
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=code("tokenize_spectra"),
        survey=survey_settings("compression", "minimum_good"),
    message:
        "Tokenize spectra of {wildcards.survey}, shard {wildcards.shard}"
    script:
        "../scripts/tokenize_spectra.py"


rule tokenize_images:
    """Cut the centre out of the images and store one shard of them, raw and as arcsinh RGB."""
    input:
        galaxies=rules.crossmatch.output.galaxies,
        images=images_of_shard("images", "image"),
    output:
        shard="results/{survey}/tokens/image/shard-{shard}.h5",
        quarantine="results/{survey}/tokens/image/quarantine-{shard}.csv",
    log:
        "results/{survey}/logs/tokenize_images-{shard}.log",
    benchmark:
        "results/{survey}/benchmarks/tokenize_images-{shard}.tsv"
    wildcard_constraints:
        survey=with_images("images", "image"),
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=code("tokenize_images"),
        survey=survey_settings("compression", "minimum_good", "crop"),
    message:
        "Tokenize images of {wildcards.survey}, shard {wildcards.shard}"
    script:
        "../scripts/tokenize_images.py"


rule tokenize_hsc_images:
    """Store one shard of HSC images in nanomaggy."""
    input:
        galaxies=rules.crossmatch.output.galaxies,
        images=images_of_shard("hsc", "hsc_image"),
    output:
        shard="results/{survey}/tokens/hsc_image/shard-{shard}.h5",
        quarantine="results/{survey}/tokens/hsc_image/quarantine-{shard}.csv",
    log:
        "results/{survey}/logs/tokenize_hsc_images-{shard}.log",
    benchmark:
        "results/{survey}/benchmarks/tokenize_hsc_images-{shard}.tsv"
    wildcard_constraints:
        survey=with_images("hsc", "hsc_image"),
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=code("tokenize_hsc_images"),
        survey=survey_settings("compression", "minimum_good", "hsc_size"),
    message:
        "Tokenize HSC images of {wildcards.survey}, shard {wildcards.shard}"
    script:
        "../scripts/tokenize_hsc_images.py"


rule tokenize_magnitudes:
    """Store the magnitudes of one shard of galaxies."""
    input:
        galaxies=rules.crossmatch.output.galaxies,
    output:
        shard="results/{survey}/tokens/magnitudes/shard-{shard}.h5",
        quarantine="results/{survey}/tokens/magnitudes/quarantine-{shard}.csv",
    log:
        "results/{survey}/logs/tokenize_magnitudes-{shard}.log",
    benchmark:
        "results/{survey}/benchmarks/tokenize_magnitudes-{shard}.tsv"
    wildcard_constraints:
        survey=with_files("zcatalog"),
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=code("tokenize_magnitudes"),
        survey=survey_settings("compression"),
    message:
        "Tokenize magnitudes of {wildcards.survey}, shard {wildcards.shard}"
    script:
        "../scripts/tokenize_magnitudes.py"


rule measure_shard:
    """Sums over the training galaxies of one shard, which is verified."""
    input:
        splits=rules.split_galaxies.output.splits,
        shard="results/{survey}/tokens/{modality}/shard-{shard}.h5",
    output:
        sums="results/{survey}/tokens/{modality}/statistics-{shard}.json",
    log:
        "results/{survey}/logs/measure_shard-{modality}-{shard}.log",
    benchmark:
        "results/{survey}/benchmarks/measure_shard-{modality}-{shard}.tsv"
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=code("measure_shard"),
    message:
        "Measure the {wildcards.modality} tokens of {wildcards.survey}, shard {wildcards.shard}"
    script:
        "../scripts/measure_shard.py"


rule gather_statistics:
    """Statistics of the training split, and what was quarantined."""
    input:
        sums=by_shard("results/{survey}/tokens/{modality}/statistics-{shard}.json"),
        quarantine=by_shard("results/{survey}/tokens/{modality}/quarantine-{shard}.csv"),
    output:
        statistics="results/{survey}/tokens/{modality}/statistics.json",
        quarantine="results/{survey}/tokens/{modality}/quarantine.csv",
    log:
        "results/{survey}/logs/gather_statistics-{modality}.log",
    benchmark:
        "results/{survey}/benchmarks/gather_statistics-{modality}.tsv"
    localrule: True
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=30,
    params:
        code=code("gather_statistics"),
    message:
        "Gather statistics of the {wildcards.modality} tokens of {wildcards.survey}"
    script:
        "../scripts/gather_statistics.py"
