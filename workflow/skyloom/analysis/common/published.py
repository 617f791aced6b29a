"""Published numbers, typed in (``resources/published.csv``, ``resources/published``), as presentations read them."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas

from skyloom.analysis.common.blocks import read_csv
from skyloom.core.errors import BadInput

PAPERS = "papers.csv"
"""The file that says of each table of numbers without a column `source` which paper it is of."""
KEY = ["source", "survey", "model", "modality", "method", "property", "split", "group", "metric"]
COLUMNS = [*KEY, "value", "reference"]


def read(paths: Sequence[str | os.PathLike]) -> pandas.DataFrame:
    """COLUMNS of several files, texts "" where there is none; a number that a paper prints twice stands once.

    `paths` : tables of numbers, and PAPERS where one of them names no source. Of the prints of a number the first is
    kept (Tables 5 and 6 of the benchmark repeat Table 3 with intervals).

    Raises
    ------
    BadInput : a file that is no csv, that lacks a column, or whose paper nothing tells.
    """
    papers = {row.pop("file"): row for path in paths if _papers(path) for row in read_csv(path).to_dict("records")}
    frames = [_numbers(path, papers) for path in paths if not _papers(path)]
    whole = pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame(columns=COLUMNS)
    return whole.drop_duplicates(KEY, ignore_index=True)


def _papers(path: str | os.PathLike) -> bool:
    return Path(path).name == PAPERS


def _numbers(path: str | os.PathLike, papers: dict[str, dict]) -> pandas.DataFrame:
    frame = read_csv(path, dtype=dict.fromkeys((*KEY, "reference"), str))
    if "source" not in frame:
        if (name := Path(path).name) not in papers:
            raise BadInput(f"{path}: no column 'source', and no line '{name}' in {PAPERS} beside it")
        frame = frame.assign(**papers[name])
    frame = frame.reindex(columns=[*dict.fromkeys([*frame, "split", "group"])])
    for name in COLUMNS:
        if name not in frame:
            raise BadInput(f"{path}: no column {name!r}; it has {', '.join(map(str, frame))}")
    return frame[COLUMNS].fillna(dict.fromkeys((*KEY, "reference"), ""))
