"""Which code made a result: a hash over a script and every module that it can reach by imports."""

import ast
import atexit
import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from skyloom.core.errors import BadConfig
from skyloom.core.files import sha256

LIBRARY = Path(__file__).parents[1]
NOTES = Path(".snakemake", "skyloom")  # beside Snakemake's own: what files mean; removing it costs time only
MOST_NOTES = 5000


class Import(NamedTuple):
    """``from ..module import names`` (level 2), or ``import module`` (no names)."""

    level: int
    module: str
    names: tuple[str, ...]


def code_hash(
    script: str | Path, *data: str | Path, modules: Sequence[str] = (), roots: Sequence[str | Path] = ()
) -> str:
    """Hash of `script`, of `modules`, of what they import, directly or through others, and of `data` files they read.

    Comments, docstrings and formatting do not count, nor does the version of Python: only a change that can change a
    result changes the hash. A rule carries it as a parameter, so editing a module reruns the rules that depend on it
    and no others. Packages installed from elsewhere do not count: an update of torch or numpy should not by itself
    retrain what took days; their versions stand in the provenance of each result (`packages`).

    Parameters
    ----------
    modules
        Dotted names of modules that the script loads by name. A package counts with all modules in its folder.
    roots
        Folders, besides the library, where modules are found: those of a user.

    Returns 16 hexadecimal digits. Raises BadConfig for a name in `modules` that is nowhere.
    """
    digests = sorted(_parse(module)[0] for module in behind(script, modules, roots))
    return hashlib.sha256("".join(digests + [sha256(path) for path in data]).encode()).hexdigest()[:16]


def behind(script: str | Path, modules: Sequence[str] = (), roots: Sequence[str | Path] = ()) -> set[Path]:
    """The files of `script`, of `modules` and of what they import, directly or through others; see `code_hash`."""
    folders = tuple(Path(root).resolve() for root in roots)
    start = {Path(script).resolve()}.union(*(_module_files(name, folders) for name in modules))
    return _closure(start, folders)


