"""The code hash of a rule follows what the rule's script imports, and nothing else."""

import pytest

from skyloom.core import code


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
    code._meaning.cache_clear()
    yield root
    code._meaning.cache_clear()


def hash_after(library, name, text):
    (library / name).write_text(text)
    code._meaning.cache_clear()
    return code.code_hash(library.parent / "script.py")


def test_hash_changes_with_a_module_two_imports_away(library):
    before = code.code_hash(library.parent / "script.py")
    assert hash_after(library, "lines.py", "HALPHA = 6562.8\n") != before


def test_hash_ignores_comments_docstrings_and_modules_not_imported(library):
    before = code.code_hash(library.parent / "script.py")
    assert hash_after(library, "lines.py", '"""Vacuum."""\n\nHALPHA = 6564.6  # Angstrom\n') == before
    assert hash_after(library, "other.py", "x = 2\n") == before


def test_hash_follows_data_files(library):
    page = library.parent / "page.html"
    page.write_text("old")
    before = code.code_hash(library.parent / "script.py", page)
    page.write_text("new")
    assert code.code_hash(library.parent / "script.py", page) != before
