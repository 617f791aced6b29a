"""What the report says of redshifts: what holds, the table of methods, the figures, what was refused and why."""

import pandas

from skyloom.analysis.common.blocks import Cell, Claim, Figure, Scores, Shown, Table, Text, grid, in_order, read_csv
from skyloom.analysis.redshift import Settings
from skyloom.models.redshift import FLAGS

METRICS = ("within 0.003", "within 0.01", "sigma_nmad", "accepted", "accepted right")
PROMISED = ("within 0.003", "mean probability", "68% intervals hold", "90% intervals hold")
MEANING = {
    "unsure": "the posterior does not settle on one redshift",
    "fits_elsewhere": "another redshift fits clearly better",
    "misfit": "unlike the spectra of training: a star, an artefact, a wrong inverse variance, or something new",
    "few_pixels": "most of the range has no data",
    "edge": "at the end of what is searched",
}


def present(paths: dict[str, str], settings: Settings, survey: Shown) -> list:
    """Blocks of the report."""
    table, scores = read_csv(paths["table"]), read_csv(paths["scores"])
    found = [*claims(scores, survey), Text(introduction(survey)), method_table(scores)]
    found += [Figure(paths["figure"]), Figure(paths["fits"]), doubts(table), promises(scores)]
    found += [missed(table, settings)]
    first = [name for name in ("identifier", "targetid") if name in table][:1]
    columns = [*first, "class", "z", "zerr", "probability", "doubt", "z_second", "z_known", "class_known", "dz"]
    if not survey.simulated:
        found.append(grid(table[columns], "Redshifts", folded=len(table) > 20))
    return [block for block in found if block is not None]


def introduction(survey: Shown) -> str:
    """What this is, and on what it was trained."""
    text = (
        "A network compares each spectrum with learned rest-frame templates at every redshift at once; a sum of "
        "templates is then fitted around the peaks it proposes. The redshift is that of the network's highest peak, "
        "refined by the fit; the probability is that of the peak. "
    )
    if survey.host_simulated and not survey.simulated:
        text += f'The network has seen nothing but the survey "{survey.host}", a simulation. '
    return text + survey.about


def claims(scores: pandas.DataFrame, survey: Shown):
    """Shares of right redshifts by class, and how right the accepted ones are."""
    rows = scores[scores["method"] == "network and fit"].set_index(["group", "metric"])
    wanted = [("galaxies", "within 0.003", 0.99 if survey.simulated else 0.97)]
    wanted += [("quasars", "within 0.01", 0.92 if survey.simulated else 0.85)]
    for group, metric, least in wanted:
        if (group, metric) not in rows.index:
            continue
        row = rows.loc[group, metric]
        numbers = f"{row['value']:.3f} [{row['ci_low']:.3f}, {row['ci_high']:.3f}], n = {row['n']:,}"
        text = f"{survey.name}: at least {least:.0%} of the redshifts of {group} are {metric.replace('0.', '.')}"
        certain = row["ci_low"] >= least or row["ci_high"] < least
        holds = row["value"] >= least
        verdict = ("holds" if holds else "fails") + ("" if certain else ", within the uncertainty")
        yield Claim(text, numbers, bool(holds), verdict)


def method_table(scores: pandas.DataFrame) -> Scores | None:
    """A line for each group and method."""
    rows = scores[scores["metric"].isin(METRICS)]
    lines = []
    for (group, method), some in rows.groupby(["group", "method"], sort=False):
        cells = {row.metric: _cell(row) for row in some.itertuples()}
        lines.append(((group, method, f"{int(some['n'].iloc[0]):,}"), in_order(cells, METRICS)))
    note = (
        "Shares of spectra by |dz| / (1 + z), with exact 95 % intervals; accepted: without flag; accepted right: of "
        "those, galaxies within .003 and quasars within .01. sigma_NMAD: 1.4826 times the median absolute deviation."
    )
    heads = ("spectra", "method", "n")
    return Scores(heads, METRICS, lines, "How right the redshifts are", note) if lines else None


def promises(scores: pandas.DataFrame) -> Scores | None:
    """Whether the posteriors mean what they say, group by group."""
    rows = scores[(scores["method"] == "network and fit") & scores["metric"].isin(PROMISED)]
    lines = []
    for group, some in rows.groupby("group", sort=False):
        cells = {row.metric: _cell(row) for row in some.itertuples()}
        lines.append(((group, f"{int(some['n'].iloc[0]):,}"), in_order(cells, PROMISED)))
    note = (
        "The mean probability of the redshifts should be the share that are within .003, and intervals of highest "
        "density should hold the known redshift as often as they say; bins of the posterior are as wide as many of the "
        "narrow peaks, so that the 68 % intervals hold more."
    )
    return Scores(("spectra", "n"), PROMISED, lines, "Do the posteriors mean what they say", note) if lines else None


def _cell(row) -> Cell:
    if row.metric == "sigma_nmad":
        return Cell(f"{row.value:.5f}")
    if not row.ci_high >= row.ci_low:
        return Cell(f"{row.value:.3f}")
    return Cell(f"{row.value:.3f}", f"[{row.ci_low:.3f}, {row.ci_high:.3f}]")


def doubts(table: pandas.DataFrame) -> Table:
    """How many spectra carry each flag, and what it means."""
    flag = table["flag"].astype(int)
    lines = [
        [name.replace("_", " "), f"{int(((flag & bit) > 0).sum()):,}", MEANING[name]] for name, bit in FLAGS.items()
    ]
    lines.append(["none", f"{int((flag == 0).sum()):,}", "to use"])
    return Table(["flag", "spectra", "meaning"], lines, f"What was doubted and why ({len(table):,} spectra)")


def missed(table: pandas.DataFrame, settings: Settings) -> Table | None:
    """Spectra without flag whose redshift is wrong."""
    limit = settings.right + (settings.right_quasar - settings.right) * (table["class_known"] == "QSO")
    wrong = table[(table["flag"] == 0) & (table["dz"].abs() >= limit)]
    if not len(wrong):
        return None
    columns = ["targetid", "class", "z", "probability", "z_second", "z_known", "class_known", "dz"]
    return grid(wrong[columns], "Accepted and wrong", folded=True)
