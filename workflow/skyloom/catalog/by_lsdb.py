"""The cross-match beyond one machine's patience: HATS catalogues of the positions, matched by LSDB on Dask.

LSDB pairs the partitions, brings the margins and spreads the work over Dask's workers; within a pair of partitions the
pairs are those of `skyloom.catalog.crossmatch`, so that rows, ties and separations are the very same. Positions go
through files, which workers on other machines read: two numbers and a row for each galaxy. What is found comes back as
one table, as without LSDB.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from skyloom.catalog import crossmatch as one
from skyloom.core.extras import extra
from skyloom.core.files import scratch
from skyloom.formats import hats_files

log = logging.getLogger(__name__)

ROWS = 1_000_000  # of a partition
MARGIN = 2.0  # radii: more than the radius, so that rounding of separations loses nothing
SCHEMA = pa.schema([("row", pa.int64()), ("ra", pa.float64()), ("dec", pa.float64())])
_BATCH = 2**20


def crossmatch(
    left_ra,
    left_dec,
    right_ra,
    right_dec,
    radius_arcsec: float,
    one_to_one: bool = False,
    dask: Mapping | None = None,
    folder: str | os.PathLike = ".",
    rows: int = ROWS,
) -> pd.DataFrame:
    """As `skyloom.catalog.crossmatch.crossmatch`; `dask`, `folder` and `rows` as `pairs`."""
    found = pairs(left_ra, left_dec, right_ra, right_dec, radius_arcsec, dask, folder, rows)
    return unique(found) if one_to_one else nearest(found)


def pairs(
    left_ra,
    left_dec,
    right_ra,
    right_dec,
    radius_arcsec: float,
    dask: Mapping | None = None,
    folder: str | os.PathLike = ".",
    rows: int = ROWS,
    margin_arcsec: float | None = None,
) -> pd.DataFrame:
    """All pairs within a radius, sorted by ``left``, then ``right``.

    Parameters
    ----------
    left_ra, left_dec, right_ra, right_dec, radius_arcsec : as of `skyloom.catalog.crossmatch.crossmatch`
    dask : the setting `crossmatch.dask` (`skyloom.settings.survey.Dask`); without it one thread
    folder : for catalogues of the positions, 24 bytes a galaxy, which go in the end; workers must see it
    rows : of a partition, at most
    margin_arcsec : of the partitions of the right catalogue; without it as much as is needed

    Returns columns ``left``, ``right``, ``separation_arcsec``, and ``nearest``: no pair of the left row is closer.

    Raises
    ------
    BadInput, BadConfig : as without LSDB; LSDB is not installed.
    """
    one.check_radius(radius_arcsec)
    with extra("hats"):
        import lsdb
    margin = MARGIN * radius_arcsec if margin_arcsec is None else margin_arcsec
    sides = [_usable("left", left_ra, left_dec), _usable("right", right_ra, right_dec)]
    if not all(len(table) for table in sides):
        return _sorted(_frame(*(np.empty(0) for _ in range(4))))
    with scratch(folder, "crossmatch") as place, workers(dask or {}):
        for name, table in zip(("left", "right"), sides, strict=True):
            hats_files.write_collection(place / name, name, _batches(table), SCHEMA, rows, max(margin, 1e-6))
        left, right = (lsdb.open_catalog(place / name) for name in ("left", "right"))
        found = left.crossmatch(
            right, algorithm=_algorithm(radius_arcsec), suffixes=("_left", "_right"), suffix_method="all_columns"
        ).compute(progress_bar=False)
    columns = ("row_left", "row_right", "separation_arcsec", "nearest")
    return _sorted(_frame(*(found[name].to_numpy() for name in columns)))


def nearest(found: pd.DataFrame) -> pd.DataFrame:
    """Of all pairs those of `skyloom.catalog.crossmatch.crossmatch`."""
    return found[found["nearest"]].drop(columns="nearest").reset_index(drop=True)


def unique(found: pd.DataFrame) -> pd.DataFrame:
    """Of all pairs those of `skyloom.catalog.crossmatch.crossmatch` with each right row at most once."""
    return one.closest_first(found.drop(columns="nearest"))


@contextlib.contextmanager
def workers(setting: Mapping) -> Iterator[None]:
    """Have Dask work as the setting says: in threads of this process, or in Slurm jobs."""
    with extra("hats"):
        from dask import config
        from distributed import Client
    if setting.get("where", "local") == "local":
        with config.set(num_workers=setting.get("workers", 1), scheduler=None):
            yield
        return
    with slurm_cluster(setting) as cluster, Client(cluster) as client:
        cluster.scale(jobs=setting["workers"])
        log.info("waiting for the first of %d Slurm jobs", setting["workers"])
        client.wait_for_workers(1)
        yield


def slurm_cluster(setting: Mapping):
    """A cluster of Dask whose workers are Slurm jobs (dask-jobqueue): none runs before it is scaled."""
    with extra("hats"):
        from dask_jobqueue import SLURMCluster
    return SLURMCluster(
        queue=setting.get("queue"),
        account=setting.get("account"),
        walltime=setting["walltime"],
        cores=setting["threads"],
        processes=1,
        memory=setting["memory"],
        job_script_prologue=[f"export PYTHONPATH={Path(__file__).parents[2]}:$PYTHONPATH"],
    )


def _usable(side: str, ra, dec) -> pa.Table:
    """Row, right ascension and declination of the usable positions, in degrees."""
    ra, dec = one.degrees(ra), one.degrees(dec)
    row = one.usable(side, ra, dec)
    return pa.table([row, ra[row] % 360, dec[row]], schema=SCHEMA)


def _batches(table: pa.Table) -> hats_files.Batches:
    def batches(columns: Sequence[str] | None) -> Iterator[pa.Table]:
        chosen = table.select(columns or table.column_names)
        return (chosen.slice(start, _BATCH) for start in range(0, len(chosen), _BATCH))

    return batches


def _algorithm(radius_arcsec: float):
    """What LSDB calls for each pair of partitions."""
    from lsdb.core.crossmatch.abstract_crossmatch_algorithm import AbstractCrossmatchAlgorithm

    class Pairs(AbstractCrossmatchAlgorithm):
        """All pairs within a radius."""

        extra_columns = pd.DataFrame(
            {
                "separation_arcsec": pd.Series(dtype=pd.ArrowDtype(pa.float64())),
                "nearest": pd.Series(dtype=pd.ArrowDtype(pa.bool_())),
            }
        )

        def perform_crossmatch(self, crossmatch_args):
            """Places in the two partitions, and the columns above."""
            return _of_partitions(crossmatch_args.left_df, crossmatch_args.right_df, radius_arcsec, self.extra_columns)

    return Pairs()


def _of_partitions(left: pd.DataFrame, right: pd.DataFrame, radius_arcsec: float, columns: pd.DataFrame):
    # ties go to the first row of the catalogue, not of the partition, which is sorted by place
    first, second = (np.argsort(table["row"].to_numpy(), kind="stable") for table in (left, right))
    places = [table[axis].to_numpy()[o] for table, o in ((left, first), (right, second)) for axis in ("ra", "dec")]
    found, best = one.pairs(*places, radius_arcsec), one.crossmatch(*places, radius_arcsec)
    chosen = pd.MultiIndex.from_frame(found[["left", "right"]]).isin(pd.MultiIndex.from_frame(best[["left", "right"]]))
    more = pd.DataFrame({"separation_arcsec": found["separation_arcsec"], "nearest": chosen}).astype(columns.dtypes)
    return first[found["left"]], second[found["right"]], more


def _frame(left, right, separation, nearest_of_left) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "left": np.asarray(left, np.int64),
            "right": np.asarray(right, np.int64),
            "separation_arcsec": np.asarray(separation, np.float64),
            "nearest": np.asarray(nearest_of_left, bool),
        }
    )


def _sorted(found: pd.DataFrame) -> pd.DataFrame:
    return found.sort_values(["left", "right"], ignore_index=True)
