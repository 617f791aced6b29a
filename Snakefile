"""Skyloom: galaxy surveys from raw archives to foundation models and science."""

import os
import sys

from snakemake.utils import min_version

min_version("9.27")

# The library beside the rules: on the path of this file and, by the environment, of every job it starts.
library = os.path.join(workflow.basedir, "workflow")
sys.path.insert(0, library)
os.environ.update(PYTHONPATH=library)


configfile: "config.yaml"


include: "workflow/rules/start.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/archives.smk"
include: "workflow/rules/samples.smk"
include: "workflow/rules/download.smk"
include: "workflow/rules/mock.smk"
include: "workflow/rules/crossmatch.smk"
include: "workflow/rules/simulated.smk"
include: "workflow/rules/spectra.smk"
include: "workflow/rules/tokenize.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/align.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/share.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/explore.smk"


rule all:
    default_target: True
    input:
        reports=[f"results/{survey}/report.{form}" for survey in settings.reports for form in ("html", "zip")],
        results=[path for survey in settings.reports for path in results_of(survey)],
        tokens=layout.all_statistics(settings),


rule plan:
    input:
        [f"results/{name}/raw/plan.csv" for name in planned_surveys()],


rule mock_validation:
    input:
        made_when_asked("mock_validation"),


rule finetune:
    input:
        made_when_asked("finetune") or nothing_of_kind("finetune"),


rule benchmark:
    input:
        beside_the_page("benchmark"),


rule astroclip:
    input:
        embeddings=embeddings_by(aligned=True),


rule astroclip_v1:
    input:
        embeddings_of("astroclip", lambda model: "dense" in model.heads_by.values()) or lacks_model("astroclip_v1"),
