"""Which code made a result: a hash over a script and every module of the library that it can reach by imports."""

import ast
import functools
import hashlib
from pathlib import Path

from skyloom.core.files import sha256

LIBRARY = Path(__file__).parents[1]


def code_hash(script: str | Path, *data: str | Path) -> str:
    """Hash of `script`, of the library modules it imports, directly or through others, and of `data` files it reads
    (16 hexadecimal digits).

    Comments, docstrings and formatting do not count: only a change that can change a result changes the hash. A rule
    carries it as a parameter, so editing a module reruns the rules that depend on it and no others.
    """
    modules = sorted(_closure(Path(script).resolve()))
    digests = [_meaning(module)[0] for module in modules] + [sha256(path) for path in data]
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]


def _closure(script: Path) -> set[Path]:
    found, todo = set(), [script]
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo.extend(_meaning(module)[1])
    return found


@functools.cache
def _meaning(module: Path) -> tuple[str, frozenset[Path]]:
    """The syntax tree of a module without docstrings, as a digest, and the library files it imports."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                imported |= _files(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imported |= _files(node.module)
            for alias in node.names:
                imported |= _files(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:]
    digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return digest, frozenset(imported)


def _files(name: str) -> set[Path]:
    """The library files behind a dotted name: the module and the packages on the way to it."""
    parts = name.split(".")
    if parts[0] != LIBRARY.name:
        return set()
    found = set()
    for depth in range(1, len(parts) + 1):
        path = LIBRARY.joinpath(*parts[1:depth])
        found |= {p for p in (path / "__init__.py", path.with_suffix(".py")) if depth > 1 and p.is_file()}
    return found
