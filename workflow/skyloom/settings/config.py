"""The configuration against its schema: one line that shows the user's value and what is allowed."""

import difflib
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from skyloom.core.errors import BadConfig
from skyloom.settings import layout

SCHEMAS = Path(__file__).parents[2] / "schemas"


def validate(config: dict, folder: Path = SCHEMAS) -> None:
    """Raise BadConfig with one line for the most telling fault of `config`; unknown keys are faults.

    ``config.schema.yaml`` holds what is common; each kind of survey and of model adds the keys in its own file,
    ``surveys/{kind}.yaml`` or ``models/{kind}.yaml``.
    """
    schema = _load(folder / "config.schema.yaml")
    _check(config, schema, "")
    for section, common in (("surveys", "survey"), ("models", "model")):
        for name, entry in config[section].items():
            kinds = sorted(path.stem for path in (folder / section).glob("*.yaml"))
            where = f"{section}.{name}"
            if entry.get("kind") not in kinds:
                raise BadConfig(
                    f"config: {where}.kind: {entry.get('kind')!r} is not allowed; allowed are {', '.join(kinds)}"
                )
            _check(entry, _merge(schema["$defs"], common, _load(folder / section / f"{entry['kind']}.yaml")), where)
    for name, survey in config["surveys"].items():
        _check_references(name, survey, config)
    _check_report(config)


def _load(path: Path) -> dict:
    return yaml.safe_load(path.read_text())


def _merge(definitions: dict, name: str, own: dict) -> dict:
    common = definitions[name]
    return {
        "$defs": definitions,
        "type": "object",
        "additionalProperties": False,
        "required": common["required"] + own["required"],
        "properties": common["properties"] | own["properties"],
    }


def _check(value: dict, schema: dict, where: str) -> None:
    error = best_match(Draft202012Validator(schema).iter_errors(value))
    if error is not None:
        raise BadConfig(f"config: {describe(error, where)}")


def describe(error, section: str = "") -> str:
    """One line for a jsonschema error: where (below `section`), the user's value, what is allowed."""
    where = ".".join([section] * bool(section) + [str(step) for step in error.absolute_path]) or "top level"
    if error.validator == "additionalProperties":
        return _unknown_key(where, error)
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{where}: the key '{missing}' is missing; required are {', '.join(error.validator_value)}"
    return f"{where}: {_short(error.instance)} is not allowed; {_allowed(error)}"


def _unknown_key(where: str, error) -> str:
    known = sorted(error.schema.get("properties", {}))
    unknown = sorted(set(error.instance) - set(known))[0]
    close = difflib.get_close_matches(unknown, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"allowed are {', '.join(known)}"
    return f"{where}: unknown key '{unknown}: {_short(error.instance[unknown])}'; {hint}"


def _allowed(error) -> str:
    rule, value = error.validator, error.validator_value
    words = {
        "enum": lambda: f"allowed are {', '.join(map(str, value))}",
        "const": lambda: f"allowed is {value}",
        "type": lambda: f"expected {value if isinstance(value, str) else ' or '.join(value)}",
        "minimum": lambda: f"must be at least {value}",
        "maximum": lambda: f"must be at most {value}",
        "exclusiveMinimum": lambda: f"must be above {value}",
        "exclusiveMaximum": lambda: f"must be below {value}",
        "minItems": lambda: f"needs at least {value} entries",
        "minProperties": lambda: f"needs at least {value} entries",
        "pattern": lambda: f"must match {value}",
    }
    return words.get(rule, lambda: error.message)()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _check_report(config: dict) -> None:
    """The survey of the report must have what it shows: models, and images beside spectra."""
    name = config["report"]
    if name not in config["surveys"]:
        raise BadConfig(f"config: report: '{name}' is not a survey; allowed are {', '.join(config['surveys'])}")
    survey = config["surveys"][name]
    lacking = [modality for modality in ("spectrum", "image") if modality not in survey["modalities"]]
    lacking += ["models"] * (not survey["models"])
    if lacking:
        expected = "expected a survey with spectrum, image and models"
        raise BadConfig(f"config: report: '{name}' is a survey without {', '.join(lacking)}; {expected}")


def _check_modalities(name: str, survey: dict, config: dict) -> None:
    """A survey must have raw files, those of each of its modalities among them, and need no image it does not have."""
    try:
        possible = layout.possible_modalities(name, config)
    except BadConfig as error:
        raise BadConfig(f"config: surveys.{name}.{error}") from error
    for modality in survey["modalities"]:
        if modality not in possible:
            known = f"a modality of kind {survey['kind']}" if modality in layout.MODALITIES else "a modality"
            where, allowed = f"config: surveys.{name}.modalities", ", ".join(possible)
            raise BadConfig(f"{where}: '{modality}' is not {known}; allowed are {allowed}")
    for modality in survey.get("crossmatch", {}).get("require", ()):
        if modality not in survey["modalities"]:
            where, allowed = f"config: surveys.{name}.crossmatch.require", ", ".join(survey["modalities"])
            raise BadConfig(f"{where}: '{modality}' is not among the survey's modalities, {allowed}")


def _check_references(name: str, survey: dict, config: dict) -> None:
    """Names that point elsewhere must exist there: modalities in the library, surveys and models in the config."""
    _check_modalities(name, survey, config)
    source = survey.get("models_from", name)
    if source not in config["surveys"]:
        allowed = ", ".join(config["surveys"])
        raise BadConfig(f"config: surveys.{name}.models_from: '{source}' is not a survey; allowed are {allowed}")
    for model in survey["models"]:
        if model not in config["models"]:
            allowed = ", ".join(config["models"])
            raise BadConfig(f"config: surveys.{name}.models: '{model}' is not a model; allowed are {allowed}")
        for modality, backbone in config["models"][model].get("backbones", {}).items():
            one = [key for key, entry in config["models"].items() if entry.get("modality") == modality]
            if backbone not in one:
                where = f"config: models.{model}.backbones.{modality}"
                raise BadConfig(f"{where}: '{backbone}' is not a model of this modality; allowed are {', '.join(one)}")
    total = sum(survey["split"]["fractions"].values())
    if abs(total - 1) > 1e-6:
        raise BadConfig(
            f"config: surveys.{name}.split.fractions: the fractions add up to {total:g}; they must add up to 1"
        )
