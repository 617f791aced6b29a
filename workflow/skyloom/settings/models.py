"""Models of the configuration: what a user writes of one, checked by itself and with the models it needs."""

import dataclasses
import re
from collections.abc import Mapping

from skyloom.core.errors import BadConfig
from skyloom.settings import kinds
from skyloom.settings.kinds import ModelKind
from skyloom.settings.names import MODALITIES
from skyloom.settings.section import Section, parse, setting, short
from skyloom.settings.training import Training

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
RESERVED = ("downloads",)


class StartsFrom(Section):
    """A trained model of the same kind and shape, whose weights a training starts with."""

    model: str = setting()
    "its name"
    survey: str | None = setting(None)
    "on which it is trained; without this key the one on which the model that starts from it is"


class ModelSettings(Section):
    """An entry of `models`; `model` has the keys of its kind."""

    kind: str = setting()
    "the module of `skyloom/models` behind it, or one of your own"
    modality: str | None = setting(None)
    "of a model that takes one"
    modalities: list[str] | None = setting(None, min_length=2)
    "of a model that takes several"
    backbones: dict[str, str] | None = setting(None, min_length=1)
    "modality -> model, of a model that is built on others"
    model: dict = setting({})
    "its shape, the keys of its kind"
    training: dict = setting({})
    "how it is trained"
    starts_from: StartsFrom | None = setting(None)
    "train on from a trained model, such as one of another survey, whose standardisation is kept"
    queries: dict[str, dict | None] = setting({})
    "name -> what is given and what is wanted, of a model that answers such; they can change without a new training"


@dataclasses.dataclass(frozen=True)
class Model:
    """A model of the configuration: its kind, its checked settings, what it takes and gives."""

    name: str
    kind_name: str
    kind: ModelKind
    settings: Section
    training: Training
    takes: tuple[str, ...]
    backbones: Mapping[str, str]
    asked: Mapping[str, Section] = dataclasses.field(default_factory=dict)
    starts_from: StartsFrom | None = None

    @property
    def embeddings(self) -> tuple[str, ...]:
        """Names of its embeddings: modalities, or `JOINT`."""
        return tuple(self.kind.embeddings(self)) if self.kind.embeddings else self.takes

    @property
    def queries(self) -> tuple[str, ...]:
        """Names of what it predicts or reconstructs."""
        return (*self.kind.queries(self), *self.asked)

    @property
    def learns(self) -> bool:
        """It learns by gradients here (as opposed to a fit, to the network as it starts, and to published weights)."""
        return bool(self.kind.objective) and self.training.steps > 0

    @property
    def weights(self) -> Mapping[str, str]:
        """What for -> path or URL of the files with the weights, of a model that others trained."""
        return self.kind.weights(self.settings) if self.kind.weights else {}

    @property
    def trained(self) -> bool:
        """It has learned by gradients, here or elsewhere."""
        return self.learns or bool(self.weights)

    @property
    def traits(self) -> dict:
        """What analyses and figures may know of it; it lies in the metadata of its embeddings."""
        return {
            "kind": self.kind_name,
            "trained": self.trained,
            "baseline": self.kind.baseline,
            "shared_space": self.kind.shared_space,
            "ordered": self.kind.ordered,
            "backbones": bool(self.backbones),
        }

    def plain(self) -> dict:
        """What a job that trains it is given: kind, what it takes, all settings; not queries, which train nothing."""
        takes = {"one": {"modality": self.takes[0]}, "several": {"modalities": list(self.takes)}}
        given = takes.get(self.kind.takes, {"backbones": dict(self.backbones)})
        return {"kind": self.kind_name, **given, "model": self.settings.plain(), "training": self.training.plain()}


def check_name(part: str, name: str) -> None:
    """A name that files can have. Raises BadConfig."""
    if not NAME.fullmatch(name) or (part == "surveys" and name in RESERVED):
        raise BadConfig(f"{part}: '{name}' is not a name for files; allowed are letters, digits and . _ + - within")


