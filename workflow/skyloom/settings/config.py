"""The configuration, checked as a whole before the first job: one line with the user's value and what is allowed."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from skyloom.core.errors import BadConfig
from skyloom.settings import kinds, layout, listing
from skyloom.settings.analysis import AnalysisSettings, Lacking
from skyloom.settings.context import Context
from skyloom.settings.kinds import AnalysisKind, SurveyKind
from skyloom.settings.models import Model, check_backbones, check_name, check_start, read_model
from skyloom.settings.names import JOINT, MODALITIES, NUMBERED, PROPERTIES, ROLES
from skyloom.settings.section import Section, hint, parse, setting, short
from skyloom.settings.survey import Grid, SurveySettings


class Root(Section):
    """The top level of the configuration. In the three tables `null` takes an entry of the default run out."""

    seed: int = setting(ge=0, le=2**32 - 1)
    "of the mock survey, the splits, the training and the bootstrap: same seed, same numbers"
    threads: int = setting(ge=1)
    "of each training; fixed, so that the numbers do not depend on how many jobs run at a time"
    report: str | list[str] = setting()
    "the survey, or surveys, whose report `snakemake all` makes"
    vector: Literal["pdf", "svg"] | None = setting(None)
    "figures of analyses in this form too, beside each PNG: for papers; null: PNG alone"
    extensions: list[str] = setting([])
    "folders with modules of your own: kinds of survey, model and analysis"
    surveys: Annotated[dict[str, dict | None], Field(min_length=1)] = setting()
    "name -> survey"
    models: dict[str, dict | None] = setting()
    "name -> model"
    analyses: dict[str, dict | None] = setting()
    "name -> analysis; what is not here is not made"


@dataclasses.dataclass(frozen=True)
class Survey:
    """A survey of the configuration: its kind and its checked settings."""

    name: str
    kind_name: str
    kind: SurveyKind
    settings: SurveySettings

    @property
    def raw(self) -> dict[str, list[str]]:
        """Raw files by role, below ``results/{survey}/raw``; of an archive those that are known by now."""
        files = {role: list(names) for role, names in self._known.items()}
        for listed in self.listed or ():
            files[listed.role].append(listed.file)
        return files

    @functools.cached_property
    def _known(self) -> dict[str, list[str]]:
        files = self.kind.raw_files(self.settings)
        return {role: list(files.get(role, ())) for role in ROLES}

    @property
    def samples(self) -> dict[str, list[str]]:
        """Of a survey of files: modality -> the files with its samples (`SurveyKind.samples`), as far as they are
        known by now."""
        return dict(self.kind.told(self.settings, self.listed or ())) if self.kind.told else self._samples

    @functools.cached_property
    def _samples(self) -> dict[str, list[str]]:
        return {modality: list(paths) for modality, paths in self.kind.samples(self.settings).items()}

    @functools.cached_property
    def later(self) -> tuple[str, ...]:
        """Roles of the files that its catalogue tells."""
        return tuple(self.kind.later(self.settings))

    @functools.cached_property
    def chosen_by(self) -> str:
        """What those files are chosen by, in short."""
        plain = self.settings.plain()
        return listing.key({name: plain.get(name) for name in self.kind.chosen_by})

    @property
    def listed(self) -> tuple[listing.Listed, ...] | None:
        """Those files; None as long as the catalogue was not read, or if it was read for other settings."""
        return listing.read(layout.listing(self.name), self.chosen_by) if self.later else ()

    def has(self, role: str) -> bool:
        """Whether it has, or will have, files of a role."""
        return bool(self._known[role]) or role in self.later

    @property
    def grid(self) -> Grid:
        """The pixels of its spectra: DESI's, unless its kind has a setting of this name."""
        return getattr(self.settings, "grid", Grid())

    @property
    def terms(self) -> dict:
        """Licence and citations of its data (empty: not stated), what it is, and whether it is made up."""
        return {
            "licence": self.settings.licence or self.kind.licence,
            "citation": list(self.settings.citation or self.kind.citation),
            "about": self.settings.about,
            "simulated": self.kind.simulated,
        }

    def host(self, model: str) -> str:
        """The survey on which a model that embeds this one is trained: itself, unless it names another."""
        given = self.settings.models_from or {}
        return given.get(model, self.name) if isinstance(given, Mapping) else given


