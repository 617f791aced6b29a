"""The settings as people and editors read them: a JSON schema, and every key with default, range and meaning in YAML.

``python -m skyloom.settings.document`` writes both into ``workflow/schemas``; a test fails when they are not what it
would write.
"""

import argparse
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import TypeAdapter, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from skyloom.core.files import write_text
from skyloom.settings import kinds
from skyloom.settings.config import Root
from skyloom.settings.models import ModelSettings
from skyloom.settings.section import Section
from skyloom.settings.training import Training

SCHEMAS = Path(__file__).parents[2] / "schemas"
PARTS = {"surveys": "survey", "models": "model", "analyses": "analysis"}
_INDENT = 2
_WIDTH = 118


def main() -> None:
    """Write the schema and the commented settings."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", default=SCHEMAS, help="where config.schema.json and settings.yaml go")
    folder = Path(parser.parse_args().folder)
    for name, text in documents().items():
        write_text(folder / name, text)


def documents() -> dict[str, str]:
    """File name -> text."""
    return {"config.schema.json": json.dumps(schema(), indent=1) + "\n", "settings.yaml": commented()}


def schema() -> dict:
    """A JSON schema of the configuration (draft 2020-12): for editors, and for other programs that write one."""
    found = Root.model_json_schema()
    definitions = found.setdefault("$defs", {})
    for part, room in PARTS.items():
        choices = []
        for kind in kinds.own_kinds(room):
            section = _entry(room, kind)
            name = f"{room}-{kind}"
            own = TypeAdapter(section).json_schema()
            inner = own.pop("$defs", {})
            if any(definitions.get(part, found) != found for part, found in inner.items()):  # another of this name
                own = TypeAdapter(section).json_schema(ref_template=f"#/$defs/{name}-{{model}}")
                inner = {f"{name}-{part}": found for part, found in own.pop("$defs", {}).items()}
            definitions |= inner
            definitions[name] = own
            choices.append({"$ref": f"#/$defs/{name}"})
        choices.append({"type": "null"})
        found["properties"][part]["additionalProperties"] = {"anyOf": choices}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def _entry(room: str, kind: str) -> type[Section]:
    """The section of an entry of one kind; for a model with its own `model` and `training`."""
    declared = kinds.find(room, kind, kind)
    if room != "model":
        return declared.settings
    return create_model(
        f"{kind.title()}Model", __base__=ModelSettings, model=(declared.settings, {}), training=(Training, {})
    )


def commented() -> str:
    """Every setting with its default, range and meaning, as YAML with comments."""
    lines = ["# Made by `python -m skyloom.settings.document`: every setting, its default, range and meaning.", ""]
    lines += _section(Root, 0, skip=tuple(PARTS))
    for part, room in PARTS.items():
        lines += ["", f"{part}: # {Root.model_fields[part].description}"]
        for kind in kinds.own_kinds(room):
            declared = kinds.find(room, kind, kind)
            lines += [f"{' ' * _INDENT}{kind}: # {_first_line(declared.settings)}"]
            if room == "model":
                lines += _section(ModelSettings, 4, skip=("model", "training"), preset={"kind": kind})
                lines += ["    model:", *_section(declared.settings, 6)]
                lines += ["    training:", *_section(Training, 6, preset=dict(declared.training))]
            else:
                lines += _section(declared.settings, 4, preset={"kind": kind})
    return "\n".join(lines) + "\n"


def _section(
    section: type[Section], indent: int, skip: tuple[str, ...] = (), preset: dict | None = None
) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if name not in skip:
            yield from _field(name, field, indent, (preset or {}).get(name, PydanticUndefined))


def _field(name: str, field: FieldInfo, indent: int, preset: object = PydanticUndefined) -> Iterator[str]:
    inner = _inner(field.annotation)
    name = field.alias or name
    default = field.default if preset is PydanticUndefined else preset
    space = " " * indent
    text = f"{field.description or ''}{_range(field)}"
    if isinstance(default, Section) or (inner is not None and default is PydanticUndefined):
        yield from _wrapped(f"{space}{name}:", text, indent)
        values = default.plain() if isinstance(default, Section) else {}
        plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
        yield from _section(type(default) if values else inner, indent + _INDENT, preset=plain)
        return
    listed = _listed(field.annotation)
    if listed is not None:
        yield from _wrapped(f"{space}# {name}: (a list of)", text, indent)
        yield from (f"{space}#   {line.strip().removeprefix('# ')}" for line in _section(listed, 0))
        return
    if default is PydanticUndefined:
        yield from _wrapped(f"{space}# {name}: (required)", text, indent)
    elif default is None:
        yield from _wrapped(f"{space}# {name}: (none)", text, indent)
    else:
        value = json.dumps(default if not isinstance(default, tuple) else list(default), default=str)
        yield from _wrapped(f"{space}{name}: {value}", text, indent)


def _wrapped(start: str, text: str, indent: int) -> list[str]:
    words = textwrap.wrap(text, _WIDTH - indent - 2)
    if len(start) + len(text) + 3 <= _WIDTH:
        return [f"{start} # {text}" if text else start]
    return [*(f"{' ' * indent}# {line}" for line in words), start]


def _inner(annotation) -> type[Section] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _listed(annotation) -> type[Section] | None:
    """The section that a list, or a choice, is made of."""
    inside = [found for part in get_args(annotation) for found in (_inner(part), _listed(part)) if found]
    return inside[0] if inside else None


def _range(field: FieldInfo) -> str:
    """What is allowed, in words."""
    words = []
    for part in field.metadata:
        for key, word in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
            if getattr(part, key, None) is not None:
                words.append(f"{word} {getattr(part, key):g}")
    choices = [value for literal in _literals(field.annotation) for value in get_args(literal)]
    if choices:
        words.append("one of " + ", ".join(str(v).lower() if isinstance(v, bool) else str(v) for v in choices))
    return f" ({'; '.join(words)})" if words else ""


def _literals(annotation) -> list:
    if get_origin(annotation) is Literal:
        return [annotation]
    return [literal for part in get_args(annotation) for literal in _literals(part)]


def _first_line(section: type[Section]) -> str:
    return (section.__doc__ or "").strip().partition("\n")[0]


if __name__ == "__main__":
    main()
