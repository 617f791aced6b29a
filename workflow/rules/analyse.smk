"""Analyses: each entry of `analyses` is a rule, a table and its figures, each a target of its own.

What goes in and what comes out is declared by the analysis' module (skyloom/analysis); an analysis without an entry in
the configuration has no rule.
"""

for analysis in settings.analyses.values():

    rule:
        name:
            analysis_rule(analysis)
        input:
            unpack(analysis_inputs(analysis)),
        output:
            **analysis_outputs(analysis),
        log:
            f"results/{{survey}}/logs/{analysis_rule(analysis)}.log",
        benchmark:
            f"results/{{survey}}/benchmarks/{analysis_rule(analysis)}.tsv"
        wildcard_constraints:
            survey=analysed(analysis),
        priority: int(analysis.kind.read)
        conda:
            f"../../envs/{analysis.kind.environment}.yaml"
        threads: 1
        resources:
            mem_mb=growing(analysis.kind.mem_mb),
            runtime=growing(analysis.kind.runtime),
        params:
            code=analysis_code(analysis),
            kind=analysis.kind_name,
            analysis=analysis.settings.plain(),
            of_survey=survey_settings(*analysis.kind.keys),
            seed=config["seed"],
        message:
            f"Analyse {{wildcards.survey}}: {analysis.kind.title}"
        script:
            "../scripts/analyse.py"
