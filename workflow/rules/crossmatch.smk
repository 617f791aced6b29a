"""From raw catalogues to one row a galaxy: cross-match, quality cuts, labels, splits."""


rule crossmatch:
    """One row a galaxy that has all it needs, and how many galaxies each cut lost."""
    input:
        coadd=raw_for_catalogue("coadd"),
        wanted=wanted_galaxies,
        redrock=fits_without_catalogue,
        zcatalog=raw_files("zcatalog"),
        images=manifest_if_any("images"),
        hsc=manifest_if_any("hsc"),
        properties=raw_files("properties"),
        derived=raw_files("derived"),
        truth=manifest_if_any("truth"),
    output:
        galaxies="results/{survey}/catalog/galaxies.parquet",
        cuts="results/{survey}/catalog/cuts.csv",
    log:
        "results/{survey}/logs/crossmatch.log",
    benchmark:
        "results/{survey}/benchmarks/crossmatch.tsv"
    wildcard_constraints:
        survey=with_files("coadd"),
    conda:
        environment_of_crossmatch
    threads: matching_threads
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        code=code("crossmatch", modules=MATCHING),
        survey=catalogue_settings("cuts", "property_cuts", "require_properties", "shards", "modalities"),
    message:
        "Cross-match and cut {wildcards.survey}"
    script:
        "../scripts/crossmatch.py"


rule split_galaxies:
    """Leak-safe train, validation and test sets."""
    input:
        galaxies=rules.crossmatch.output.galaxies,
    output:
        splits="results/{survey}/catalog/splits.parquet",
        shared="results/{survey}/catalog/shared_sky.json",
    log:
        "results/{survey}/logs/split_galaxies.log",
    benchmark:
        "results/{survey}/benchmarks/split_galaxies.tsv"
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=code("split_galaxies"),
        survey=survey_settings("split", "modalities", "crop", "hsc_size"),
        seed=config["seed"],
    message:
        "Split {wildcards.survey} into train, validation and test"
    script:
        "../scripts/split_galaxies.py"


rule build_galaxiesml_spectra:
    """DESI spectra and HSC images of the same galaxies in one file, as GalaxiesML-Spectra is published."""
    input:
        galaxies=rules.crossmatch.output.galaxies,
        coadd=raw_files("coadd"),
        hsc=hsc_images,
    output:
        pairs=layout.pairs("{survey}", "{size}"),
    log:
        "results/{survey}/logs/build_galaxiesml_spectra-{size}.log",
    benchmark:
        "results/{survey}/benchmarks/build_galaxiesml_spectra-{size}.tsv"
    wildcard_constraints:
        survey=with_files("hsc"),
        size="64|127",
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
    params:
        code=code("build_galaxiesml_spectra"),
    message:
        "Build the pairs of spectra and HSC images of {wildcards.survey}"
    script:
        "../scripts/build_galaxiesml_spectra.py"
