"""R2 of test galaxies by how crowded it is around them."""

import logging

import numpy as np
import pandas
from scipy.stats import spearmanr

from skyloom.analysis.common import bygroup, group_figures, tables
from skyloom.analysis.environment import ANGULAR, SPATIAL, Settings, figures
from skyloom.analysis.environment.density import in_cylinders, on_the_sky, thirds
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

COLUMNS = ["targetid", "nearest", "neighbours", "density", "inside", "on_the_sky", "in_space"]
"""Of the table of galaxies: arcmin, a count, units of the mean, share within the footprint, and the bins."""
QUARTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TRUE_COUNTS = ("neighbours_1mpc", "neighbours_2mpc", "neighbours_5mpc")
"""Of a mock survey's truth: galaxies of its own that are near in space."""


def compare(job: Job) -> None:
    """Count neighbours of every galaxy, score the test galaxies by their number.

    Inputs: galaxies (targetid, ra, dec, z), predictions, truth (files of a mock survey, or none). Outputs: table (csv,
    `bygroup.COLUMNS`), galaxies (parquet, COLUMNS), figures. All galaxies of the catalogue are neighbours, whatever
    their split. Rows besides those of `bygroup.scored`: quantiles of the distance to the nearest, galaxies in each bin,
    and `spearman` of the density with the true number of neighbours. Cost: see `density`, and the bootstrap's.
    """
    settings: Settings = job.settings
    galaxies = tables.read_known(job.one("galaxies"), ["ra", "dec", "z"]).astype(float)
    places = crowding(galaxies, settings)
    rows = [row | {"group": row.get("group", "")} for row in described(job.survey, places)]
    rows += list(against_truth(job, places))
    for predicted in bygroup.read_predictions(job.one("predictions")):
        for column, names in (("on_the_sky", ANGULAR), ("in_space", SPATIAL)):
            groups = {name: places.index[places[column] == name].to_numpy() for name in names}
            options = {"resamples": settings.resamples, "seed": job.seed, "least": settings.least}
            ends = [(names[-1], names[0])]
            found = bygroup.scored(job.survey, predicted, groups, differences=ends, **options)
            rows += [row for row in found if row["group"] != bygroup.ALL or column == "on_the_sky"]
    table = pandas.DataFrame(rows, columns=bygroup.COLUMNS)
    tables.write_csv(job.outputs["table"], table)
    tables.write_parquet(job.outputs["galaxies"], places.reset_index()[COLUMNS])
    figures.draw_crowding(places, settings, job.outputs["figure"])
    names = {name: name.replace(" neighbours", "") for name in ANGULAR}
    title = "neighbours on the sky; density in space"
    group_figures.draw_by_group(table, [*ANGULAR, *SPATIAL], title, job.outputs["figure_scores"], names)


def crowding(galaxies: pandas.DataFrame, settings: Settings) -> pandas.DataFrame:
    """COLUMNS by targetid, of galaxies with a position; without a redshift above 0 they have no density."""
    there = galaxies[np.isfinite(galaxies[["ra", "dec"]]).all(axis=1)]
    ra, dec, z = (there[name].to_numpy() for name in ("ra", "dec", "z"))
    found = pandas.DataFrame(index=there.index.rename("targetid"))
    found["nearest"], found["neighbours"] = on_the_sky(ra, dec, settings.threshold)
    density, inside = np.full((2, len(there)), np.nan)
    known = np.isfinite(z) & (z > 0)
    shape = (settings.radius, settings.velocity, settings.smoothed, settings.nside)
    density[known], inside[known] = in_cylinders(ra[known], dec[known], z[known], *shape)
    found["density"], found["inside"] = np.where(inside >= settings.inside, density, np.nan), inside
    for column, names, values in (
        ("on_the_sky", ANGULAR, found["neighbours"].to_numpy(float)),
        ("in_space", SPATIAL, found["density"].to_numpy()),
    ):
        found[column] = np.array([*names, ""], dtype=object)[thirds(values)]
    return found


def described(survey: str, places: pandas.DataFrame):
    """Rows of the distance to the nearest other galaxy, and of how many galaxies are in each bin."""
    key, near = (survey, "", "", "", "position", "all"), places["nearest"].dropna()
    for share in QUARTILES if len(near) else ():
        yield tables.row(*key, f"nearest_arcmin_q{round(100 * share):02d}", near.quantile(share), n=len(near))
    for column, names in (("on_the_sky", ANGULAR), ("in_space", SPATIAL)):
        for name in names:
            yield tables.row(*key, "count", (places[column] == name).sum(), n=len(places)) | {"group": name}


def against_truth(job: Job, places: pandas.DataFrame):
    """Rank correlation of the density with how many galaxies of a mock universe truly are near."""
    if not job.inputs.get("truth"):
        return
    parts = [tables.read_parquet(path, ["targetid", *TRUE_COUNTS]) for path in job.inputs["truth"]]
    true = pandas.concat(parts, ignore_index=True).drop_duplicates("targetid").set_index("targetid")
    for measured in ("neighbours", "density"):
        for name in TRUE_COUNTS:
            pair = pandas.DataFrame({"a": places[measured], "b": true[name].reindex(places.index)}).dropna()
            if len(pair) > 3 and pair["a"].nunique() > 1 and pair["b"].nunique() > 1:
                key = (job.survey, "", "", measured, name, "all", "spearman")
                yield tables.row(*key, spearmanr(pair["a"], pair["b"]).statistic, n=len(pair)) | {"group": "truth"}
