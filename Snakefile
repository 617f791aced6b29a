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
include: "workflow/rules/download.smk"
include: "workflow/rules/mock.smk"
include: "workflow/rules/crossmatch.smk"
include: "workflow/rules/simulated.smk"
include: "workflow/rules/tokenize.smk"
include: "workflow/rules/pretrain.smk"
include: "workflow/rules/align.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/validate.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        report=f"results/{config['report']}/report.html",
        archive=f"results/{config['report']}/report.zip",
        tokens=layout.all_statistics(config),


rule mock_validation:
    input:
        [f"results/{survey}/validation/mock_validation.html" for survey in layout.mock_surveys(config)],


rule astroclip:
    input:
        embeddings=astroclip_embeddings(),
