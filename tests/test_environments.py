"""The conda environments: every rule has one, it holds what the rule's code imports and no more, and pins agree."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from skyloom.core.code import LIBRARY, behind, packages_of
from tests.paths import ROOT

FOLDER = ROOT / "envs"
CONDA_FORGE = {"torch": "pytorch"}  # where it calls a package other than PyPI does
COMES_WITH = {"pydantic_core": "pydantic", "lance": "pylance"}  # a module -> the package that brings it
EXTRA = {"jax", "diffmah", "diffsky", "diffstar", "dsps"}  # of `population: diffsky`
DRAWS = ("generate_tile", "generate_part", "generate_grism_part")  # rules, and those that are called after them
RUN_NOT_IMPORTED = {"archive": {"snakemake", "pygments"}, "diffsky": {"dsps"}}  # a program; what diffsky imports
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def rules(*configfiles: Path) -> dict[str, dict]:
    command = [sys.executable, "-m", "tests.rules", *map(str, configfiles)]
    environment = {"PYTHONPATH": f"{LIBRARY.parent}:{ROOT}", "PATH": "/usr/bin:/bin", "HOME": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def default() -> dict[str, dict]:
    """Every rule, with the default configuration."""
    return rules()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> dict[str, dict]:
    """Every rule, all populations drawn by diffsky, HSC images large in one survey, and none in another."""
    surveys = {name: {"population": "diffsky"} for name in ("mock", "mock_spectra", "mock_grism", "simulated")}
    surveys["mock"] |= {"hsc_size": 127, "modalities": ["spectrum", "image", "hsc_image"]}
    surveys["mock_spectra"] |= {"modalities": ["spectrum"], "models": ["redshift"]}
    path = tmp_path_factory.mktemp("drawn") / "drawn.yaml"
    path.write_text(yaml.safe_dump({"surveys": surveys}))
    return rules(path)


def environment(name: str) -> dict[str, SpecifierSet]:
    """Package, by its name on PyPI -> the versions that an environment lets in."""
    found = {}
    for entry in yaml.safe_load((FOLDER / f"{name}.yaml").read_text())["dependencies"]:
        for text in entry["pip"] if isinstance(entry, dict) else [entry]:
            package, versions = re.fullmatch(r"([\w.-]+)\s*(.*)", text).groups()
            name = {conda: pypi for pypi, conda in CONDA_FORGE.items()}.get(package, package)
            same = re.match(r"=\d", versions)  # conda's =3.11 is any 3.11
            found[canonicalize_name(name)] = SpecifierSet(f"={versions}.*" if same else versions)
    return found


def needed(found: dict[str, dict]) -> dict[str, dict[str, str]]:
    """Environment -> package, by its name on PyPI -> a rule and a module that need it."""
    distributions = importlib.metadata.packages_distributions()
    needs = {}
    for rule, entry in found.items():
        modules = {}
        for script, names in entry["code"]:
            modules |= packages_of(behind(script, names))
        if rule == "archive_report":  # it reads the Snakefile again
            modules |= packages_of(set().union(*map(behind, imported_by_rules())))
        for name, files in modules.items():
            if name in EXTRA and not rule.startswith(DRAWS):
                continue  # a function that only drawing galaxies calls
            package = COMES_WITH.get(name) or distributions.get(name, [name])[0]
            for path in entry["environments"]:
                needs.setdefault(Path(path).stem, {})[canonicalize_name(package)] = f"{rule}: {files[0].name}"
    return needs


def imported_by_rules() -> list[Path]:
    """The modules of the library that the Snakefile and the rules import."""
    found = []
    for file in (ROOT / "Snakefile", *sorted((ROOT / "workflow/rules").glob("*.smk"))):
        for package, names in re.findall(r"^from (skyloom[\w.]*) import (.+)$", file.read_text(), re.MULTILINE):
            folder = LIBRARY.parent.joinpath(*package.split("."))
            for name in names.split(", "):
                places = (folder / name, folder)
                files = [path for place in places for path in (place.with_suffix(".py"), place / "__init__.py")]
                found.append(next(path for path in files if path.exists()))
    return found


def locked() -> dict[str, Version]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def declared(*extras: str) -> dict[str, SpecifierSet]:
    """Package -> versions, of what pip installs."""
    lines = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    return {canonicalize_name(Requirement(line).name): Requirement(line).specifier for line in lines}


ENVIRONMENTS = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def test_every_rule_has_an_environment_that_exists(default, drawn):
    assert len(default) > 30
    assert [rule for rule in default if not default[rule]["environments"] + drawn[rule]["environments"]] == []
    paths = {path for found in (default, drawn) for entry in found.values() for path in entry["environments"]}
    assert {(ROOT / "workflow/rules" / path).resolve() for path in paths} == set(FOLDER.iterdir())


def test_an_environment_holds_what_the_code_of_its_rules_imports(default, drawn):
    lacking = [
        f"envs/{name}.yaml lacks {package}, which {why} imports"
        for found, extra in ((default, set()), (drawn, EXTRA))
        for name, packages in needed(found).items()
        for package, why in packages.items()
        if package not in environment(name) and package not in EXTRA - extra
    ]
    assert lacking == []


def test_an_environment_holds_nothing_that_no_code_imports(default, drawn):
    everything = needed(default)
    for name, packages in needed(drawn).items():
        everything[name] = everything.get(name, {}) | packages
    for name in ENVIRONMENTS:
        spare = set(environment(name)) - set(everything[name]) - RUN_NOT_IMPORTED.get(name, set()) - {"python", "pip"}
        assert spare == set(), f"envs/{name}.yaml"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_pins_of_an_environment_agree_with_those_of_pip_and_with_the_lock(name):
    versions, pip = locked(), declared("diffsky", "hats", "lance")
    for package, allowed in environment(name).items():
        if package == "python":
            assert SpecifierSet(PROJECT["requires-python"]).contains("3.11.9") and allowed.contains("3.11.9")
        elif package in pip:
            assert allowed == pip[package], package
        if package in versions:
            assert versions[package] in allowed, package
        elif package not in {"python", "pip"}:
            assert package in declared("diffsky", "hats", "lance") and all(part.operator == "==" for part in allowed), (
                package
            )


def test_what_lies_behind_a_rule_is_found_through_modules_loaded_by_name(default):
    packages = needed(default)
    assert "umap-learn" in packages["analysis"] and "torch" in packages["train"]
    assert "torch" not in packages["survey"] and "torch" not in packages["archive"]
