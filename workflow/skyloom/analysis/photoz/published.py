"""The same scores of a table of published predictions: `python -m skyloom.analysis.photoz.published FILE.csv`."""

import argparse
import re
import sys
from collections.abc import Iterator

import numpy as np
import pandas

from skyloom.analysis.photoz import NEAR, metrics
from skyloom.core.errors import BadInput, SkyloomError

TRUE = (
    *("ytest", "ytrue", "true", "truth", "ztrue", "truez", "trueredshift", "redshifttrue", "zknown", "target"),
    *("zspec", "specz", "spectroscopicredshift", "specredshift", "speczredshift", "redshiftspec", "label"),
)
PREDICTED = (
    *("ypred", "yhat", "pred", "predicted", "prediction", "zpred", "predz", "zpredicted", "predictedz"),
    *("predictedredshift", "redshiftpred", "redshiftpredicted", "predredshift"),
    *("zphot", "photz", "zphoto", "photoz", "photometricredshift", "redshiftphot"),
)
"""Names of columns, small letters and digits alone."""


def read_predictions(path: str) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted redshifts (n,), (n,), of the rows with a finite true one.

    Raises
    ------
    BadInput : no such file, no CSV, no or several columns with such a name, or what is in them are no numbers.
    """
    try:
        table = pandas.read_csv(path)
    except (OSError, UnicodeDecodeError, pandas.errors.ParserError, pandas.errors.EmptyDataError) as error:
        raise BadInput(f"{path}: not a readable CSV file ({str(error).strip().splitlines()[0]})") from error
    true, said = (_column(path, table, *wanted) for wanted in (("true", TRUE), ("predicted", PREDICTED)))
    known = np.isfinite(true)
    if not known.any():
        raise BadInput(f"{path}: no row has a true redshift")
    return true[known], metrics.counted(said[known])


def _column(path: str, table: pandas.DataFrame, what: str, names: tuple[str, ...]) -> np.ndarray:
    found = [column for column in table if re.sub("[^a-z0-9]", "", str(column).lower()) in names]
    if len(found) != 1:
        number = "no column" if not found else f"the columns {', '.join(map(str, found))}, not one,"
        such = "y_true, z_spec, true_redshift" if what == "true" else "y_pred, z_phot, predicted_redshift"
        has = ", ".join(map(str, table))
        raise BadInput(f"{path}: {number} of {what} redshifts; it has {has}; expected a name such as {such}")
    try:
        return table[found[0]].to_numpy(float)
    except ValueError as error:
        raise BadInput(f"{path}: column {found[0]} does not hold numbers ({error})") from error


def lines(true: np.ndarray, said: np.ndarray, count: int = 1000, seed: int = 0) -> Iterator[str]:
    """A line a group: bias, sigma_NMAD, outliers and catastrophic errors with their 95 % intervals."""
    for name, some in ((metrics.BELOW, true < NEAR), (metrics.ALL, np.ones(len(true), bool))):
        if not some.any():
            yield f"{name}: no galaxy"
            continue
        values = metrics.measured(true[some], said[some])
        draws = metrics.drawn(true[some], said[some], count, seed)
        told = [
            f"{row['metric']} {row['value']:.4f} [{row['ci_low']:.4f}, {row['ci_high']:.4f}]"
            for row in metrics.rows(values, draws, int(some.sum()))
        ]
        yield f"{name}, {some.sum():,} galaxies: {', '.join(told)}"


def main() -> None:
    """Read the command line, print the scores, and end with one line when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m skyloom.analysis.photoz.published", description=__doc__)
    parser.add_argument("file", help="CSV with a column of true redshifts and one of predicted ones")
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (1000)")
    options = parser.parse_args()
    try:
        for line in lines(*read_predictions(options.file), options.resamples):
            print(line)
    except SkyloomError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