@dataclasses.dataclass(frozen=True)
class Analysis:
    """An analysis of the configuration; `vector` is the form, besides PNG, of its figures, or None."""

    name: str
    kind_name: str
    kind: AnalysisKind
    settings: AnalysisSettings
    vector: str | None = None


@dataclasses.dataclass(frozen=True)
class Config:
    """The whole configuration, checked. `notices` are lines to tell the user before the first job."""

    root: Root
    surveys: dict[str, Survey]
    models: dict[str, Model]
    analyses: dict[str, Analysis]
    notices: list[str] = dataclasses.field(default_factory=list)

    @property
    def reports(self) -> list[str]:
        """Surveys with a report."""
        return [self.root.report] if isinstance(self.root.report, str) else list(dict.fromkeys(self.root.report))

    def models_of(self, survey: str) -> list[Model]:
        """The models of a survey that have something to embed or to answer there, in the order of the configuration."""
        given = map(self.models.get, self.surveys[survey].settings.models)
        return [m for m in given if self.embeddings_of(m, survey) or self.queries_of(m, survey)]

    def embeddings_of(self, model: Model, survey: str) -> list[str]:
        """The names of a model's embeddings for which a survey has the modalities."""
        have = set(self.surveys[survey].settings.modalities)
        whole = model.training.incomplete == "keep" or have >= set(model.takes)
        return [
            name for name in model.embeddings if name in have or (name == JOINT and whole and have & set(model.takes))
        ]

    def queries_of(self, model: Model, survey: str) -> list[str]:
        """What a model predicts of the galaxies of a survey, which has the modalities for it."""
        have = set(self.surveys[survey].settings.modalities)
        whole = model.training.incomplete == "keep" or have >= set(model.takes)
        if not whole or not have & set(model.takes):
            return []
        given = {name: set(model.kind.asked_of(query)) for name, query in model.asked.items()}
        return [name for name in model.queries if given.get(name, set()) <= have]

    def guests(self, survey: str) -> list[str]:
        """Other surveys that are embedded with models of this one."""
        return [name for name in self.surveys if name != survey and survey in self.hosts(name)]

    def shown(self, survey: str) -> list[str]:
        """The surveys in the report of a survey: itself, those that train models of its, those that use its models, and
        those that it names."""
        named = [name for name in self.surveys[survey].settings.report_with if name in self.surveys]
        return list(dict.fromkeys([survey, *self.hosts(survey), *self.guests(survey), *named]))

    def hosts(self, survey: str) -> list[str]:
        """The surveys on which the models of a survey are trained, then those on which what they start from is."""
        models = self.models_of(survey)
        started = [m.starts_from.survey for m in models if m.starts_from and m.starts_from.survey]
        return list(dict.fromkeys([*(self.surveys[survey].host(model.name) for model in models), *started]))

    @functools.cached_property
    def made(self) -> dict[tuple[str, str], dict[str, list[str]]]:
        """(analysis, survey) -> its inputs by role, for all that can be made."""
        found = {}
        for analysis in self.analyses.values():
            asked = analysis.settings.surveys
            lacking = {}
            for survey in asked or self.surveys:
                listed = self.surveys[survey].settings.analyses
                try:
                    if listed is not None and analysis.name not in listed:
                        raise Lacking("does not name it among its `analyses`")
                    inputs = analysis.kind.inputs(Context(self, self.surveys[survey], analysis))
                    found[analysis.name, survey] = {role: list(paths) for role, paths in inputs.items()}
                except Lacking as error:
                    lacking[survey] = str(error)
            if asked and lacking:
                survey, why = next(iter(lacking.items()))
                raise BadConfig(f"analyses.{analysis.name}.surveys: '{survey}' {why}")
            if len(lacking) == len(self.surveys):
                why = "; ".join(f"'{survey}' {text}" for survey, text in lacking.items())
                self.notices.append(f"analyses.{analysis.name} is not made for any survey: {why}")
        return found

    def analyses_of(self, survey: str) -> list[Analysis]:
        """The analyses that are made for a survey, in the order of the configuration."""
        return [analysis for name, analysis in self.analyses.items() if (name, survey) in self.made]


