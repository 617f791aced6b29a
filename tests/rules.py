"""Every rule of the workflow with its environment and the code behind it: run as a program, it prints them as JSON.

What is behind a rule is what its hash of code is taken over (`skyloom.core.code.code_hash`): here that function notes
its arguments, and every parameter `code` is asked for every survey and model.
"""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

from skyloom.core import code as code_of_rules
from tests.paths import ROOT

NOTED: list[tuple[str, tuple[str, ...]]] = []


def note(script, *data, modules=(), roots=()) -> str:
    """In place of the hash: where it was noted."""
    NOTED.append((str(script), tuple(modules)))
    return str(len(NOTED) - 1)


def rules(configfiles: list[Path]) -> dict[str, dict]:
    """Rule -> its environments, and (script, modules loaded by name) for each thing it is done for."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

    code_of_rules.code_hash = note
    found = {}
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        opened = api.workflow(
            ResourceSettings(), config_settings=ConfigSettings(configfiles=configfiles), snakefile=ROOT / "Snakefile"
        )
        workflow = opened._workflow
        settings = workflow.globals["settings"]
        for rule in workflow.rules:
            if not (rule.script or rule.shellcmd or rule.is_run or rule.wrapper):
                continue  # a target: nothing is done
            environments = {name for name in each(rule.conda_env, rule, settings) if name}
            found[rule.name] = {
                "environments": sorted(environments),
                "code": sorted({NOTED[int(number)] for number in each(rule.params["code"], rule, settings)}),
            }
    return found


def each(given, rule, settings) -> set:
    """What is given, or what it is for each model and survey of the rule if it depends on wildcards."""
    if not callable(given):
        return {given}
    surveys = [name for name in settings.surveys if re.fullmatch(rule.wildcard_constraints.get("survey", ".*"), name)]
    return {given(SimpleNamespace(survey=survey, model=model)) for survey in surveys for model in settings.models}


if __name__ == "__main__":
    print(json.dumps(rules([Path(name) for name in sys.argv[1:]])))
