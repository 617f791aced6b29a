"""What the report says of the gap between real and simulated galaxies."""

from skyloom.analysis.common.blocks import Figure, Scores, Shown, Text, in_order, read_csv, scored
from skyloom.figures import style


def present(paths: dict[str, str], settings, survey: Shown) -> list:
    """Blocks of the report."""
    table = read_csv(paths["table"])
    if not len(table):
        return [Text("Too few galaxies to tell real from simulated ones.")]
    names = list(dict.fromkeys(table["metric"]))
    lines = []
    for (model, modality), some in table.groupby(["model", "modality"], sort=False):
        cells = {row["metric"]: scored(row, False) for _, row in some.iterrows()}
        head = (f"{style.pretty(model)} ({style.pretty(modality)})", f"{some['n'].iloc[0]:,}")
        lines.append((head, in_order(cells, names)))
    note = (
        "AUC: how well a random forest tells real from simulated galaxies by the embedding (.5: not at all, 1: "
        "always), cross-validated, with a 95 % bootstrap interval; matched: against the simulated galaxies most alike "
        "in redshift and signal-to-noise. Beyond: further from the training galaxies than "
        f"{1 - settings.beyond:.0%} of simulated ones. Misfit and flagged: by the redshift model; a misfit is unlike "
        "its training spectra."
    )
    text = (
        f"Every model here was trained on simulated galaxies ({survey.host}). These numbers say how unlike them the "
        "real ones look to it."
    )
    return [Text(text), Scores(("embedding", "real galaxies"), names, lines, note=note), Figure(paths["figure"])]
