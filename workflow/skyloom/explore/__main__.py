"""The page of a survey on this machine, until Ctrl-C:

python -m skyloom.explore results/mock
"""

import argparse
import logging
import sys

from skyloom.core.errors import SkyloomError


def main() -> int:
    """Serve the page; 1 if it cannot be."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.explore", description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="results of a survey: results/mock")
    parser.add_argument("--port", type=int, default=8765, help="of the loopback; 0: any free one")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    from skyloom.explore.page.server import Server  # torch: seconds that --help need not take

    try:
        server = Server(given.folder, given.port)
    except SkyloomError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"port {given.port}: {error.strerror}; choose another by --port", file=sys.stderr)
        return 1
    print(f"{server.address}  (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
