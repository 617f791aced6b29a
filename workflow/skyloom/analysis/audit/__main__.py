"""Audit tables of results: `python -m skyloom.analysis.audit FILE.csv ...`. Files together are those of one paper."""

import argparse
import sys

from skyloom.analysis.audit import audit, reading
from skyloom.core.errors import SkyloomError


def main() -> None:
    """Print a line for every finding; end with 1 if there is one and `--strict` was given, or if a file is no table."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.analysis.audit", description=__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE.csv", help="columns: resources/published/README.md")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if anything is found")
    options = parser.parse_args()
    try:
        found = audit.audit(reading.read(options.files))
    except SkyloomError as error:
        sys.exit(str(error))
    lines = [f"{name}: {place.line()}" for name, places in found.items() for place in places if place is not None]
    print("\n".join(lines), end="\n" if lines else "")
    looked = ", ".join(f"{name} {len(places)}" for name, places in found.items())
    print(f"{len(lines)} findings; places looked at: {looked}", file=sys.stderr)
    sys.exit(1 if options.strict and lines else 0)


if __name__ == "__main__":
    main()
