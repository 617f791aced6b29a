"""One page for people, and Snakemake's own archive of how it was made."""


rule report:
    """Everything of one survey on one page that opens offline."""
    input:
        unpack(report_inputs),
    output:
        report="results/{survey}/report.html",
    log:
        "results/{survey}/logs/report.log",
    benchmark:
        "results/{survey}/benchmarks/report.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=code("report", "skyloom/report/templates/*", "skyloom/figures/templates/*", modules=report_modules),
        config=config,
    message:
        "Write the report of {wildcards.survey}"
    script:
        "../scripts/report.py"


rule archive_report:
    """Snakemake's own report: every figure and table with the rule, code and parameters that made it."""
    input:
        unpack(report_made),  # not the page: both are made last, side by side
    output:
        archive="results/{survey}/report.zip",
    log:
        "results/{survey}/logs/archive_report.log",
    benchmark:
        "results/{survey}/benchmarks/archive_report.tsv"
    localrule: True
    conda:
        "../../envs/archive.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=30,
    params:
        code=code("archive_report"),
        snakefile=os.path.relpath(workflow.main_snakefile),
        config=config,
    message:
        "Archive the report of {wildcards.survey}"
    script:
        "../scripts/archive_report.py"


rule archive_crate:
    """The results of a survey with all that led to them, as an RO-Crate: what an archive such as Zenodo takes."""
    input:
        unpack(crate_inputs),
        report=rules.report.output.report,
    output:
        crate="results/{survey}/crate.zip",
    log:
        "results/{survey}/logs/archive_crate.log",
    benchmark:
        "results/{survey}/benchmarks/archive_crate.tsv"
    conda:
        "../../envs/archive.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=code("archive_crate"),
        surveys=terms_of_surveys,
        project=os.path.relpath(workflow.basedir),
        snakemake=snakemake.__version__,
        config=config,
    message:
        "Pack the results of {wildcards.survey} as an RO-Crate"
    script:
        "../scripts/archive_crate.py"
