"""What a model, an analysis or a survey says of itself, and how it is found by the name of its kind.

A kind is a module, found by name: `regression` is `skyloom.analysis.regression`; a name that is none of the library's
is a module of the user's own, in one of the folders of the setting `extensions`. The module has an object `KIND`. It is
light to import, since the Snakefile reads it: what needs numpy or torch is named by a string "module:attribute" and
imported where it runs.
"""

import dataclasses
import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from skyloom.core.errors import BadConfig
from skyloom.settings.section import Section

if TYPE_CHECKING:
    from skyloom.settings.config import Survey
    from skyloom.settings.context import Context
    from skyloom.settings.models import Model

ROOMS = {"survey": "skyloom.surveys", "model": "skyloom.models", "analysis": "skyloom.analysis"}
_NOT_KINDS = {"common", "networks"}


@dataclasses.dataclass(frozen=True)
class SurveyKind:
    """A kind of survey.

    Attributes
    ----------
    settings : a subclass of `skyloom.settings.survey.SurveySettings`
    raw_files : settings -> role (`names.ROLES`) -> files below ``results/{survey}/raw/``
    fetch : "module:function" that makes one raw file, (settings as a dict, seed, name of the file, path to write);
        empty where rules of their own make them
    keys : settings that the raw files depend on
    simulated : its galaxies are made up; reports say so
    samples : of a survey of files that hold samples already (`skyloom.surveys.common.files`), settings -> modality ->
        these files (paths, URLs, package:...), a row a sample. The rows of the first modality are the galaxies; another
        modality with the same files has its samples in the same rows, one with others is joined to the galaxies
    tables : settings -> files with what is known of its galaxies besides
    licence : of its data: an SPDX identifier, or the address of the terms; empty where only the user can know
    citation : what who uses its data cites, each with its address (https://doi.org/...)

    An archive, whose catalogue says which further files are wanted, has these besides:

    later : settings -> roles of the files that the catalogue tells; `raw_files` has the others
    selects : "module:function", (settings as a dict, a block of rows of the catalogue) -> which may be wanted
    listing : "module:function", (settings as a dict, those rows of all blocks that pass the cuts) -> files
        (`skyloom.settings.listing.Listed`) and the wanted galaxies (`skyloom.formats.wanted_galaxies`)
    partitions : "module:function", (settings as a dict, raw folder) -> files, where no redshift catalogue but
        descriptions of catalogues (role `metadata`) tell them
    told : (settings, these files) -> the `samples` in them
    parts : an entry of `Listed.parts` -> names of the raw files that it stands for
    planned : "module:function", settings as a dict -> files (`Listed`) that are made without a catalogue, for the plan
    made_from : settings -> the user's files that its raw files are made from
    url : "module:function", (name of a raw file, settings as a dict) -> its URL; "" where many make one
    chosen_by : settings that these files are chosen by
    columns : of the catalogue that `listing` reads, besides those of the cuts
    access : settings that say where files come from and how, not what is in them: `fetch` gets them, and another value
        fetches nothing again
    patterns : regular expressions of the names of these files
    """

    settings: type[Section]
    raw_files: Callable[[Section], Mapping[str, list[str]]]
    fetch: str = ""
    keys: tuple[str, ...] = ()
    simulated: bool = False
    samples: Callable[[Section], Mapping[str, list[str]]] = lambda settings: {}
    tables: Callable[[Section], list[str]] = lambda settings: []
    later: Callable[[Section], tuple[str, ...]] = lambda settings: ()
    selects: str = ""
    listing: str = ""
    partitions: str = ""
    told: "Callable[[Section, Sequence], Mapping[str, list[str]]] | None" = None
    parts: Callable[[str], Iterable[str]] = lambda part: (part,)
    planned: str = ""
    made_from: Callable[[Section], list[str]] = lambda settings: []
    url: str = ""
    chosen_by: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    access: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    licence: str = ""
    citation: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ModelKind:
    """A kind of model.

    Attributes
    ----------
    settings : the section `model` of its configuration
    network : "module:class", called with the settings and the modalities it takes, or with the settings and the
        backbones (modality -> network); what it must have is in `skyloom.models.networks`
    objective : "module:class" that trains the network (`skyloom.training.objective`); empty when it is fitted
    takes : "one" modality (key `modality`), "several" (key `modalities`) or "backbones" (key `backbones`)
    modalities : which it can take; None for any
    fewest : backbones that it needs at least
    training : what of `skyloom.settings.training.Training` this kind wants different
    embeddings : model -> names of its embeddings: modalities, or `names.JOINT`. None: a modality each
    queries : model -> names of what it predicts or reconstructs when asked
    asks : of a model that answers queries of the user's own (key `queries`), the section of one; then the network has
        `question(name, query)`, which makes of one what `needs`, `predict` and `about` take
    says_numbers : such queries have `given` and `wanted`, numbers of a galaxy, and the network has what the analysis
        `queries` reads: `sizes`, `axes`, `scaled`, `hidden`
    reconstructs : such queries have `reconstruct`, modalities that are drawn up again, and the network has what the
        analysis `reconstruction` reads: `truth`, `wavelength`, `counts`, `config`, and `of` of a question
    asked_of : a query (that section) -> the modalities that are given in it
    gives_redshift : its answers have a column z, and with a density of the redshift `posterior` too
        (`skyloom.analysis.common.posteriors`)
    hides : modality -> key of a query (that section) that says which share of the modality's tokens is hidden, 0 to 1;
        the metadata of answers then have `hidden`, modality -> share
    blocks : settings -> how many blocks, ``network.blocks``, its tokens go through one after another, of which the last
        may learn on in a model that is built on it
    unfrozen : (settings, modality) -> how many last blocks of that backbone learn; "all": all that tokens are made of
    label_table : settings -> the user's table with what it learns from; None: galaxies.parquet
    whole_batch : its loss compares the samples of a batch with each other, or normalises by them, so that
        `training.accumulate` cannot take it in parts
    free : settings that may differ between a model and the one it starts from
    shared_space : its embeddings of several modalities lie in one space
    attends : a learned query pools tokens into its embeddings; the network has `attending`, which of them, and
        `attention(batch, name)` and `places(name)` of these, which the analysis `attention` reads
    fills : it fills in what is hidden of a spectrum; the network has what the analysis `filling` reads: `wavelength`,
        `read`, `hide`, `hidden` and `fill`
    ordered : the columns of an embedding are ordered: the first few make a smaller model of their own
    baseline : it needs no training by gradients: what others are measured against
    weights : settings -> what for -> path or URL of the files with its weights, of a model that others trained; it has
        no objective, and its network `shapes`: modality -> dataset -> shape that it was trained on
    reads : "module:function", (settings, these files where they are) -> (settings, completed by what the files say,
        names of its network -> tensors)
    check : (model, survey) -> None; raises BadConfig with one line for a combination that cannot work
    """

    settings: type[Section]
    network: str
    objective: str = ""
    takes: str = "one"
    modalities: tuple[str, ...] | None = None
    fewest: int = 2
    training: Mapping[str, object] = dataclasses.field(default_factory=dict)
    embeddings: "Callable[[Model], Iterable[str]] | None" = None
    queries: "Callable[[Model], Iterable[str]]" = lambda model: ()
    asks: type[Section] | None = None
    says_numbers: bool = False
    reconstructs: bool = False
    asked_of: "Callable[[Section], Iterable[str]]" = lambda query: ()
    gives_redshift: bool = False
    hides: Mapping[str, str] = dataclasses.field(default_factory=dict)
    blocks: Callable[[Section], int] = lambda settings: 0
    unfrozen: "Callable[[Section, str], int | str]" = lambda settings, modality: 0
    label_table: "Callable[[Section], str | None]" = lambda settings: None
    whole_batch: bool = False
    free: tuple[str, ...] = ()
    shared_space: bool = False
    attends: bool = False
    fills: bool = False
    ordered: bool = False
    baseline: bool = False
    weights: "Callable[[Section], Mapping[str, str]] | None" = None
    reads: str = ""
    check: "Callable[[Model, Survey], None]" = lambda model, survey: None


