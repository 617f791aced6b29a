"""The code hash of a rule follows what the rule's script imports, and nothing else."""

import ast
import hashlib
import importlib.metadata
import os
import subprocess
import sys

import pytest

from skyloom.core import code
from skyloom.core.code import distributions_of
from skyloom.core.errors import BadConfig
from tests.paths import LIBRARY


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library `skyloom` of three modules and a script that reaches two of them."""
    root = tmp_path / "skyloom"
    root.mkdir()
    (root / "__init__.py").write_text("")
    (root / "redshift.py").write_text('"""Doc."""\nfrom skyloom.lines import HALPHA\n\nz = HALPHA\n')
    (root / "lines.py").write_text("HALPHA = 6564.6\n")
    (root / "other.py").write_text("x = 1\n")
    (tmp_path / "script.py").write_text("from skyloom import redshift\n")
    monkeypatch.setattr(code, "LIBRARY", root)
    code._parse.cache_clear()
    code._reached.cache_clear()
    yield root
    code._parse.cache_clear()
    code._reached.cache_clear()


def hash_after(library, name, text):
    (library / name).write_text(text)
    code._parse.cache_clear()
    code._reached.cache_clear()
    return code.code_hash(library.parent / "script.py")


def test_hash_changes_with_a_module_two_imports_away(library):
    before = code.code_hash(library.parent / "script.py")
    assert hash_after(library, "lines.py", "HALPHA = 6562.8\n") != before


def test_hash_ignores_comments_docstrings_and_modules_not_imported(library):
    before = code.code_hash(library.parent / "script.py")
    assert hash_after(library, "lines.py", '"""Vacuum."""\n\nHALPHA = 6564.6  # Angstrom\n') == before
    assert hash_after(library, "other.py", "x = 2\n") == before


def test_imports_for_annotations_alone_do_not_count(library):
    text = (
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from skyloom import other\nelse:\n    import json\n"
    )
    before = hash_after(library, "lines.py", text)
    assert hash_after(library, "other.py", "x = 2\n") == before
    hash_after(library, "lines.py", text.replace("import json", "from skyloom import other"))
    before = code.code_hash(library.parent / "script.py")
    assert hash_after(library, "other.py", "x = 3\n") != before


def test_hash_follows_data_files(library):
    page = library.parent / "page.html"
    page.write_text("old")
    before = code.code_hash(library.parent / "script.py", page)
    page.write_text("new")
    assert code.code_hash(library.parent / "script.py", page) != before


def test_hash_ignores_docstrings_of_attributes(library):
    plain = "HALPHA = 6564.6\n\nclass Line:\n    width: float = 1.0\n    flux = 2.0\n"
    told = "HALPHA = 6564.6\n'In vacuum.'\n\nclass Line:\n    width: float = 1.0\n    'km/s'\n    flux = 2.0\n    ''\n"
    before = hash_after(library, "lines.py", plain)
    assert hash_after(library, "lines.py", told) == before
    assert hash_after(library, "lines.py", told.replace("2.0", "2.5")) != before
    assert hash_after(library, "lines.py", plain.replace("width", "depth")) != before


@pytest.mark.parametrize(
    "statement",
    ["from . import lines", "from .lines import HALPHA", "from .deep.inner import x", "from .deep import inner"],
)
def test_hash_follows_relative_imports(library, statement):
    (library / "deep").mkdir()
    (library / "deep" / "__init__.py").write_text("")
    (library / "deep" / "inner.py").write_text("from ..lines import HALPHA as x\n")
    before = hash_after(library, "redshift.py", statement)
    assert hash_after(library, "lines.py", "HALPHA = 6562.8\n") != before


# Newer versions of Python know more fields, leave empty ones out of `ast.dump` and cut f-strings otherwise.
SOURCE = '''
from collections.abc import Sequence as S

class Encoder(object):
    """Doc."""
    width: int = 0x10
    "pixels"

    def forward(self, x, /, *rest, mask=None, **options) -> "Tensor":
        name = f"{x!r:>{10}} of {self.width:}" "{}" f"%{mask=}"
        return [y async for y in x if y @ 1e-3] or (lambda: b"a" if False else ...)
'''


def test_hash_is_the_same_for_every_version_of_python():
    digest = hashlib.sha256(code._meaning(ast.parse(SOURCE)).encode()).hexdigest()
    assert digest[:16] == "f165960ec28bb00f"


def test_fields_that_another_version_adds_or_leaves_out_do_not_count_when_empty():
    tree, other = ast.parse(SOURCE), ast.parse(SOURCE)
    for node in [node for node in ast.walk(other) if isinstance(node, ast.stmt)]:
        for field in [name for name, value in ast.iter_fields(node) if value == [] or value is None]:
            delattr(node, field)
        node._fields = (*node._fields, "type_params", "future")
        node.type_params, node.future = [], None
    assert code._meaning(other) == code._meaning(tree)
    other.body[0].future = ["new"]
    assert code._meaning(other) != code._meaning(tree)


def test_how_an_fstring_is_cut_does_not_count():
    whole = code._meaning(ast.parse("f'ab{x}'"))
    cut = ast.parse("f'ab{x}'")
    cut.body[0].value.values[:1] = [ast.Constant("a"), ast.Constant(""), ast.Constant("b")]
    assert code._meaning(cut) == whole
    assert code._meaning(ast.parse("f'a{x}b'")) != whole


@pytest.fixture
def registered(library):
    """An analysis of two modules in the library, its sibling, and a user's model in a folder of its own."""
    for name in ("regression", "retrieval"):
        folder = library / "analysis" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        (folder / "numbers.py").write_text("n = 1\n")
    (library / "analysis" / "__init__.py").write_text("")
    figures = library / "analysis" / "regression" / "figures.py"
    figures.write_text("def draw():\n    from skyloom.lines import HALPHA\n")
    own = library.parent / "own"
    own.mkdir()
    (own / "my_model.py").write_text("import my_blocks, torch\nfrom skyloom import other\n")
    (own / "my_blocks.py").write_text("width = 1\n")
    (own / "unused.py").write_text("")
    return own


