"""The results of a survey as an RO-Crate: one zip with all that an archive such as Zenodo wants to know of them.

It holds the report, tables, figures, models, embeddings, the configuration, the workflow, the locked versions and the
record of every file on the way from raw data to results. It follows the profile Workflow Run Crate
(https://w3id.org/ro/wfrun/workflow): one action, the run, from inputs to results. Raw files and tokens are not in it:
their checksums are, and the workflow makes them again.
"""

import hashlib
import json
import mimetypes
import os
import re
import shutil
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

import yaml

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from rocrate.model.contextentity import ContextEntity
    from rocrate.model.entity import Entity
    from rocrate.rocrate import ROCrate

from skyloom import __version__
from skyloom.core.errors import BadInput
from skyloom.core.files import atomic, sha256
from skyloom.core.provenance import chain
from skyloom.settings.layout import RESULTS
from skyloom.surveys.common.wheels import PINNED

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.6": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.6": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.1": "Workflow RO-Crate",
}
SPDX = "https://spdx.org/licenses/"
CODE_LICENCE = "BSD-3-Clause"
# What of the project goes along: all that a run needs but for raw files.
FILES = ("CITATION.cff", "LICENSE", "README.md", "pyproject.toml", "requirements.lock")
FOLDERS = ("envs", "profiles", "resources", "workflow")
CODE = {".py", ".smk", ".yaml", ".json", ".md", ".rst", ".html", ".css", ".cff", ".lock", ".toml", ".csv", ""}
FORMATS = {
    ".parquet": "application/vnd.apache.parquet",
    ".safetensors": "application/octet-stream",
    ".hdf5": "application/x-hdf5",
    ".h5": "application/x-hdf5",
    ".jsonl": "application/jsonl",
    ".cff": "application/yaml",
    ".yaml": "application/yaml",
    ".lock": "text/plain",
}
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the time of every member: the same results give the same bytes


def archive(
    survey: str,
    results: Iterable[str],
    surveys: Mapping[str, Mapping],
    config: Mapping,
    project: str | os.PathLike,
    snakemake: str,
    date: str,
    path: str | os.PathLike,
) -> None:
    """Write the crate of a survey (zip).

    Parameters
    ----------
    results : files of the workflow that it holds, named from the working folder
    surveys : name -> licence, citation, about, simulated (`skyloom.settings.config.Survey.terms`) of every survey that
        a result comes from
    config : the whole configuration of the run
    project : the folder of the Snakefile
    snakemake : version of the Snakemake that made the results
    date : of publication, ISO 8601; the only thing in it that is not of the run

    Raises
    ------
    BadInput : a result comes from a survey that is not among `surveys`.
    """
    results, project = sorted(set(results)), Path(project)
    records = {name: record for one in results for name, record in chain(one).items()}
    _check_terms(records, surveys)
    members: dict[str, bytes | Path] = {name: Path(name) for name in results}
    members |= {"Snakefile": project / "Snakefile", **_code(project)}
    members["config.yaml"] = yaml.safe_dump(without_paths(json.loads(json.dumps(config))), sort_keys=True).encode()
    members["provenance.json"] = _json(without_paths(records))
    crate = describe(survey, members, records, surveys, config["seed"], snakemake, date)
    members["ro-crate-metadata.json"] = _json(crate.metadata.generate())
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in sorted(members.items()):
            info = zipfile.ZipInfo(name, EARLIEST)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with file.open(info, "w", force_zip64=True) as member:
                if isinstance(content, bytes):
                    member.write(content)
                else:
                    with open(content, "rb") as source:
                        shutil.copyfileobj(source, member, 2**20)


def _check_terms(records: Mapping, surveys: Mapping) -> None:
    """Raise BadInput for a file from a survey whose terms are not known."""
    for name in sorted(records):
        survey = _survey_of(name)
        if survey not in (None, "downloads", *surveys):
            raise BadInput(
                f"{name}: of a survey '{survey}' without licence and citation, expected {', '.join(surveys)}"
            )


def _survey_of(name: str) -> str | None:
    """The survey that a file belongs to, by its folder."""
    parts = PurePath(name).parts
    return parts[1] if parts[0] == RESULTS and len(parts) > 2 else None


def describe(
    survey: str,
    members: Mapping[str, bytes | Path],
    records: Mapping,
    surveys: Mapping,
    seed: int,
    snakemake: str,
    date: str,
) -> ROCrate:
    """The crate's metadata: entities for what is in it, what it was made from and with, and under which terms."""
    crate = ROCrate()
    root = crate.root_dataset
    root["datePublished"], root["name"] = date, f"Skyloom: results of {survey}"
    root["description"] = (
        f"Tables, figures, models and embeddings of the survey {survey}, with the configuration, the workflow and the "
        "record of every file that led to them (provenance.json). Raw files and tokens are named there by their sha256."
    )
    profiles = {url: {"name": name, "version": url.rsplit("/", 1)[1]} for url, name in PROFILES.items()}
    root["conformsTo"] = [_add(crate, url, "CreativeWork", **about) for url, about in profiles.items()]
    licences = {name: _licence(crate, terms["licence"]) for name, terms in surveys.items()}
    code = _licence(crate, CODE_LICENCE)
    root["license"] = list({entity.id: entity for entity in [code, *licences.values()]}.values())
    for name, terms in surveys.items():
        _survey(crate, name, terms, licences[name])
    workflow = crate.add_workflow(dest_path="Snakefile", main=True, lang="snakemake", lang_version=snakemake)
    workflow["name"], workflow["license"], workflow["version"] = "Skyloom", code, __version__
    workflow["softwareRequirements"] = [_package(crate, *one) for one in sorted(_packages(records))]
    files = {name: _file(crate, name, members[name], licences, code) for name in sorted(members)}
    made = [entity for name, entity in files.items() if name in records]
    given = [files["config.yaml"], _add(crate, "#seed", "PropertyValue", name="seed", value=str(seed))]
    given += _inputs(crate, records)
    action = _add(crate, "#run", "CreateAction", name=f"Run of Skyloom {__version__} for {survey}", endTime=date)
    action["instrument"], action["object"], action["result"] = workflow, given, made
    root["mentions"] = [action]
    return crate