def read_model(name: str, entry: dict) -> Model:
    """A model from what a user wrote, checked by itself. Raises BadConfig."""
    where = f"models.{name}"
    values = parse(ModelSettings, entry, where)
    kind = kinds.find("model", values.kind, f"{where}.kind")
    key = {"one": "modality", "several": "modalities"}.get(kind.takes, "backbones")
    for other in {"modality", "modalities", "backbones"} - {key}:
        if getattr(values, other) is not None:
            raise BadConfig(f"{where}: unknown key '{other}: {getattr(values, other)}'; {values.kind} takes '{key}'")
    given = getattr(values, key)
    if given is None:
        raise BadConfig(f"{where}: the key '{key}' is missing; required are kind, {key}")
    takes = (given,) if isinstance(given, str) else tuple(given)
    if key == "backbones" and len(takes) < kind.fewest:
        raise BadConfig(f"{where}.backbones: {given} is not allowed; {values.kind} needs at least {kind.fewest}")
    allowed = MODALITIES if kind.modalities is None else kind.modalities
    for modality in takes:
        if modality not in allowed:
            raise BadConfig(f"{where}.{key}: '{modality}' is not allowed; allowed are {', '.join(allowed)}")
    settings = parse(kind.settings, values.model, f"{where}.model")
    training = parse(Training, {**kind.training, **values.training}, f"{where}.training")
    if training.accumulate > 1 and kind.whole_batch:
        text = f"{training.accumulate} is not allowed; {values.kind} learns from a batch as a whole, expected 1"
        raise BadConfig(f"{where}.training.accumulate: {text}")
    asked = _queries(kind, values, takes, where)
    if values.starts_from and (not kind.objective or key == "backbones"):
        why = "is built on others" if key == "backbones" else "does not learn by gradients"
        raise BadConfig(f"{where}.starts_from: is not allowed; {values.kind} {why}")
    return Model(name, values.kind, kind, settings, training, takes, values.backbones or {}, asked, values.starts_from)


def _queries(kind: ModelKind, values: ModelSettings, takes: tuple[str, ...], where: str) -> dict[str, Section]:
    asked = {name: query for name, query in values.queries.items() if query is not None}
    if asked and kind.asks is None:
        raise BadConfig(f"{where}: unknown key 'queries: {short(values.queries)}'; {values.kind} answers no queries")
    found = {}
    for name, query in asked.items():
        check_name(f"{where}.queries", name)
        found[name] = parse(kind.asks, query, f"{where}.queries.{name}")
        for modality in kind.asked_of(found[name]):
            if modality not in takes:
                text = f"'{modality}' is not a modality that the model takes; those are {', '.join(takes)}"
                raise BadConfig(f"{where}.queries.{name}.given: {text}")
    return found


def check_backbones(model: Model, models: Mapping[str, Model]) -> None:
    """What a model is built on are models of one modality each, with the blocks that are to learn. Raises BadConfig."""
    for modality, backbone in model.backbones.items():
        one = [name for name, other in models.items() if other.takes == (modality,) and not other.backbones]
        if backbone not in one:
            where = f"models.{model.name}.backbones.{modality}"
            raise BadConfig(f"{where}: '{backbone}' is not a model of this modality; allowed are {', '.join(one)}")
        wanted, other = model.kind.unfrozen(model.settings, modality), models[backbone]
        where, most = f"models.{model.name}.model.unfrozen", other.kind.blocks(other.settings)
        if wanted == "all" and other.kind.baseline:
            raise BadConfig(f"{where}: 'all' is not allowed; '{backbone}' has no weights that learn")
        if wanted != "all" and wanted > most:
            raise BadConfig(f"{where}: {wanted} is not allowed; '{backbone}' has {most} blocks that can learn on")


def check_start(model: Model, models: Mapping[str, Model]) -> None:
    """What a model starts from is the same network, and not in the end itself. Raises BadConfig."""
    seen, one = [model.name], model
    while one.starts_from:
        where, name = f"models.{one.name}.starts_from.model", one.starts_from.model
        other = models.get(name)
        if other is None or (other.kind_name, other.takes) != (one.kind_name, one.takes) or name == one.name:
            alike = [m.name for m in models.values() if (m.kind_name, m.takes) == (one.kind_name, one.takes)]
            allowed = ", ".join(m for m in alike if m != one.name) or "none"
            raise BadConfig(f"{where}: '{name}' is not another model of this kind; allowed are {allowed}")
        if name in seen:
            raise BadConfig(f"{where}: '{name}' starts from '{one.name}' in its turn")
        ours, theirs = ({k: v for k, v in m.settings.plain().items() if k not in m.kind.free} for m in (one, other))
        for key in ours:
            if ours[key] != theirs[key]:
                text = f"'{name}' is another network: its model.{key} is {short(theirs[key])}, not {short(ours[key])}"
                raise BadConfig(f"{where}: {text}")
        seen.append(name)
        one = other