def registered_hash(own, *modules):
    code._parse.cache_clear()
    code._reached.cache_clear()
    return code.code_hash(own.parent / "script.py", modules=modules, roots=[own])


@pytest.mark.parametrize(
    "module, edited, counts",
    [
        ("skyloom.analysis.regression", "skyloom/analysis/regression/numbers.py", True),
        ("skyloom.analysis.regression", "skyloom/analysis/regression/__init__.py", True),
        ("skyloom.analysis.regression", "skyloom/analysis/__init__.py", True),
        ("skyloom.analysis.regression", "skyloom/lines.py", True),
        ("skyloom.analysis.regression", "skyloom/analysis/retrieval/numbers.py", False),
        ("skyloom.analysis.regression", "own/my_model.py", False),
        ("my_model", "own/my_model.py", True),
        ("my_model", "own/my_blocks.py", True),
        ("my_model", "skyloom/other.py", True),
        ("my_model", "own/unused.py", False),
    ],
)
def test_hash_starts_at_modules_loaded_by_name(registered, module, edited, counts):
    before = registered_hash(registered, module)
    (registered.parent / edited).write_text("edited = True\n")
    assert (registered_hash(registered, module) != before) == counts


@pytest.mark.parametrize("name", ["my_modle", "skyloom.analysis.regresion", "skyloom.nothing"])
def test_a_module_that_is_nowhere_is_named(registered, name):
    with pytest.raises(BadConfig, match=f"^{name}: no such module"):
        registered_hash(registered, name)


NOTED = """
import sys
from skyloom.core import code
from skyloom.core.code import distributions_of
read = code._read
code._read = lambda content: print("parsed") or read(content)
print(code.code_hash(sys.argv[1]))
"""


def noted(folder) -> list[str]:
    """What a process in `folder` prints: a word for each file that it parses, and the hash of script.py."""
    command = [sys.executable, "-c", NOTED, "script.py"]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(LIBRARY)}
    ).stdout.split()


def test_a_file_is_parsed_once_for_all_processes_as_long_as_its_content_is_the_same(tmp_path):
    (tmp_path / "script.py").write_text("x = 1\n")
    assert noted(tmp_path) == noted(tmp_path) and not list(tmp_path.glob(".snakemake"))  # no workflow, no notes
    (tmp_path / ".snakemake").mkdir()
    first, second = noted(tmp_path), noted(tmp_path)
    assert first[0] == "parsed" and second == first[-1:]
    os.utime(tmp_path / "script.py", (1e9, 1e9))
    assert noted(tmp_path) == second
    (tmp_path / "script.py").write_text("x = 2\n")
    os.utime(tmp_path / "script.py", (1e9, 1e9))
    assert noted(tmp_path)[-1] != first[-1]
    (notes,) = (tmp_path / ".snakemake/skyloom").glob("code-*.json")
    notes.write_text("{broken")
    (tmp_path / "script.py").write_text("x = 1\n")
    assert noted(tmp_path)[-1] == first[-1]


def test_distributions_are_those_that_importlib_finds():
    found = importlib.metadata.packages_distributions()
    for name in ("numpy", "sklearn", "yaml", "PIL", "pytest", "astropy_healpix", "nowhere"):
        assert sorted({dist.name for dist in distributions_of({name})}) == sorted(set(found.get(name, ())))