def load(config: Mapping) -> Config:
    """The checked configuration.

    Raises
    ------
    BadConfig : one line, ``config: place: value is not allowed; ...``, for the most telling fault.
    """
    try:
        return _load(config)
    except BadConfig as error:
        raise BadConfig(f"config: {error}") from None


def _load(config: Mapping) -> Config:
    root = parse(Root, {key: value for key, value in config.items()}, "")
    kinds.extend(root.extensions)
    entries = {
        part: {name: entry for name, entry in getattr(root, part).items() if entry is not None}
        for part in ("surveys", "models", "analyses")
    }
    for part, table in entries.items():
        for name in table:
            check_name(part, name)
    # an analysis that was taken out may still be named: a preset need not know who names it
    known = {"survey": list(entries["surveys"]), "model": list(entries["models"]), "analysis": list(root.analyses)}
    models = {name: read_model(name, entry) for name, entry in entries["models"].items()}
    for model in models.values():
        check_backbones(model, models)
        check_start(model, models)
    surveys = {name: _survey(name, entry, known) for name, entry in entries["surveys"].items()}
    loaded = Config(root, surveys, models, {})
    for survey in surveys.values():
        _check_pairs(survey, surveys)
        _check_models(survey, loaded)
    known |= {
        # of models that no survey has, too: which are embedded is said in one place, and need not be said again here
        "embedding": sorted(
            {f"{m.name}-{e}" for m in models.values() for e in m.embeddings}
            | {f"{m.name}-{e}" for s in surveys for m in loaded.models_of(s) for e in loaded.embeddings_of(m, s)}
        ),
        "modality": sorted({m for s in surveys.values() for m in s.settings.modalities}),
        "property": list(PROPERTIES),
    }
    for name, entry in entries["analyses"].items():
        loaded.analyses[name] = dataclasses.replace(_analysis(name, entry, known), vector=root.vector)
    for name in loaded.reports:
        if name not in surveys:
            raise BadConfig(f"report: '{name}' is not a survey; allowed are {', '.join(surveys)}")
        for other in surveys[name].settings.report_with:
            if other not in surveys:  # one of the default run that was taken out is no error
                loaded.notices.append(f"surveys.{name}.report_with: '{other}' is not a survey: the report goes without")
    for survey in surveys.values():
        for other in survey.settings.analyses or ():
            if other not in root.analyses:
                close = hint(other, list(root.analyses))
                loaded.notices.append(f"surveys.{survey.name}.analyses: '{other}' is not an analysis; {close}")
    loaded.made  # noqa: B018 (an analysis that was asked for and cannot be made is an error now)
    return loaded


def _survey(name: str, entry: dict, known: Mapping) -> Survey:
    where = f"surveys.{name}"
    kind = kinds.find("survey", entry.get("kind"), f"{where}.kind")
    survey = Survey(name, entry["kind"], kind, parse(kind.settings, entry, where, known))
    everything = survey.settings.model_copy(update={"modalities": list(MODALITIES)})
    files = kind.raw_files(everything)
    told, sampled = kind.later(everything), kind.samples(everything)
    possible = [
        modality
        for modality, roles in MODALITIES.items()
        if modality in sampled or any(files.get(role) or role in told for role in roles)
    ]
    numbered = max(len(survey.raw[role]) for role in NUMBERED)
    if survey.listed is not None and not sampled and survey.settings.shards > max(1, numbered):
        text = f"{survey.settings.shards} is not allowed; must be at most {numbered}, the files of its galaxies"
        raise BadConfig(f"{where}.shards: {text}: those of a file go to one shard")
    for modality in survey.settings.modalities:
        if modality not in possible:
            what = f"a modality of kind {survey.kind_name}" if modality in MODALITIES else "a modality"
            raise BadConfig(f"{where}.modalities: '{modality}' is not {what}; allowed are {', '.join(possible)}")
    return survey


