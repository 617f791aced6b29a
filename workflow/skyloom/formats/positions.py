"""A user's own list of positions: a table in FITS, Parquet, CSV, ECSV or VOTable, read by astropy."""

import os
import warnings

import numpy as np
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

from skyloom.core.errors import BadInput

FORMS = {
    **dict.fromkeys((".fits", ".fit", ".fits.gz"), "fits"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".vot", ".votable", ".xml"), "votable"),
    ".csv": "ascii.csv",
    ".ecsv": "ascii.ecsv",
}
"""Ending of the name -> what astropy calls the form."""


def read(path: str | os.PathLike, ra: str, dec: str, identifier: str | None, redshift: str | None) -> Table:
    """The positions of a table.

    Parameters
    ----------
    ra, dec, identifier, redshift : names of its columns, of which the last two need not be; upper and lower case are
        the same

    Returns
    -------
    ra, dec (degrees), z_spec (NaN where unknown), identifier (text; the number of the row where there is no column):
    a row each, in their order. Positions that are no numbers are NaN.

    Raises
    ------
    BadInput : no such file, another form, or a column that is not there or holds no numbers.
    """
    table = read_table(path)
    names = {name.lower(): name for name in table.colnames}
    found = {}
    for quantity, name in {"ra": ra, "dec": dec, "identifier": identifier, "z_spec": redshift}.items():
        if name is not None and name.lower() not in names:
            raise BadInput(f"{path}: no column {name}, found {', '.join(table.colnames)}")
        found[quantity] = None if name is None else table[names[name.lower()]]
    if not len(table):
        raise BadInput(f"{path}: no rows")
    values = {q: _numbers(path, found[q], len(table)) for q in ("ra", "dec", "z_spec")}
    texts = range(len(table)) if found["identifier"] is None else np.ma.filled(found["identifier"].astype(str), "")
    return Table(values | {"identifier": np.array([str(text).strip() for text in texts], "U")})


def read_table(path: str | os.PathLike) -> Table:
    """A table in one of FORMS; BadInput if it is none."""
    name = str(path).lower()
    form = next((form for ending, form in FORMS.items() if name.endswith(ending)), None)
    if form is None:
        raise BadInput(f"{path}: positions are read from files that end in {', '.join(FORMS)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            return Table.read(path, format=form)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file, expected a table of positions") from error
    except Exception as error:  # readers of five forms raise anything
        words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise BadInput(f"{path}: cannot be read as a table ({words})") from error


def _numbers(path, column, rows: int) -> np.ndarray:
    if column is None:
        return np.full(rows, np.nan)
    try:
        values = np.ma.asarray(column, np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{path}: column {column.name} holds {column.dtype}, expected numbers (degrees)") from error
    if values.shape != (rows,):
        raise BadInput(f"{path}: column {column.name} has shape {values.shape}, expected one number a row")
    return np.ma.filled(values, np.nan)