def without_paths(value: object) -> object:
    """The same with absolute paths cut to the file's name: they tell of a person's machine, and help nobody else."""
    if isinstance(value, Mapping):
        return {without_paths(key): without_paths(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(entry) for entry in value]
    if isinstance(value, str) and (value.startswith("~") or PurePath(value).is_absolute()):
        return PurePath(value).name
    return value


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _code(project: Path) -> dict[str, Path]:
    """The files of the workflow, by their name in the crate."""
    found = {}
    for top in (*FILES, *FOLDERS):
        for path in sorted([project / top, *(project / top).rglob("*")]):
            parts = path.relative_to(project).parts
            hidden = any(part.startswith((".", "__pycache__")) or part.endswith(".egg-info") for part in parts)
            if path.is_file() and path.suffix in CODE and not hidden:
                found["/".join(parts)] = path
    return found


def _add(crate: ROCrate, identifier: str, kind: str, **properties) -> Entity:
    """An entity beside the files, one for each identifier."""
    known = crate.get(identifier)
    return known or crate.add(ContextEntity(crate, identifier, {"@type": kind, **properties}))


def _licence(crate: ROCrate, licence: str) -> Entity:
    """A licence by its address, or by its SPDX identifier."""
    url = licence if re.match(r"https?://", licence) else SPDX + licence
    return _add(crate, url, "CreativeWork", name=licence.removeprefix(SPDX), url=url)


def _survey(crate: ROCrate, name: str, terms: Mapping, licence: Entity) -> Entity:
    """A survey that results come from: its terms, and what to cite."""
    survey = _add(crate, f"#survey-{name}", "Dataset", name=name)
    survey["description"] = terms["about"] or ("Simulated by Skyloom." if terms["simulated"] else f"The survey {name}.")
    survey["license"] = licence
    cited = []
    for number, text in enumerate(terms["citation"]):
        url = re.search(r"https?://\S+", text)
        cited.append(_add(crate, url[0] if url else f"#citation-{name}-{number}", "ScholarlyArticle", name=text))
    survey["citation"] = cited
    return survey


def _file(crate: ROCrate, name: str, content: bytes | Path, licences: Mapping, code: Entity) -> Entity:
    """A file of the crate: checksum, size, format, terms; of results the survey they come from."""
    if name == "Snakefile":
        entity = crate.get(name)
    else:
        entity = crate.add_file(dest_path=name, properties={"name": PurePath(name).name})
    if isinstance(content, bytes):
        entity["sha256"], entity["contentSize"] = hashlib.sha256(content).hexdigest(), str(len(content))
    else:
        entity["sha256"], entity["contentSize"] = sha256(content), str(content.stat().st_size)
    suffix = PurePath(name).suffix
    entity["encodingFormat"] = FORMATS.get(suffix) or mimetypes.guess_type(name)[0] or "text/plain"
    survey = _survey_of(name)
    if survey:
        entity["license"], entity["about"] = licences[survey], crate.get(f"#survey-{survey}")
    else:
        entity["license"] = code
    return entity


def _packages(records: Mapping) -> set[tuple[str, str]]:
    """Installed packages, with versions, that the jobs imported."""
    return {pair for record in records.values() for pair in record.get("packages", {}).items()}


def _package(crate: ROCrate, name: str, version: str) -> Entity:
    """A package of the Python package index (or Python itself)."""
    url = f"https://www.python.org/downloads/release/python-{version.replace('.', '')}/"
    if name != "python":
        url = f"https://pypi.org/project/{name}/{version}/"
    return _add(crate, url, "SoftwareApplication", name=name, softwareVersion=version, url=url)


def _inputs(crate: ROCrate, records: Mapping) -> list[Entity]:
    """What the run began with, by sha256: packages that carry data, files of the project and of the user."""
    found = {}
    for name, record in sorted(records.items()):
        package = _carrier(name)
        if package:
            found[record["sha256"]] = {"name": package, "url": f"https://pypi.org/project/{package.replace(' ', '/')}/"}
        began = {source: value for source, value in record["inputs"].items() if source not in records}
        found |= {value: {"name": PurePath(source).name} for source, value in began.items()}
    return [
        _add(crate, f"#input-{value[:16]}", "CreativeWork", sha256=value, **about)
        for value, about in sorted(found.items(), key=lambda one: one[1]["name"])
    ]


def _carrier(name: str) -> str:
    """The name and version of the pinned package that a file is; empty for other files."""
    path = PurePath(name)
    pinned = PINNED.get(path.name.removesuffix(".whl").removesuffix(".tar.gz"))
    return pinned.requirement.replace("==", " ") if pinned and path.parts[:2] == (RESULTS, "downloads") else ""