@dataclasses.dataclass(frozen=True)
class AnalysisKind:
    """A kind of analysis.

    Attributes
    ----------
    rule : name of its rule, a verb
    title : what it is, for the message of its jobs and the report
    settings : its section of `analyses`, a subclass of `skyloom.settings.analysis.AnalysisSettings`
    inputs : context -> role -> files; raises `Lacking` when the survey has not what it takes
    outputs : role -> file name; the caption of a figure x.png is `captions/x.rst` beside the module, of a table x.csv
        `captions/x.csv.rst`
    run : "module:function", called with a `skyloom.settings.analysis.Job`
    present : "module:function" that gives the report its figures, tables and claims, as blocks of
        `skyloom.analysis.common.blocks`; empty: figures and tables as they are
    environment : the conda environment, a file of ``envs/``
    mem_mb, runtime : megabytes and minutes of a job
    data : files the code reads besides modules (templates), as patterns beside the module; they count in its hash
    folder : where below ``results/{survey}/`` its results go
    opens : shown at the top of a report, that of real data first
    default : part of the report and so of `all`; otherwise made when asked for by name
    keys : settings of the survey that the job depends on and is given (`Job.of_survey`)
    read : other analyses read its results, so its jobs go before those of others that are ready too
    tidy : its csv of role `table` has a number a row, in the columns `metric` and `value`, as an audit reads it
    """

    rule: str
    title: str
    settings: type[Section]
    inputs: "Callable[[Context], Mapping[str, list[str]]]"
    outputs: Mapping[str, str]
    run: str
    present: str = ""
    environment: str = "analysis"
    mem_mb: int = 4000
    runtime: int = 60
    data: tuple[str, ...] = ()
    folder: str = "analysis"
    opens: bool = False
    default: bool = True
    keys: tuple[str, ...] = ()
    read: bool = False
    tidy: bool = True