def packages_of(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Packages from elsewhere that files import, by the first part of their name, and the files that import each."""
    found = {}
    for file in sorted(files):
        for imported in _parse(file)[1]:
            name = imported.module.split(".")[0]
            if not imported.level and name != LIBRARY.name and name not in sys.stdlib_module_names:
                found.setdefault(name, []).append(file)
    return found


def packages() -> dict[str, str]:
    """Versions of Python and of the installed packages that the code of this process imports itself, by name.

    That code is the main script and every loaded module that is not installed; packages that only other packages use
    are left out.
    """
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    own = [Path(file) for file in files if file and file.endswith(".py") and not _is_installed(Path(file))]
    names = {name for name in packages_of(file for file in own if file.is_file()) if name in sys.modules}
    found = {dist.name: dist.version for dist in distributions_of(names)}
    return {"python": platform.python_version(), **dict(sorted(found.items()))}


def distributions_of(names: set[str]) -> Iterator[importlib.metadata.Distribution]:
    """The installed distributions that have one of these packages or modules at their top.

    As `importlib.metadata.packages_distributions`, which takes a second, in every job, to read what all others hold.
    """
    for distribution in importlib.metadata.distributions():
        if declared := distribution.read_text("top_level.txt"):
            tops = set(declared.split())
        else:
            files = (line.split(",")[0].split("/") for line in (distribution.read_text("RECORD") or "").splitlines())
            tops = {parts[0] if len(parts) > 1 else parts[0].split(".")[0] for parts in files}
        if names & tops:
            yield distribution


def _is_installed(file: Path) -> bool:
    """True for the standard library and what package managers install, but for this library itself."""
    places = {"site-packages", "dist-packages"} & set(file.parts) or file.is_relative_to(sysconfig.get_path("stdlib"))
    return bool(places) and not file.is_relative_to(LIBRARY)


def _closure(start: set[Path], roots: tuple[Path, ...]) -> set[Path]:
    found, todo = set(), list(start)
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo.extend(_reached(module, roots))
    return found


@functools.cache
def _reached(module: Path, roots: tuple[Path, ...]) -> frozenset[Path]:
    """The files behind all imports of a module."""
    return frozenset(path for imported in _parse(module)[1] for path in _files(imported, module, roots))


@functools.cache
def _parse(module: Path) -> tuple[str, tuple[Import, ...]]:
    """The meaning of a module as a digest, and its imports, those inside functions too."""
    content = module.read_bytes()
    key = hashlib.sha256(content).hexdigest()
    notes = _notes()
    if key not in notes.known:
        notes.known[key] = notes.new[key] = _read(content)
    return notes.known[key]


def _read(content: bytes) -> tuple[str, tuple[Import, ...]]:
    """See `_parse`."""
    tree = ast.parse(content)
    imports = []
    for node in _running(tree):
        if isinstance(node, ast.Import):
            imports += [Import(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append(Import(node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return hashlib.sha256(_meaning(tree).encode()).hexdigest(), tuple(imports)


class _Notes:
    """What `_parse` found, by the SHA-256 of a file's content, kept from process to process.

    Every job of a workflow asks for the hash of every rule, which takes a second without it. A file of notes holds for
    one version of this module alone.
    """

    def __init__(self, folder: Path):
        self.path = folder / f"code-{sha256(__file__)[:16]}.json"
        self.known: dict[str, tuple[str, tuple[Import, ...]]] = {}
        self.new: dict[str, tuple[str, tuple[Import, ...]]] = {}
        with contextlib.suppress(OSError, ValueError, TypeError):
            for key, (digest, imports) in json.loads(self.path.read_text()).items():
                found = tuple(Import(level, name, tuple(names)) for level, name, names in imports)
                self.known[key] = (digest, found)

    def keep(self) -> None:
        """Write what is new, where Snakemake has a folder that may be written."""
        if not self.new or not self.path.parents[1].is_dir():
            return
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(exist_ok=True)
            kept = self.new if len(self.known) > MOST_NOTES else self.known
            temporary = self.path.with_name(f"{self.path.name}-{os.getpid()}")
            temporary.write_text(json.dumps(kept))
            os.replace(temporary, self.path)
            self.new = {}


@functools.cache
def _notes() -> _Notes:
    """The notes in the folder where the workflow runs."""
    notes = _Notes(NOTES.absolute())
    atexit.register(notes.keep)
    return notes


def keep_notes() -> None:
    """Write what is known by now, for the jobs that this process is about to start."""
    _notes().keep()


def _running(tree: ast.Module) -> Iterator[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING:``, which never run: a module named there decides nothing."""
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            todo.extend(node.orelse)
        else:
            yield node
            todo.extend(ast.iter_child_nodes(node))


def _meaning(node: object) -> str:
    """A syntax tree as text, the same for every version of Python.

    Not `ast.dump`: newer versions add fields (`type_params`) or drop empty ones. Here what is None or empty is never
    written, and neither are bare strings (docstrings of modules, classes, functions and attributes), line numbers, the
    prefix of a string or how an f-string is cut into constants.
    """
    words: list[str] = []
    _add(node, words)
    return "".join(words)


def _add(node: object, words: list[str]) -> None:
    """Add the words of a node and of those below it; see `_meaning`."""
    if isinstance(node, ast.Constant):
        words.append(f"{type(node.value).__name__}:{node.value!r}")
    elif isinstance(node, ast.AST):
        words.append(f"{type(node).__name__}(")
        for name in sorted(node._fields):
            value = getattr(node, name, None)
            if isinstance(node, ast.JoinedStr):
                value = _joined(value)
            if isinstance(value, list):
                value = [item for item in value if not _is_bare_string(item)]
            if value is not None and value != []:
                words.append(f"{name}=")
                _add(value, words)
        words.append(")")
    elif isinstance(node, list):
        words.append("[")
        for item in node:
            _add(item, words)
            words.append(",")
        words.append("]")
    else:
        words.append(repr(node))


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """The parts of an f-string with neighbouring constants in one and empty ones left out."""
    joined = []
    for value in values:
        if isinstance(value, ast.Constant) and joined and isinstance(joined[-1], ast.Constant):
            joined[-1] = ast.Constant(joined[-1].value + value.value)
        elif not (isinstance(value, ast.Constant) and value.value == ""):
            joined.append(value)
    return joined


def _is_bare_string(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _files(imported: Import, module: Path, roots: tuple[Path, ...]) -> set[Path]:
    """The files of the library or under `roots` behind one import: modules, and the packages on the way to them."""
    parts = imported.module.split(".") if imported.module else []
    found = set()
    for name in imported.names or ("",):
        whole = [*parts, name] if name else parts
        if imported.level:
            base = module.parents[imported.level - 1]
            found |= _on_the_way(base, whole) | {p for p in [base / "__init__.py"] if p.is_file()}
        else:
            found |= set().union(*(_on_the_way(root, whole) for root in _roots_of(whole[0], roots)))
    return found - {LIBRARY / "__init__.py"}  # holds the version only


def _roots_of(top: str, roots: tuple[Path, ...]) -> tuple[Path, ...]:
    """The folders where an absolute import may begin."""
    return (LIBRARY.parent,) if top == LIBRARY.name else roots


def _on_the_way(base: Path, parts: Sequence[str]) -> set[Path]:
    """The modules and packages from `base` to the end of a dotted name, as far as they exist."""
    found = set()
    for depth in range(1, len(parts) + 1):
        path = base.joinpath(*parts[:depth])
        found |= {p for p in (path / "__init__.py", path.with_name(f"{path.name}.py")) if p.is_file()}
    return found


def _module_files(name: str, roots: tuple[Path, ...]) -> set[Path]:
    """The files of a module that is loaded by its name: the packages on the way and, of a package, all in its folder.

    Raises BadConfig when there is none.
    """
    parts = name.split(".")
    folders = _roots_of(parts[0], roots)
    inside = {p for root in folders for p in root.joinpath(*parts).rglob("*.py")}
    ends = {root.joinpath(*parts).with_name(f"{parts[-1]}.py") for root in folders}
    if not inside and not any(path.is_file() for path in ends):
        places = " or ".join(str(folder) for folder in folders) or "any folder"
        raise BadConfig(f"{name}: no such module in {places}")
    return inside.union(*(_on_the_way(root, parts) for root in folders)) - {LIBRARY / "__init__.py"}
