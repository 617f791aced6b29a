"""What the report says of redshifts from images: claims, figures, methods beside each other and beside the paper."""

import itertools

import pandas

from skyloom.analysis.common.blocks import (
    Cell,
    Figure,
    Scores,
    Shown,
    Table,
    Text,
    grid,
    in_order,
    read_csv,
    scored,
    with_interval,
)
from skyloom.analysis.common.published import read as read_published
from skyloom.analysis.photoz import Settings, claims
from skyloom.analysis.photoz.figures import PUBLISHED, plain, published_scatter
from skyloom.analysis.photoz.metrics import ALL, BELOW, METRICS
from skyloom.figures import style

GROUPS = (ALL, BELOW, "galaxies", "quasars")
CERTAIN = ("coverage68", "coverage90")


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    scores, calibration = read_csv(paths["table"]), read_csv(paths["calibration"])
    masks, exposure = read_csv(paths["masks"]), read_csv(paths["exposure"])
    known = published_scatter(read_published(survey.published))
    paper = known.set_index("model")["value"].to_dict()
    found: list = [*claims.of_masks(masks, paper), *claims.against_others(scores), *claims.of_coverage(calibration)]
    found += [*claims.of_widths(scores), *claims.of_exposure(exposure), Text(introduction(survey))]
    found += [Figure(paths["figure"]), methods(scores), published(known, scores), differences(scores)]
    found += [Figure(paths["figure_bins"]), Figure(paths["figure_masks"]), Figure(paths["figure_exposure"])]
    found += [Figure(paths["figure_calibration"]), certainty(calibration)]
    for table, title in ((masks, "By what is hidden"), (exposure, "By exposure of the spectrum")):
        if len(table):
            found.append(grid(table.drop(columns="survey"), title, folded=True))
    return [block for block in found if block is not None]


def introduction(survey: Shown) -> str:
    """What is compared, and on what."""
    text = (
        "Every method is scored on the same galaxies of the test split. photometry: magnitudes in circles on the same"
        " images, and their colours, to gradient boosting (scikit-learn) that is chosen on the validation split. "
    )
    if survey.simulated:
        text += "The galaxies are simulated: the numbers say how methods compare here, not how they do on the sky. "
    return text + survey.about


def methods(scores: pandas.DataFrame) -> Scores:
    """A line for each group and method."""
    lines = []
    for group in (name for name in GROUPS if name in set(scores["group"])):
        rows = [plain(scores, metric, group) for metric in METRICS]
        table = pandas.concat(rows)
        best = table.assign(value=table["value"].abs()).groupby("metric")["value"].min()
        for method, some in table.groupby("method", sort=False):
            cells = {
                row["metric"]: scored(row, abs(row["value"]) <= best[row["metric"]] + 1e-12, 4)
                for _, row in some.iterrows()
            }
            first = some.iloc[0]
            lines.append(((group, style.pretty(method), shown(first), f"{first['n']:,}"), in_order(cells, METRICS)))
    note = (
        "dz = (z - z_known) / (1 + z_known). bias: median dz; sigma_NMAD: 1.4826 times the median absolute deviation;"
        " outliers: |dz| > 0.15; catastrophic: |z - z_known| > 1. 95 % intervals of a paired bootstrap."
    )
    return Scores(("galaxies", "method", "given", "n"), METRICS, lines, "How right the redshifts are", note)


def shown(row: pandas.Series) -> str:
    """What a method is given, in words."""
    parts = []
    for name in str(row["given"]).split("+"):
        share = row["spectrum_hidden"] if name == "spectrum" else row["image_hidden"]
        bands = "" if name == "spectrum" or pandas.isna(row["bands"]) else f" {row['bands']}"
        hidden = f" ({share:.0%} hidden)" if share > 0 else ""
        parts.append(f"{style.pretty(name)}{bands}{hidden}")
    return ", ".join(parts)


def published(known: pandas.DataFrame, scores: pandas.DataFrame) -> Table | None:
    """The paper's values beside ours; other galaxies, so no comparison of like with like."""
    ours = plain(scores, "sigma_nmad", BELOW)
    if not len(known) or not len(ours):
        return None
    paper = [(PUBLISHED.get(r.model, r.model), f"{r.value:g}") for r in known.itertuples()]
    told = [(style.pretty(row["method"]), with_interval(row, 4)) for _, row in ours.iterrows()]
    lines = [[*one, *other] for one, other in itertools.zip_longest(paper, told, fillvalue=("", ""))]
    note = (
        "Published: real galaxies of HSC with redshifts of DESI, below redshift 0.4. Ours: this survey's. The two"
        " columns are of different galaxies; no line is a comparison."
    )
    columns = ["published, real HSC", "sigma_NMAD", "ours, this survey", "sigma_NMAD [95 %]"]
    return Table(columns, lines, f"Beside the paper, {BELOW}", note)


def differences(scores: pandas.DataFrame) -> Table | None:
    """Methods against each other, galaxy by galaxy."""
    rows = scores[scores["group"].isin([ALL, BELOW]) & scores["other"].notna()]
    wide = {key: some.set_index("metric") for key, some in rows.groupby(["method", "other", "group"], sort=False)}
    lines = []
    for (method, other, group), some in wide.items():
        if "sigma_nmad_difference" in some.index:
            told = [with_interval(some.loc[f"{m}_difference"], 4, True) for m in ("sigma_nmad", "bias", "outliers")]
            pair = [style.pretty(method), style.pretty(other), group, f"{some['n'].iloc[0]:,}"]
            lines.append([*pair, *told, with_interval(some.loc["sigma_nmad_ratio"])])
    if not lines:
        return None
    columns = ["method", "less", "galaxies", "n", "sigma_NMAD", "bias", "outliers", "ratio of sigma_NMAD"]
    return Table(columns, lines, "Differences on the same galaxies", "95 % intervals of a paired bootstrap.")


def certainty(calibration: pandas.DataFrame) -> Scores | None:
    """A line for each density and stage."""
    overall = calibration[calibration["group"] == "overall"]
    lines = []
    for _, row in overall.iterrows():
        cells = [Cell(f"{row[n]:.3f}", f"[{row[f'{n}_low']:.3f}, {row[f'{n}_high']:.3f}]") for n in CERTAIN]
        cells += [Cell(f"{row['pit_p']:.2g}"), Cell(f"{row['crps']:.4f}"), Cell(f"{row['width90']:.4f}")]
        lines.append(((style.pretty(row["method"]), shown(row), row["stage"], f"{row['n']:,}"), cells))
    note = (
        "raw: as the model gives it; conformal: after a correction by the validation galaxies. p of PIT: of the test"
        " that PIT are uniform. CRPS and the median width of 90 % intervals are in redshift."
    )
    columns = ("in 68 %", "in 90 %", "p of PIT", "CRPS", "width of 90 %")
    heads = ("density", "given", "stage", "n")
    return Scores(heads, columns, lines, "Do the densities mean what they say", note) if lines else None
