"""Is a mock survey like the sky? Beside published relations and real data."""


rule validate_mock:
    """Compare a mock survey with published relations and real observations: a page, a table with pass and fail."""
    input:
        truth=raw_files("truth"),
        zcatalog=raw_files("zcatalog"),
        coadd=raw_files("coadd"),
        images=raw_files("images"),
        hsc=raw_files("hsc"),
        grid=rules.build_ssp_grid.output.grid,
        sky=rules.extract_sky.output.sky,
        samples=real_coadds,
        expected=mock_validation.EXPECTED,
    output:
        page="results/{survey}/validation/mock_validation.html",
        table="results/{survey}/validation/mock_validation.csv",
        figures=[
            report(
                path,
                caption=f"../report/validation-{name}.rst",
                category="{survey}",
                labels={"figure": f"validation {name}"},
            )
            for name, path in mock_validation.figure_paths("results/{survey}/validation").items()
        ],
    log:
        "results/{survey}/logs/validate_mock.log",
    benchmark:
        "results/{survey}/benchmarks/validate_mock.tsv"
    wildcard_constraints:
        survey=of_kind("mock"),
    conda:
        "../../envs/validation.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=30,
    params:
        code=code(
            "validate_mock",
            "skyloom/analysis/mock_validation/templates/*",
            "skyloom/figures/templates/style.css",
            "report/validation-*.rst",
        ),
        survey=survey_settings("population"),
        seed=config["seed"],
        observations=config["analyses"].get("mock_validation", {}).get("observations", ""),
    message:
        "Compare {wildcards.survey} with the sky"
    script:
        "../scripts/validate_mock.py"
