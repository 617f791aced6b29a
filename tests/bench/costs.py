"""Where the time of a run went: a table of each rule's jobs, seconds, seconds per galaxy and peak memory.

``python tests/bench/costs.py results/mock`` reads the benchmark files that the run left.
"""

import re
import sys
from pathlib import Path

import pandas
import pyarrow.parquet as pq


def costs(folder: Path) -> pandas.DataFrame:
    """One row a rule: jobs, seconds (added up over its jobs), ms per galaxy of the catalogue, peak memory in MiB."""
    galaxies = pq.read_metadata(folder / "catalog" / "galaxies.parquet").num_rows
    rows = []
    for path in sorted((folder / "benchmarks").glob("*.tsv")):
        run = pandas.read_csv(path, sep="\t").iloc[0]
        rows.append(
            {"rule": re.match(r"\w+", path.stem).group(), "jobs": 1, "s": run["s"], "peak_mb": float(run["max_rss"])}
        )
    table = pandas.DataFrame(rows).groupby("rule").agg({"jobs": "sum", "s": "sum", "peak_mb": "max"})
    table["ms_per_galaxy"] = 1000 * table["s"] / galaxies
    return table.sort_values("s", ascending=False)


if __name__ == "__main__":
    print(costs(Path(sys.argv[1])).round(1).to_string())
