"""Analyses of the embeddings: each a table and its figures, each a target of its own."""


rule regress:
    """Physical properties from embeddings, zero-shot and few-shot, beside the baselines."""
    input:
        galaxies=rules.crossmatch.output.galaxies,
        splits=rules.split_galaxies.output.splits,
        embeddings=embeddings,
    output:
        table=report(
            "results/{survey}/analysis/regression.csv",
            caption="../report/regression-table.rst",
            category="{survey}",
            labels={"figure": "regression table"},
        ),
        predictions="results/{survey}/analysis/regression-predictions.parquet",
        figure_predictions=report(
            "results/{survey}/analysis/regression-predictions.png",
            caption="../report/regression-predictions.rst",
            category="{survey}",
            labels={"figure": "regression predictions"},
        ),
        figure_scores=report(
            "results/{survey}/analysis/regression.png",
            caption="../report/regression.rst",
            category="{survey}",
            labels={"figure": "regression"},
        ),
    log:
        "results/{survey}/logs/regress.log",
    benchmark:
        "results/{survey}/benchmarks/regress.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("regress"),
        analysis=config["analyses"]["regression"],
        seed=config["seed"],
    message:
        "Analyse {wildcards.survey}: regression of physical properties"
    script:
        "../scripts/regress.py"


rule retrieve:
    """Does an image find its own spectrum, and a spectrum its image?"""
    input:
        galaxies=rules.crossmatch.output.galaxies,
        embeddings=embeddings,
        image=shards("image"),
        spectrum=shards("spectrum"),
    output:
        table="results/{survey}/analysis/retrieval.csv",
        figure=report(
            "results/{survey}/analysis/retrieval.png",
            caption="../report/retrieval.rst",
            category="{survey}",
            labels={"figure": "retrieval"},
        ),
        figure_recall=report(
            "results/{survey}/analysis/retrieval-recall.png",
            caption="../report/retrieval-recall.rst",
            category="{survey}",
            labels={"figure": "retrieval recall"},
        ),
    log:
        "results/{survey}/logs/retrieve.log",
    benchmark:
        "results/{survey}/benchmarks/retrieve.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("retrieve"),
        analysis=config["analyses"]["retrieval"],
        seed=config["seed"],
    message:
        "Analyse {wildcards.survey}: cross-modal retrieval"
    script:
        "../scripts/retrieve.py"


rule project:
    """UMAP projections of the embeddings."""
    input:
        galaxies=rules.crossmatch.output.galaxies,
        embeddings=embeddings,
    output:
        table="results/{survey}/analysis/umap.parquet",
        figure=report(
            "results/{survey}/analysis/umap.png",
            caption="../report/umap.rst",
            category="{survey}",
            labels={"figure": "umap"},
        ),
    log:
        "results/{survey}/logs/project.log",
    benchmark:
        "results/{survey}/benchmarks/project.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("project"),
        analysis=config["analyses"]["umap"],
        seed=config["seed"],
    message:
        "Analyse {wildcards.survey}: UMAP projections"
    script:
        "../scripts/project.py"


rule cluster:
    """k-means with its elbow and HDBSCAN in the embedding spaces."""
    input:
        galaxies=rules.crossmatch.output.galaxies,
        embeddings=embeddings,
    output:
        table="results/{survey}/analysis/clusters.csv",
        members="results/{survey}/analysis/clusters.parquet",
        figure_kmeans=report(
            "results/{survey}/analysis/kmeans.png",
            caption="../report/kmeans.rst",
            category="{survey}",
            labels={"figure": "kmeans"},
        ),
        figure_hdbscan=report(
            "results/{survey}/analysis/hdbscan.png",
            caption="../report/hdbscan.rst",
            category="{survey}",
            labels={"figure": "hdbscan"},
        ),
    log:
        "results/{survey}/logs/cluster.log",
    benchmark:
        "results/{survey}/benchmarks/cluster.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("cluster"),
        analysis=config["analyses"]["clusters"],
        seed=config["seed"],
    message:
        "Analyse {wildcards.survey}: k-means and HDBSCAN clusters"
    script:
        "../scripts/cluster.py"


rule estimate_redshift:
    """Redshifts of real spectra from their neighbours among the galaxies the model was trained on."""
    input:
        galaxies=rules.crossmatch.output.galaxies,
        spectrum=shards("spectrum"),
        embedding=redshift_file("own"),
        reference=redshift_file("reference"),
        reference_galaxies=redshift_file("galaxies"),
    output:
        table="results/{survey}/analysis/redshift.csv",
        figure=report(
            "results/{survey}/analysis/redshift.png",
            caption="../report/redshift.rst",
            category="{survey}",
            labels={"figure": "redshift"},
        ),
    log:
        "results/{survey}/logs/estimate_redshift.log",
    benchmark:
        "results/{survey}/benchmarks/estimate_redshift.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("estimate_redshift"),
        analysis=config["analyses"]["redshift"],
        seed=config["seed"],
    message:
        "Analyse {wildcards.survey}: redshifts of real spectra"
    script:
        "../scripts/estimate_redshift.py"


rule draw_catalog:
    """Redshifts, magnitudes, colours and positions of the galaxies."""
    input:
        galaxies=rules.crossmatch.output.galaxies,
        splits=rules.split_galaxies.output.splits,
    output:
        figure=report(
            "results/{survey}/analysis/catalog.png",
            caption="../report/catalog.rst",
            category="{survey}",
            labels={"figure": "catalog"},
        ),
    log:
        "results/{survey}/logs/draw_catalog.log",
    benchmark:
        "results/{survey}/benchmarks/draw_catalog.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("draw_catalog"),
    message:
        "Draw the catalogue of {wildcards.survey}"
    script:
        "../scripts/draw_catalog.py"


rule draw_examples:
    """A few galaxies as the models see them."""
    input:
        galaxies=rules.crossmatch.output.galaxies,
        image=shards("image"),
        hsc=shards_if_any("hsc_image"),
        spectrum=shards("spectrum"),
    output:
        figure=report(
            "results/{survey}/analysis/examples.png",
            caption="../report/examples.rst",
            category="{survey}",
            labels={"figure": "examples"},
        ),
    log:
        "results/{survey}/logs/draw_examples.log",
    benchmark:
        "results/{survey}/benchmarks/draw_examples.tsv"
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=code("draw_examples"),
    message:
        "Draw example galaxies of {wildcards.survey}"
    script:
        "../scripts/draw_examples.py"
