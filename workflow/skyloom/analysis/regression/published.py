"""Published numbers beside ours, each line with its survey."""

import pandas

from skyloom.analysis.common.blocks import Shown, Table, method_name, with_interval
from skyloom.analysis.common.predictors import PHOTOMETRY
from skyloom.figures import style
from skyloom.settings.names import PROPERTIES

METRICS = {"sigma_nmad": "sigma_NMAD", "bias": "bias", "outliers_0.15": "|dz| > 0.15", "outliers_0.05": "|dz| > 0.05"}
"""Statistics of redshifts, as they are called in tables."""
# Published sSFR is the benchmark's own ("legacy") quantity; it stands in the column of ours where we have no such.
PUBLISHED_AS = {"ssfr_legacy": "log_ssfr"}
TESTED = ("", "test")
"""Splits of published scores: some papers do not name it."""
PHOTOMETRIC = ("image", "hsc_image", PHOTOMETRY)
"""Inputs of photometric redshifts."""


def published_table(survey: Shown, published: pandas.DataFrame, test: pandas.DataFrame) -> Table | None:
    """Published R2, each followed by ours of the same kind of model, modality and method; each line says its survey."""
    ours = test[(test["metric"] == "r2") & (test["trained"].astype(str) == "True")]
    rows = published[(published["metric"] == "r2") & published["split"].isin(TESTED) & (published["group"] == "")]
    stands_in = {name: other for name, other in PUBLISHED_AS.items() if name not in set(ours["property"])}
    rows = rows.replace({"property": stands_in})
    properties = [p for p in PROPERTIES if p in set(rows["property"])]
    lines, marked = [], []
    for (model, modality, method), group in rows.groupby(["model", "modality", "method"], sort=False):
        name = [style.pretty(modality), method_name(method)]
        for (source, where), some in group.groupby(["source", "survey"], sort=False):
            values = some.set_index("property")["value"]
            lines.append([source, where, model, *name, *_two_digits(values, properties)])
        own = ours[(ours["kind"] == model) & (ours["modality"] == modality) & (ours["method"] == method)]
        for trained, some in own.groupby("model", sort=False):
            marked.append(len(lines))
            values = some.set_index("property")["value"]
            lines.append(["this run", survey.name, style.pretty(trained), *name, *_two_digits(values, properties)])
    note = "Each line names its survey. "
    if survey.simulated:
        note += (
            "Ours come from simulated galaxies: these are easier or harder than the sky in ways nobody has measured, "
            "so no line of ours beats, or is beaten by, a line from real data. "
        )
    if stands_in:
        note += "The published sSFR is the benchmark's own quantity, not the logarithm used here."
    columns = ["source", "survey", "model", "input", "method", *map(style.label, properties)]
    return Table(columns, lines, "Published numbers beside ours", note, marked=marked) if lines else None


def references(published: pandas.DataFrame) -> Table:
    """Source and reference of everything published, each once."""
    rows = published[["source", "reference"]].drop_duplicates()
    return Table(["source", "reference"], rows.to_numpy().tolist(), "References of the published numbers", folded=True)


def published_photoz(survey: str, published: pandas.DataFrame, test: pandas.DataFrame) -> Table | None:
    """Published photometric-redshift statistics, and those of our trained models and baselines of magnitudes."""
    rows = published[published["metric"].isin(METRICS)]
    lines = [
        [row.source, row.survey, row.model, row.modality, METRICS[row.metric], f"{row.value:g}", row.reference]
        for row in rows.itertuples()
    ]
    own = test[(test["property"] == "z") & test["modality"].isin(PHOTOMETRIC) & test["metric"].isin(METRICS)]
    own = own[own["trained"].astype(str) == "True"]
    marked = range(len(lines), len(lines) + len(own))
    for _, row in own.iterrows():
        name = ["this run", survey, style.pretty(row["model"]), style.pretty(row["modality"]), METRICS[row["metric"]]]
        lines.append([*name, with_interval(row, 4), method_name(row["method"])])
    columns = ["source", "survey", "model", "input", "metric", "value", "note"]
    return Table(columns, lines, "Photometric redshifts, published and ours", marked=marked, folded=True)


def _two_digits(values: pandas.Series, properties: list[str]) -> list[str]:
    return [f"{values[p]:.2f}" if p in values.index else "" for p in properties]
