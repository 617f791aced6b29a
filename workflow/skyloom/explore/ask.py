"""Find the galaxies like these ones, in the embeddings of a survey's results:

    python -m skyloom.explore.ask results/mock neighbours.vot 39627800579145952 150.1,2.2,5 mine.fits \\
        --embedding astroclip-image --by astroclip-spectrum --limit z=0.1:0.3 --limit mag_g-mag_r=:0.9

A query is a TARGETID, a position (ra, dec in degrees, radius in arcsec), or a file with spectra or images of one's own;
`--list` reads many from a text file or a table. The answer is Parquet, VOTable or CSV by the ending of its name.
"""

import argparse
import json
import logging
import sys
from pathlib import Path

from skyloom.core.errors import BadConfig, SkyloomError
from skyloom.explore.answers import FORMS, write_answers
from skyloom.explore.explorer import LEVEL, Explorer, K
from skyloom.explore.limits import parse_limits
from skyloom.explore.queries import parse_all, read_list
from skyloom.settings import kinds


def main(words: list[str] | None = None) -> None:
    """Read the command line, ask, and end with one line when something is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m skyloom.explore.ask",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", help="folder of a survey's results, as results/mock")
    parser.add_argument("out", help=f"the answer, a file that ends in {', '.join(FORMS)}")
    parser.add_argument("queries", nargs="*", help="TARGETID, or ra,dec or ra,dec,radius, or a file")
    parser.add_argument("--list", help="a file with a query a line, or a table with targetid, or ra and dec")
    parser.add_argument("--embedding", help="what is searched, MODEL-MODALITY; said when it is missing")
    parser.add_argument("--by", help="what a query is seen by, another embedding of the same model (the same)")
    parser.add_argument("--k", type=int, default=K, help=f"neighbours of each ({K})")
    parser.add_argument("--limit", action="append", default=[], help="z=0.1:0.3, mag_g-mag_r=:0.9, spectype=GALAXY")
    parser.add_argument("--level", type=float, default=LEVEL, help=f"of posteriors' intervals ({LEVEL})")
    parser.add_argument("--columns", nargs="+", help="of galaxies.parquet (all that say something of a galaxy)")
    parser.add_argument("--extensions", action="append", default=[], help="folder with kinds of models of your own")
    o = parser.parse_args(words)
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    try:
        kinds.extend(str(Path(folder).resolve()) for folder in o.extensions)
        explorer = Explorer(o.results, o.columns)
        if Path(o.out).suffix not in FORMS:
            raise BadConfig(f"{o.out}: the answer's name ends in {', '.join(FORMS)}")
        if o.embedding is None:
            raise BadConfig(f"--embedding is missing; there are {', '.join(explorer.embeddings) or 'none'}")
        queries = parse_all(o.queries) + (read_list(o.list) if o.list else [])
        found = explorer.neighbours(queries, o.embedding, o.by, o.k, parse_limits(o.limit), o.level)
        write_answers(found, o.out)
    except SkyloomError as error:
        sys.exit(str(error))
    for name, why in json.loads(found.schema.metadata[b"left_out"]):
        print(f"{name}: left out, {why}", file=sys.stderr)
    print(f"{o.out}: {len(found)} neighbours of {len(set(found['query'].to_pylist()))} queries")


if __name__ == "__main__":
    main()
