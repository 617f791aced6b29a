"""The table of parents and percentiles, and how far two archives agree about the redshifts of the same galaxies.

dz = (z of HSC's files - z of DESI) / (1 + z of DESI), as in `skyloom.analysis.common.statistics`.
"""

import os
from collections.abc import Iterator, Sequence

import numpy as np
import pandas

from skyloom.analysis.common import statistics, tables
from skyloom.analysis.parents import Settings, archives, figures
from skyloom.catalog.cuts import DESI_GALAXIES
from skyloom.settings.analysis import Job

NUMBERS = ("count", "z_percentile", "z_max", "i_percentile")
COLUMNS = ["dataset", "data_type", *NUMBERS, "published_dataset", *(f"published_{name}" for name in NUMBERS)]
SCORES = ["group", "metric", "value", "ci_low", "ci_high", "n"]
DISAGREEING = ["targetid", "z_desi", "z_hsc", "dz", "zerr_desi", "zerr_hsc", "class", "zwarn", "mag_i"]
PARENTS = {"DESI": "DESI DR1", "HSC": "GalaxiesML", "sample": "GalaxiesML-Spectra"}
"""Ours -> what the published table calls the like."""


def run(job: Job) -> None:
    """Inputs: galaxies, published, and zcatalog, hsc or pairs. Outputs: table, scores, disagreeing (csv), figure."""
    settings: Settings = job.settings
    of_files = {path: archives.of_hsc(path) for role in ("hsc", "pairs") for path in job.inputs.get(role, ())}
    galaxies = archives.matched(job.one("galaxies"), of_files)
    rows = []
    if job.inputs.get("zcatalog"):
        z, passing = archives.redshifts(job.one("zcatalog"), job.of_survey.get("cuts") or DESI_GALAXIES)
        rows.append(("redshift catalogue, all rows", "spectrum, z", "DESI", z, None))
        rows.append(("redshift catalogue, rows that pass the cuts", "spectrum, z", "", z[passing], None))
    if job.inputs.get("hsc"):
        everything = pandas.concat(list(of_files.values()), ignore_index=True)
        rows.append(("HSC images", "image, z", "HSC", everything["z_hsc"], everything["mag_i"]))
    of_sample = "spectrum, image, z"
    rows.append(("sample, redshifts of DESI", of_sample, "sample", galaxies["z"], galaxies["mag_i"]))
    rows.append(("sample, redshifts of HSC's files", of_sample, "", galaxies["z_hsc"], galaxies["mag_i"]))
    known = published(job.one("published"), settings.percentile)
    table = [line(*row[:2], *measured(*row[3:], settings.percentile), row[2], known) for row in rows]
    whole = {name: "Int64" for name in COLUMNS if name.endswith("count")}  # all their digits
    tables.write_csv(job.outputs["table"], pandas.DataFrame(table, columns=COLUMNS).astype(whole))
    pairs = compared(galaxies)
    tables.write_csv(job.outputs["scores"], scores(pairs, settings, job.seed), SCORES)
    wrong = pairs[pairs["dz"].abs() >= settings.agree]
    wrong = wrong.iloc[np.argsort(-wrong["dz"].abs().to_numpy(), kind="stable")]
    tables.write_csv(job.outputs["disagreeing"], wrong[DISAGREEING])
    figures.draw(pairs, settings, job.outputs["figure"])


def measured(z: Sequence[float], magnitude: Sequence[float] | None, percentile: float) -> tuple:
    """NUMBERS of a data set: how many rows, and of those with a value the percentile and the largest."""
    z = np.asarray(z, np.float64)
    known = z[np.isfinite(z)]
    magnitude = np.empty(0) if magnitude is None else np.asarray(magnitude, np.float64)
    magnitude = magnitude[np.isfinite(magnitude)]
    return (
        len(z),
        np.percentile(known, percentile) if len(known) else np.nan,
        known.max() if len(known) else np.nan,
        np.percentile(magnitude, percentile) if len(magnitude) else np.nan,
    )


def published(path: str | os.PathLike, percentile: float) -> dict[str, list[float]]:
    """Data set -> NUMBERS as published, NaN where there is none, as of percentiles other than those."""
    given = pandas.read_csv(path)
    given = given[given["method"] == "data set"].set_index(["survey", "property", "metric"])["value"]
    wanted = [
        ("z", "count"),
        ("z", f"percentile_{percentile:g}"),
        ("z", "max"),
        ("mag_i", f"percentile_{percentile:g}"),
    ]
    return {name: [given.get((name, *place), np.nan) for place in wanted] for name in PARENTS.values()}


def line(dataset: str, data_type: str, count, z_percentile, z_max, i_percentile, like: str, known: dict) -> dict:
    """A row of the table, beside it what is published of the like ("" for nothing)."""
    name = PARENTS.get(like, "")
    values = [dataset, data_type, count, z_percentile, z_max, i_percentile, name, *known.get(name, [np.nan] * 4)]
    return dict(zip(COLUMNS, values, strict=True))


def compared(galaxies: pandas.DataFrame) -> pandas.DataFrame:
    """The galaxies of `archives.matched` with both redshifts: DISAGREEING."""
    both = galaxies[np.isfinite(galaxies["z"]) & np.isfinite(galaxies["z_hsc"])].reset_index(drop=True)
    both = both.rename(columns={"z": "z_desi", "zerr": "zerr_desi", "spectype": "class"})
    return both.assign(dz=statistics.delta_z(both["z_desi"].to_numpy(), both["z_hsc"].to_numpy()))[DISAGREEING]


def groups(pairs: pandas.DataFrame) -> Iterator[tuple[str, pandas.DataFrame]]:
    """All; by DESI's class, where it is known; and by whether DESI's fit warns, where it does of some."""
    yield "all", pairs
    for name, some in pairs[pairs["class"] != ""].groupby("class"):
        yield str(name), some
    if (pairs["zwarn"] > 0).any():
        yield "without warning", pairs[pairs["zwarn"] == 0]
        yield "with warning", pairs[pairs["zwarn"] > 0]


def scores(pairs: pandas.DataFrame, settings: Settings, seed: int) -> Iterator[dict]:
    """Rows SCORES of every group: shares with exact intervals; bias and scatter with those of a bootstrap."""
    for group, some in groups(pairs):
        dz, n = some["dz"].to_numpy(), len(some)
        if not n:
            continue
        truth, found = some["z_desi"].to_numpy(), some["z_hsc"].to_numpy()
        for metric, hits in (("agree", np.abs(dz) < settings.agree), ("outliers", np.abs(dz) > settings.outlier)):
            yield _row(group, metric, hits.mean(), statistics.exact_interval(int(hits.sum()), n), n)
        for metric, of in (("bias", statistics.bias), ("sigma_nmad", statistics.sigma_nmad)):
            drawn = statistics.bootstrap(of, truth, found, count=settings.resamples, seed=seed)
            yield _row(group, metric, of(truth, found), statistics.interval(drawn), n)
        yield _row(group, "largest", dz[np.argmax(np.abs(dz))], (np.nan, np.nan), n)


def _row(group: str, metric: str, value: float, ci: tuple[float, float], n: int) -> dict:
    return dict(zip(SCORES, (group, metric, float(value), *ci, n), strict=True))
