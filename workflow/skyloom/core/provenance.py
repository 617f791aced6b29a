"""Where a result came from: for every artefact a record of config, inputs (sha256), code and seed.

``python -m skyloom.core.provenance results/mock/analysis/regression.csv`` prints the record and those of its inputs.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from skyloom import __version__
from skyloom.core.code import packages
from skyloom.core.digests import digest, remember
from skyloom.core.errors import BadInput
from skyloom.core.files import sha256, write_json

FOLDER = ".provenance"


def inputs_of(snakemake) -> dict[str, str]:
    """SHA-256 of each input of a job, to be taken before the job reads them."""
    return {str(path): digest(path) for path in snakemake.input}


def record(snakemake, inputs: dict[str, str]) -> list[str]:
    """Write one record for each declared output of a finished job.

    Records hold no times, hosts or absolute paths: the same run in the same environment writes the same bytes.

    Parameters
    ----------
    inputs
        What `inputs_of` gave when the job began.

    Returns the inputs that have changed since then. Their records keep the old digest, so that `stale` finds them.
    """
    versions = packages()
    for path in snakemake.output:
        value = sha256(path)
        write_json(
            record_path(path),
            {
                "artefact": str(path),
                "sha256": value,
                "size": os.path.getsize(path),
                "rule": snakemake.rule,
                "wildcards": dict(snakemake.wildcards.items()),
                "params": {key: value for key, value in snakemake.params.items()},
                "seed": snakemake.config["seed"],
                "version": __version__,
                "packages": versions,
                "inputs": inputs,
            },
        )
        remember(path, value)
    return [path for path, value in inputs.items() if not os.path.exists(path) or digest(path) != value]


def record_path(path: str | os.PathLike) -> Path:
    """``results/mock/analysis/x.csv`` -> ``results/.provenance/mock/analysis/x.csv.json``."""
    top, *rest = Path(path).parts
    return Path(top, FOLDER, *rest[:-1], f"{rest[-1]}.json") if rest else Path(FOLDER, f"{top}.json")


def read(path: str | os.PathLike) -> dict:
    """The record of an artefact. Raises BadInput when there is none."""
    beside = record_path(path)
    if not beside.exists():
        raise BadInput(f"{path}: no provenance record ({beside} is missing); only files made by the workflow have one")
    return json.loads(beside.read_text())


def chain(path: str | os.PathLike) -> dict[str, dict]:
    """The records of an artefact and of everything it was made from, by path."""
    records, todo = {}, [str(path)]
    while todo:
        name = todo.pop()
        if name not in records and record_path(name).exists():
            records[name] = read(name)
            todo.extend(records[name]["inputs"])
    return records


def main() -> None:
    """Print the provenance of one artefact as text, the artefact first, then its inputs, recursively."""
    parser = argparse.ArgumentParser(description="Which config, inputs, code and seed made a result?")
    parser.add_argument("artefact", help="a file under results/, named from the project's folder")
    path = parser.parse_args().artefact
    try:
        read(path)
    except BadInput as error:
        sys.exit(str(error))
    for name, entry in chain(path).items():
        state = ""
        if not Path(name).exists():
            state = "   (no longer here)"
        elif sha256(name) != entry["sha256"]:
            state = "   (CHANGED since)"
        print(
            f"{name}{state}\n  sha256 {entry['sha256']}\n"
            f"  rule {entry['rule']}, seed {entry['seed']}, skyloom {entry['version']}"
        )
        print(f"  packages {', '.join(f'{key} {value}' for key, value in entry.get('packages', {}).items())}")
        print(f"  params {json.dumps(entry['params'], sort_keys=True)}")
        for source, value in entry["inputs"].items():
            print(f"  from {source}  {value[:16]}")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ends quietly when `head` has read enough
    main()
