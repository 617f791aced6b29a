"""The domain-shift matrix: train domain in rows, test domain in columns; R2 above, coverage below, of each source."""

from collections.abc import Sequence

import numpy as np
import pandas

from skyloom.analysis.domain_shift import PHOTOMETRY, SURVEY, Settings
from skyloom.analysis.domain_shift.scores import COVERAGE, DENSITY, R2
from skyloom.figures import style

METRICS = {R2: ("R2", 0.4), COVERAGE: ("90 % coverage", 0.3)}
"""What is drawn, and the difference at which its colour ends."""
SOURCE = ["model", "modality"]
COLOURS = "PuOr"


@style.look()
def draw(table: pandas.DataFrame, settings: Settings, path) -> None:
    """Of the first property that there is: a column a shift, two rows a source. A cell has the value, its difference
    from heads of the tested domain, by which it is coloured, and the 95 % interval of that."""
    rows = table[table["method"] == DENSITY]
    name = next((p for p in settings.properties if (rows["property"] == p).any()), None)
    if name is None:
        return style.nothing("too few galaxies to train in one domain and test in another", path)
    rows = rows[rows["property"] == name]
    shifts, sources = list(dict.fromkeys(rows["shift"])), shown(rows, settings.shown)
    lines = [(source, metric) for source in sources for metric in METRICS]
    trained = max(rows.groupby("shift")["train_domain"].nunique())
    height = max(1.2, 0.34 * trained)
    fig = style.figure(height=(height + 0.1) * len(lines) + 1.3)
    axes = fig.subplots(len(lines), len(shifts), squeeze=False)
    images = {}
    for line, ((model, modality), metric) in zip(axes, lines, strict=True):
        mine = rows[(rows["model"] == model) & (rows["modality"] == modality)]
        for axis, shift in zip(line, shifts, strict=True):
            image = _matrix(axis, mine[mine["shift"] == shift], metric)
            images[metric] = image if image is not None else images.get(metric)
        source = PHOTOMETRY if modality == PHOTOMETRY else style.pretty(f"{modality}:\n{model}")
        line[0].set_ylabel(f"{source}\n{METRICS[metric][0]}", fontsize=8.5)
    for axis, shift in zip(axes[0], shifts, strict=True):
        axis.set_title("between surveys" if shift == SURVEY else f"by {shift}")
    for axis in axes[-1]:
        axis.set_xlabel("tested on")
    fig.align_ylabels(axes[:, 0])
    fig.supylabel("trained on", fontsize=9.5)
    fig.suptitle(f"{style.label(name)}: value, and (difference from heads of the tested domain)", fontsize=10)
    middle = len(shifts) // 2  # side by side, under halves of the columns
    for metric, part in zip(METRICS, (axes[:, :middle], axes[:, middle:]) if middle else (axes, axes), strict=True):
        if images.get(metric) is not None:
            label = f"difference in {METRICS[metric][0]}"
            fig.colorbar(
                images[metric],
                ax=part,
                location="bottom",
                label=label,
                extend="both",
                fraction=0.02,
                aspect=40,
                pad=0.01,
            )
    style.save(fig, path)


def shown(rows: pandas.DataFrame, most: int) -> list[tuple[str, str]]:
    """(model, modality) of photometry and of embeddings, in the order of the table: the best of each modality, by the
    mean R2 in domains of their own, then the second best. What a camera changes does not show in spectra."""
    known = rows[rows["metric"] == R2]
    own = known[known["train_domain"] == known["test_domain"]]
    mean = (own if len(own) else known).groupby(SOURCE, sort=False)["value"].mean()
    names = [key for key in mean.index if key[1] != PHOTOMETRY]
    names.sort(key=lambda key: -np.nan_to_num(mean[key], nan=-np.inf))
    place = {key: [other for other in names if other[1] == key[1]].index(key) for key in names}
    best = set(sorted(names, key=place.get)[:most])  # a stable order: of the same place, the better first
    return [key for key in mean.index if key in best or key[1] == PHOTOMETRY]


def _matrix(axis, rows: pandas.DataFrame, metric: str):
    """The cells of a shift; None where nothing is known."""
    trained, tested = (list(dict.fromkeys(rows[f"{what}_domain"])) for what in ("train", "test"))
    mine = rows[rows["metric"].isin([metric, f"delta_{metric}"])]
    if not len(mine):
        style.empty(axis, "not measured")
        return None
    found = mine.set_index(["metric", "train_domain", "test_domain"])[["value", "ci_low", "ci_high"]]
    delta = found["value"].reindex([(f"delta_{metric}", a, b) for a in trained for b in tested]).to_numpy(float)
    grid = np.nan_to_num(delta.reshape(len(trained), len(tested)))
    limit = METRICS[metric][1]
    image = axis.imshow(grid, cmap=COLOURS, vmin=-limit, vmax=limit, aspect="auto", origin="upper")
    for (i, j), value in np.ndenumerate(grid):
        text = _text(found, metric, trained[i], tested[j])
        colour = "white" if abs(value) > 0.7 * limit else style.INK
        axis.text(j, i, text, ha="center", va="center", fontsize=6.3, color=colour, linespacing=1.05)
    axis.set_xticks(range(len(tested)), _names(tested))
    axis.set_yticks(range(len(trained)), _names(trained))
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0, labelsize=7.5)
    return image


def _text(found: pandas.DataFrame, metric: str, train: str, test: str) -> str:
    """The value of a cell, and its difference with the interval where there is one."""
    if (metric, train, test) not in found.index:
        return ""
    digits = 2 if found.loc[(metric, train, test), "value"] > -10 else 0
    text = f"{found.loc[(metric, train, test), 'value']:.{digits}f}"
    key = (f"delta_{metric}", train, test)
    if key not in found.index:
        return text
    value, low, high = found.loc[key]
    return f"{text}  ({value:+.{digits}f})\n[{low:+.{digits}f}, {high:+.{digits}f}]"


def _names(domains: Sequence[str]) -> list[str]:
    return [style.pretty(name) for name in domains]
