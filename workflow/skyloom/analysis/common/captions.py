"""The captions of what an analysis makes: texts beside its module, for the report and for Snakemake's own.

Light to import: the Snakefile asks for them.
"""

import importlib.util
from pathlib import Path

from skyloom.settings import kinds


def caption_file(kind: str, output: str) -> str | None:
    """The caption of an output of a kind of analysis, None when it has none.

    Parameters
    ----------
    kind : name of the kind, as in `kinds.find`
    output : a file name that its `KIND.outputs` declares

    The caption of ``x.png`` is ``captions/x.rst`` beside the module, that of a table ``x.csv`` ``captions/x.csv.rst``.
    """
    module = kinds.module_name("analysis", kind)
    if module is None:
        return None
    folder = Path(importlib.util.find_spec(module).origin).parent / "captions"
    output = Path(output)
    path = folder / (f"{output.stem}.rst" if output.suffix == ".png" else f"{output.name}.rst")
    return str(path) if path.is_file() else None


def caption(kind: str, output: str) -> str:
    """The text of that caption on one line; empty when there is none."""
    path = caption_file(kind, output)
    return "" if path is None else " ".join(Path(path).read_text(encoding="utf-8").split())
