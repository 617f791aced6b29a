"""Find anomalies: every score of every galaxy, one list of all, how much of what is labelled it finds, and why."""

import logging
from collections.abc import Iterator

import numpy as np
import pandas
from threadpoolctl import threadpool_limits

from skyloom.analysis.anomalies import Settings, cause, combine, disagreement, figures, scores
from skyloom.analysis.anomalies.labels import labels
from skyloom.analysis.anomalies.measure import ANY, CHANCE, COLUMNS, COMBINED, FAMILY, guessed, kinds_of, measured
from skyloom.analysis.anomalies.metrics import AVERAGE
from skyloom.analysis.anomalies.scores import Score
from skyloom.analysis.common import tables
from skyloom.analysis.common.traits import Described, in_order
from skyloom.core.errors import BadInput
from skyloom.figures import style
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)


def find(job: Job) -> None:
    """Rank the galaxies of a split by how odd they are.

    Inputs: galaxies, splits, embeddings, predictions (of a regression, may be empty), truth (files with the label, may
    be empty). Outputs: table (csv; COLUMNS, `group` is the kind of anomaly), galaxies (parquet; every score of each),
    figure_scores, figure_found. A galaxy costs, in each embedding, as many distances in `components` dimensions as
    there are training galaxies, and as many similarities as the split has galaxies for each pair of modalities.
    """
    settings: Settings = job.settings
    galaxies, splits = job.one("galaxies"), job.one("splits")
    columns = [name for name in dict.fromkeys(settings.catalogue) if name in tables.column_names(galaxies)]
    catalogue = tables.read_galaxies(galaxies, splits, columns)
    for name in columns:
        if not pandas.api.types.is_numeric_dtype(catalogue[name]):
            raise BadInput(f"{galaxies}: column {name!r} has no numbers to compare; take it out of `catalogue`")
    with threadpool_limits(1):
        found = every_score(job, catalogue, columns)
    ids = {split: np.sort(catalogue.index[catalogue["split"] == split].to_numpy()) for split in _splits(settings)}
    known = {split: labels(galaxies, job.inputs.get("truth", []), targetid) for split, targetid in ids.items()}
    families = {split: combine.families(found, targetid) for split, targetid in ids.items()}
    how, choice = chosen(job, families, known)
    targetid, table, label = ids[settings.split], families[settings.split], known[settings.split].to_numpy(object)
    total = combine.combined(table, how)
    place = combine.places(total)
    flagged = (place <= settings.flagged) & np.isfinite(total)
    guess = np.where(flagged, cause.guess(table, settings.stands_out), "") if len(table) else np.empty(0, object)
    lists = [*_lists(total, how, table), *((s, s.values.reindex(targetid).to_numpy(float)) for s in found)]
    rows = [*choice, *guessed(job, guess, label, flagged, how)]
    for number, (score, values) in enumerate(lists):
        rows += measured(job, settings.split, score, values, label, job.seed + number)
    tables.write_csv(job.outputs["table"], rows, COLUMNS)
    shown = pandas.DataFrame(
        {"targetid": targetid, **{s.name: v for s, v in lists}, "place": place, "flagged": flagged, "guess": guess}
    )
    tables.write_parquet(job.outputs["galaxies"], shown.assign(label=pandas.Series(label, dtype="string")))
    figures.draw_scores(table, total, label, job.outputs["figure_scores"])
    shown = [(s, v) for s, v in lists if s.model in (COMBINED, FAMILY)]
    figures.draw_found(shown, label, settings.least, job.outputs["figure_found"])
    log.info("%d galaxies, %d scores, combined by the %s", len(targetid), len(found), how)


def _splits(settings: Settings) -> list[str]:
    return list(dict.fromkeys(["validation", settings.split]))


def every_score(job: Job, catalogue: pandas.DataFrame, columns: list[str]) -> list[Score]:
    """The scores of the galaxies of the validation split and of the one that is searched."""
    settings: Settings = job.settings
    described = in_order(job.inputs["embeddings"], bool(settings.embeddings))
    counted = counting(described)
    splits, found, around = _splits(settings), [], {}
    for place in described:
        one = scores.of_embedding(place, splits, catalogue.index.to_numpy(), counted[place.model], settings, job.seed)
        if one is None:
            log.info("%s: too few training galaxies, or all alike: left out", place.name)
            continue
        found += one[0]
        if counted[place.model]:
            around.setdefault(place.modality, []).append(one[1])
    modalities = {place.modality for place in described}
    found += disagreement.in_shared_spaces(described, splits, counted)
    for path in job.inputs.get("predictions", []):
        found += disagreement.between_predictions(path, settings.properties, modalities, counted)
    return [*found, *disagreement.with_catalogue(around, catalogue, columns)]


def counting(described: list[Described]) -> dict[str, bool]:
    """Whether a model enters the combined score: not a network as it starts, unless there is no other."""
    trained = {place.model: not style.untrained(place.traits) for place in described}
    return trained if any(trained.values()) else dict.fromkeys(trained, True)


def chosen(job: Job, families: dict, known: dict) -> tuple[str, list[dict]]:
    """How the families are put together, and the rows of the validation split that say why (none without labels)."""
    settings: Settings = job.settings
    if settings.combined != "chosen":
        return settings.combined, []
    label = known["validation"].to_numpy(object)
    if settings.split == "validation" or ANY not in kinds_of(label, settings.least):
        return combine.DEFAULT, []
    rows = []
    for how in combine.HOWS:
        score = Score(COMBINED, "", how, "", "", True, pandas.Series(dtype=float))
        found = measured(job, "validation", score, combine.combined(families["validation"], how), label, job.seed)
        rows += [row for row in found if row["method"] != CHANCE or how == combine.HOWS[0]]
    reached = {row["method"]: row["value"] for row in rows if (row["metric"], row["group"]) == (AVERAGE, ANY)}
    return max(combine.HOWS, key=lambda how: reached.get(how, -1.0)), rows


def _lists(total: np.ndarray, how: str, table: pandas.DataFrame) -> Iterator[tuple[Score, np.ndarray]]:
    nothing = pandas.Series(dtype=float)
    yield Score(COMBINED, "", how, "", "", True, nothing), total
    for name in table:
        yield Score(FAMILY, "", str(name), "", str(name), True, nothing), table[name].to_numpy(float)
