"""Pages that open offline: one look, pictures inside the file."""

import base64
import os
from pathlib import Path

import jinja2

from skyloom.core.errors import BadInput

TEMPLATES = Path(__file__).parent / "templates"


def environment(*folders: str | os.PathLike) -> jinja2.Environment:
    """Templates of these folders, and the style sheet of all pages; a name that is not given is an error."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def figure(path: str | os.PathLike, caption: str) -> dict:
    """A PNG as a data URI with its caption; BadInput if it is not one."""
    content = Path(path).read_bytes()
    if not content.startswith(b"\x89PNG\r\n"):
        raise BadInput(f"{path}: not a PNG image")
    return {"uri": "data:image/png;base64," + base64.b64encode(content).decode(), "caption": caption, "path": str(path)}
