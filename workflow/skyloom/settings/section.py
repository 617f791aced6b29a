"""Settings: each stated once, as a field of a `Section` with its type, range, default and meaning.

The checks, the JSON schema, the commented default values (`skyloom.settings.document`) and what a job receives are all
made from these classes.
"""

import difflib
import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, create_model
from pydantic_core import PydanticCustomError

from skyloom.core.errors import BadConfig


class Section(BaseModel):
    """A part of the configuration. Unknown keys are refused, values are not converted (1.0 and true are no integers).

    A subclass checks combinations in a `pydantic.model_validator` that raises `refuse(...)`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    def plain(self) -> dict:
        """All values, defaults written out, in the types of JSON: what jobs, cards and provenance receive.

        What has no value (`None`) is left out.
        """
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


S = TypeVar("S", bound=Section)


def setting(default=..., **range_and_more):
    """A field: its default (`...` for none), its range (`ge`, `gt`, `le`, `lt`, `min_length`); the string below it in
    the class is its meaning."""
    return Field(default, **range_and_more)


def with_defaults(section: type[S], **defaults) -> type[S]:
    """A section with the keys of another, their types, ranges and meanings, and other defaults for some of them."""
    fields = {}
    for name, default in defaults.items():
        field = section.model_fields[name]
        fields[name] = (Annotated[(field.annotation, *field.metadata)], Field(default, description=field.description))
    return create_model(section.__name__, __base__=section, __module__=section.__module__, **fields)


def refuse(where: str, text: str) -> PydanticCustomError:
    """The error to raise for a combination of settings: `where` is a key of the section ("" for the section itself)."""
    return PydanticCustomError("refused", "{text}", {"text": text, "key": where})


def reference(what: str, *more: str) -> type[str]:
    """A string that names something of the configuration (model, survey, embedding ...), or one of `more`.

    What there is comes with the call of `parse` (`known`); without it every name passes.
    """

    def check(value: str, info: ValidationInfo) -> str:
        known = (info.context or {}).get(what)
        if known is not None and value not in (*known, *more):
            article = "an" if what[0] in "aeiou" else "a"
            text = f"'{value}' is not {article} {what}; {hint(value, [*known, *more])}"
            raise PydanticCustomError("reference", "{text}", {"text": text})
        return value

    return Annotated[str, AfterValidator(check)]


def parse(cls: type[S], values: object, where: str, known: Mapping[str, list[str]] | None = None) -> S:
    """A section from what a user wrote.

    Parameters
    ----------
    cls : the section
    values : a mapping with the types of YAML or JSON
    where : its place in the configuration, dotted, for messages
    known : what `reference` fields may name

    Raises
    ------
    BadConfig : one line that names the key, the user's value and what is allowed.
    """
    try:
        return cls.model_validate_json(json.dumps(values, default=str), context=known)
    except ValidationError as error:
        raise BadConfig(describe(error, where, cls)) from None


def describe(error: ValidationError, where: str, cls: type[Section]) -> str:
    """One line for the most telling of the errors: a misspelt key before wrong values, missing keys last."""
    order = {"extra_forbidden": 0, "missing": 2}
    first = min(error.errors(), key=lambda e: order.get(e["type"], 1))
    path, kind, value = [str(part) for part in first["loc"]], first["type"], first["input"]
    if kind == "extra_forbidden":
        section = ".".join([where, *path[:-1]] if where else path[:-1]) or "top level"
        known = _keys(cls, path[:-1])
        return f"{section}: unknown key '{path[-1]}: {short(value)}'; {hint(path[-1], known)}"
    if kind == "missing":
        section = ".".join([where, *path[:-1]] if where else path[:-1]) or "top level"
        return f"{section}: the key '{path[-1]}' is missing; required are {', '.join(_required(cls, path[:-1]))}"
    context = first.get("ctx", {})
    place = ".".join(part for part in [where, *path, context.get("key", "")] if part) or "top level"
    if kind in ("refused", "reference"):
        return f"{place}: {context['text']}"
    return f"{place}: {short(value)} is not allowed; {_allowed(kind, context, value)}"


def short(value: object) -> str:
    """A user's value, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_TYPES = {
    "int_type": "integer",
    "int_from_float": "integer",
    "float_type": "number",
    "string_type": "string",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "object",
    "model_type": "object",
}
_RANGES: dict[str, Callable[[dict], str]] = {
    "greater_than_equal": lambda c: f"must be at least {c['ge']:g}",
    "greater_than": lambda c: f"must be above {c['gt']:g}",
    "less_than_equal": lambda c: f"must be at most {c['le']:g}",
    "less_than": lambda c: f"must be below {c['lt']:g}",
    "too_short": lambda c: f"needs at least {c['min_length']} entries",
    "too_long": lambda c: f"takes at most {c['max_length']} entries",
    "string_pattern_mismatch": lambda c: f"must match {c['pattern']}",
    "literal_error": lambda c: f"allowed are {re.sub(r' or ', ', ', c['expected']).replace(chr(39), '')}",
    "expected": lambda c: c["text"],
}


def _allowed(kind: str, context: dict, value: object) -> str:
    if kind in _RANGES:
        return _RANGES[kind](context)
    expected = _TYPES.get(kind, kind.replace("_", " "))
    if expected in ("integer", "number") and isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return f"expected {expected}"
        if "e" not in value.lower():
            return (
                f"expected {expected}, this is text: quoted, or within {{}} of --config, where all is text; use a file"
            )
        written = f"{number:g}" if expected == "number" else f"{number:.0f}"
        return f"expected {expected}; YAML reads {value} as text (it wants a point, as in 1.0e-3): write {written}"
    return f"expected {expected}"


def hint(word: str, known: list[str]) -> str:
    """What was probably meant, or what is allowed."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"allowed are {', '.join(sorted(known)) or 'none'}"


def _at(cls: type[Section], path: list[str]) -> type[Section] | None:
    """The section that a path of keys leads to."""
    for key in path:
        field = cls.model_fields.get(key)
        found = [] if field is None else [t for t in _inside(field.annotation) if issubclass(t, Section)]
        if found:
            cls = found[0]
    return cls


def _inside(annotation) -> list[type]:
    parts = getattr(annotation, "__args__", ())
    return [annotation] if isinstance(annotation, type) and not parts else [t for part in parts for t in _inside(part)]


def _keys(cls: type[Section], path: list[str]) -> list[str]:
    return list(_at(cls, path).model_fields)


def _required(cls: type[Section], path: list[str]) -> list[str]:
    return [name for name, field in _at(cls, path).model_fields.items() if field.is_required()]