def _check_pairs(survey: Survey, surveys: Mapping[str, Survey]) -> None:
    """Files of pairs that a survey wants of the workflow (`layout.pairs`) can be made, or are there."""
    named = () if survey.kind.told else {path: None for paths in survey.samples.values() for path in paths}
    for path in named:
        other, size = layout.of_pairs(path) or ("", 0)
        if not other or (other not in surveys and os.path.isfile(path)):
            continue
        text = f"surveys.{survey.name}.files: '{path}' cannot be made"
        if other not in surveys or other == survey.name:
            allowed = ", ".join(name for name in surveys if name != survey.name)
            raise BadConfig(f"{text}: '{other}' is not another survey; there are {allowed or 'none'}")
        missing = [role for role in ("coadd", "hsc") if not surveys[other].has(role)]
        if missing:
            has = ", ".join(surveys[other].settings.modalities)
            raise BadConfig(f"{text}: '{other}' has not both DESI's coadds and HSC images, but {has}")
        if getattr(surveys[other].settings, "hsc_size", size) != size:
            pixels = surveys[other].settings.hsc_size
            raise BadConfig(f"{text}: the HSC images of '{other}' have {pixels} pixels (surveys.{other}.hsc_size)")


def _check_models(survey: Survey, config: Config) -> None:
    """The models of a survey exist where they are trained, and work on its data."""
    where, given = f"surveys.{survey.name}", survey.settings.models_from
    if isinstance(given, Mapping):
        for model in given:
            if model not in survey.settings.models:
                allowed = ", ".join(survey.settings.models) or "none"
                raise BadConfig(f"{where}.models_from: '{model}' is not among the survey's models, {allowed}")
    for model in config.models_of(survey.name):
        host = config.surveys[survey.host(model.name)]
        if host.host(model.name) != host.name:
            taken = host.host(model.name)
            text = f"'{host.name}' takes '{model.name}' from '{taken}'; name that one"
            raise BadConfig(f"{where}.models_from: {text}")
        if model.starts_from:
            _check_start(model, host, config)
        missing = [m for m in model.takes if m not in host.settings.modalities]
        if missing and model.training.incomplete != "keep":
            text = (
                f"'{model.name}' takes {', '.join(model.takes)}, but '{host.name}' has no {missing[0]} to train it on"
            )
            raise BadConfig(f"{where}.models: {text}; its modalities are {', '.join(host.settings.modalities)}")
        if "spectrum" in model.takes and survey.grid != host.grid:
            pixels = f"{survey.grid.plain()} is not allowed; '{model.name}' learns from those of '{host.name}'"
            raise BadConfig(f"{where}.grid: {pixels}, {host.grid.plain()}")
        for part in (model, *(config.models[name] for name in model.backbones.values())):
            part.kind.check(part, survey)
            if host is not survey:
                part.kind.check(part, host)


def _check_start(model: Model, host: Survey, config: Config) -> None:
    """What a model starts from is trained on the survey that it names."""
    start = model.starts_from
    name, other = start.survey or host.name, config.surveys.get(start.survey or host.name)
    if other is None or start.model not in other.settings.models or other.host(start.model) != name:
        able = [s.name for s in config.surveys.values() if start.model in s.settings.models]
        able = [n for n in able if config.surveys[n].host(start.model) == n]
        text = f"'{start.model}' is not trained on '{name}'; it is on {', '.join(able) or 'none'}"
        raise BadConfig(f"models.{model.name}.starts_from: {text}")


def _analysis(name: str, entry: dict, known: Mapping) -> Analysis:
    where = f"analyses.{name}"
    kind_name = entry.get("kind") or name
    at = f"{where}.kind" if entry.get("kind") else where
    if kinds.module_name("analysis", kind_name) is None and not entry.get("kind"):
        close = hint(name, kinds.own_kinds("analysis"))
        raise BadConfig(f"analyses: unknown key '{name}: {short(entry)}'; {close}")
    kind = kinds.find("analysis", kind_name, at)
    return Analysis(name, kind_name, kind, parse(kind.settings, entry, where, known))