def find(room: str, kind: object, where: str):
    """The `KIND` of a model, survey or analysis; BadConfig when there is no such kind.

    Parameters
    ----------
    room : a key of ROOMS
    kind : its name
    where : the place in the configuration, for the message
    """
    name = module_name(room, kind)
    if name is None:
        raise BadConfig(
            f"{where}: {kind!r} is not allowed; allowed are {', '.join(own_kinds(room))}, or a module of yours"
        )
    module = importlib.import_module(name)
    if not hasattr(module, "KIND"):
        raise BadConfig(f"{where}: the module {name} ({module.__file__}) has no KIND, which says what this {room} is")
    return module.KIND


def module_name(room: str, kind: object) -> str | None:
    """The dotted name of the module behind a kind; None when there is none."""
    if not isinstance(kind, str) or not all(part.isidentifier() for part in kind.split(".")):
        return None
    if "." not in kind and kind in own_kinds(room):
        return f"{ROOMS[room]}.{kind}"
    try:
        found = importlib.util.find_spec(kind)
    except ModuleNotFoundError:
        return None
    inside = found and any((found.origin or "").startswith(f"{folder}{os.sep}") for folder in _extensions)
    return kind if inside else None


@functools.cache
def own_kinds(room: str) -> tuple[str, ...]:
    """The kinds that the library has, sorted."""
    import pkgutil

    folder = importlib.import_module(ROOMS[room]).__path__
    return tuple(sorted(info.name for info in pkgutil.iter_modules(folder) if info.name not in _NOT_KINDS))


_extensions: list[str] = []


def extend(folders: Iterable[str]) -> None:
    """Look for kinds in these folders too, now and in the jobs (they are put at the end of ``sys.path``)."""
    for folder in map(os.path.abspath, folders):
        if folder not in _extensions:
            _extensions.append(folder)
        if folder not in sys.path:
            sys.path.append(folder)


def extensions() -> tuple[str, ...]:
    """The folders of the user's own kinds."""
    return tuple(_extensions)


def load(name: str):
    """The object behind "module:attribute"."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
