"""What of the existing results the present workflow would make again: their records against settings and contents.

Snakemake decides by times and by notes in ``.snakemake``. Times change when files are copied or touched, and the notes
stay behind when results are; the records under ``results/.provenance`` say what a result was made of, so they decide.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from skyloom.core.digests import cached, digest, remember
from skyloom.core.files import write_json
from skyloom.core.provenance import read, record_path

READERS = 4  # files hashed at a time
SHOWN = 5  # results named in a message
LARGE = 2**30  # bytes to be hashed at the start that deserve a word


class Planned(NamedTuple):
    """How the present workflow would make a result."""

    params: Mapping[str, object]  # by name
    inputs: tuple[str, ...]
    beside: tuple[str, ...] = ()  # files that are written with it and judged by their time, too: the benchmark


def stale(planned: Mapping[str, Planned], say: Callable[[str], None]) -> dict[str, str]:
    """Why existing results have to be made again, by path: what was made with other parameters or from other files.

    Parameters
    ----------
    planned
        By path, for results that exist or not. Those without a record are left to Snakemake.
    say
        Gets a line when there is so much to hash that it takes a while (after copying, mostly).
    """
    records = {path: read(path) for path in planned if os.path.exists(path) and record_path(path).exists()}
    digests = _digests({file for path in records for file in (path, *planned[path].inputs)}, say)
    return {path: why for path, record in records.items() if (why := _why(record, planned[path], digests))}


def settle(planned: Mapping[str, Planned], stale: Iterable[str]) -> dict[str, int]:
    """Make results that are not stale at least as new as their inputs, so that times alone rerun nothing.

    Parameters
    ----------
    planned
        By path, each after the results that it is made from.

    Returns the times (ns) of files that should have them but belong to somebody else, whose alone it is to set them.
    """
    stale, times, unsettled = set(stale), {}, {}
    for path, plan in planned.items():
        if path in stale or not os.path.exists(path) or not record_path(path).exists():
            continue
        for file in plan.inputs:
            if file not in times:
                times[file] = os.stat(file).st_mtime_ns if os.path.exists(file) else 0
        newest = max((times[file] for file in plan.inputs), default=0)
        for file in (path, *plan.beside):
            if os.path.exists(file):
                times[file] = max(newest, os.stat(file).st_mtime_ns)
                if not _make_as_new(file, newest):
                    unsettled[file] = newest
    return unsettled


def _make_as_new(path: str, newest: int) -> bool:
    """Set the time of a file, if it is older, to that of the newest of its inputs; False if that is not allowed."""
    found = os.stat(path)
    if found.st_mtime_ns >= newest:
        return True
    known = cached(path)
    try:
        os.utime(path, ns=(found.st_atime_ns, newest))
    except OSError:  # somebody else's file, or a file system to be read
        return False
    if known:
        remember(path, known)
    return True


def accept(planned: Mapping[str, Planned], stale: Iterable[str]) -> None:
    """Let stale results count as if the present workflow had made them (``snakemake --touch``).

    Their records keep what they were made with; what they are accepted for stands beside it.
    """
    for path in stale:
        plan = planned[path]
        inputs = {file: digest(file) for file in plan.inputs if os.path.isfile(file)}
        made = read(path) | {"sha256": digest(path), "size": os.path.getsize(path)}
        write_json(record_path(path), made | {"accepted": {"params": dict(plan.params), "inputs": inputs}})


def message(stale: Mapping[str, str], title: str) -> str:
    """What a user is told about stale results: up to five of them, and what changed."""
    shown = [f"  {path}: {why}" for path, why in list(stale.items())[:SHOWN]]
    more = [f"  and {len(stale) - SHOWN} more"] if len(stale) > SHOWN else []
    return "\n".join([title, *shown, *more])


def _digests(paths: Iterable[str], say: Callable[[str], None]) -> dict[str, str]:
    """SHA-256 of those files that exist and can be read."""
    found = {path: cached(path) for path in paths if os.path.isfile(path)}
    todo = [path for path, value in found.items() if value is None]
    size = sum(os.path.getsize(path) for path in todo)
    if size > LARGE:
        say(f"checking {len(todo)} new or moved files ({size / LARGE:.1f} GiB) against the records of the results")
    with ThreadPoolExecutor(READERS) as pool:
        found.update(zip(todo, pool.map(digest, todo), strict=True))
    return found


def _why(record: dict, plan: Planned, digests: Mapping[str, str]) -> str:
    """Why a result is stale, in a few words; empty when it is not."""
    params = json.loads(json.dumps(dict(plan.params)))  # as the record has them: tuples are lists
    made = record.get("accepted", record)
    changes = list(_differences({key: made["params"].get(key) for key in params}, params))
    if changes:
        return "; ".join(changes[:3]) + ("; …" if len(changes) > 3 else "")
    if set(plan.inputs) != set(made["inputs"]):
        names = sorted(set(plan.inputs) ^ set(made["inputs"]))
        return f"made from other files ({names[0]}{', …' if len(names) > 1 else ''})"
    changed = [path for path in plan.inputs if path in digests and digests[path] != made["inputs"][path]]
    if changed:
        return f"{changed[0]} has changed"
    return "" if digests.get(record["artefact"]) == record["sha256"] else "not what its record says was made"


def _differences(old: object, new: object, name: str = "") -> Iterator[str]:
    """``seed was 1, is 2`` for each setting that differs; of code, only that it does."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield "its code has changed" if name == "code" else f"{name} was {_short(old)}, is {_short(new)}"


def _short(value: object) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
