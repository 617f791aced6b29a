"""Posteriors of every property from every source, conformally corrected, written and scored.

A head is trained on the training split and its epochs are chosen on a hashed share of that. The conformal step has the
validation split to itself, which no head saw, and the test split is only scored. Intervals of level L then hold the
truth with a probability between L and L + 2 / (n + 1), n the galaxies of the step, for galaxies that are exchangeable
with those: of the same survey, not of the sky.

Cost: 2.5 s a head and 5,000 galaxies, 40 microseconds a galaxy and posterior, on one core. Galaxies are
asked by blocks; what is held of each is nine numbers a source and property, while they are scored.
"""

import logging
from collections.abc import Mapping

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet

from skyloom.analysis.calibration import Settings, bins, figures
from skyloom.analysis.calibration.scores import COLUMNS, Scored, table_rows
from skyloom.analysis.calibration.sources import Answer, answers
from skyloom.analysis.common import tables
from skyloom.analysis.common.conformal import Recalibration
from skyloom.analysis.common.densities import LEVELS, tabulate
from skyloom.analysis.common.traits import describe, in_order
from skyloom.catalog.columns import GALAXIES
from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.core.mixing import uniform
from skyloom.figures import style
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
WRITTEN = np.round(np.concatenate([[0.005, 0.01], np.arange(1, 40) / 40, [0.99, 0.995]]), 3)
WRITTEN = np.sort(np.concatenate([WRITTEN, [0.16, 0.84]]))
"""Levels of the quantiles that are written."""


def calibrate(job: Job) -> None:
    """Posteriors of a survey's galaxies and their scores.

    Inputs: galaxies (targetid, properties, magnitudes, spectype), splits, embeddings, paired (tables
    MODEL-MODALITY.parquet), predictions (tables of posteriors), tokens (shards of spectra; may be none). Outputs: table
    (csv, `scores.COLUMNS`), posteriors (parquet, `schema`), figure (png).

    Raises
    ------
    BadInput : none of the properties is a column of the catalogue, or a file is not what it should be.
    """
    settings: Settings = job.settings
    samples, properties = _samples(job, settings)
    test = samples["test"]
    snr = bins.signal_to_noise(job.inputs["tokens"], test.index.to_numpy())
    groups = bins.Groups.of(test, snr, settings)
    described = in_order(job.inputs["embeddings"], bool(settings.embeddings))
    paired = {place.name: place for place in map(describe, job.inputs["paired"])}
    asked = answers(samples, described, paired, job.inputs["predictions"], properties, settings, job.seed)
    rows, drawn, traits = [], [], {}
    with atomic(job.outputs["posteriors"]) as temporary, pyarrow.parquet.ParquetWriter(temporary, schema()) as file:
        for answer in asked:
            traits[answer.source] = answer.traits
            for name, (scored, step) in _score(answer, samples, file, settings, job.seed).items():
                key = {"survey": job.survey, "source": answer.source, "given": answer.given, "property": name}
                key |= {"kind": answer.traits.get("kind", ""), "trained": not style.untrained(answer.traits)}
                rows += table_rows(key, scored, step, groups, np.isfinite(test[name].to_numpy(float)))
                drawn.append(figures.Drawn.of(answer.source, answer.given, name, scored, step.n))
    table = pandas.DataFrame(rows, columns=COLUMNS)
    tables.write_csv(job.outputs["table"], table)
    figures.draw(table, drawn, traits, job.outputs["figure"])


def schema() -> pyarrow.Schema:
    """Of the table of posteriors: one row a galaxy, source, way of asking it and property; galaxies of the test split.

    `quantiles` are those at the levels that stand in the metadata (`levels`, separated by spaces), in the unit of the
    property (`unit.z` and so on), after the conformal step. A gap between two neighbouring quantiles that is wide
    among narrow ones is a valley between two peaks.
    """
    text = pyarrow.dictionary(pyarrow.int16(), pyarrow.string())
    names = {"source": text, "given": text, "property": text}
    units = {f"unit.{name}": unit for name, (_, unit, _, _) in GALAXIES.items() if unit}
    fields = [("targetid", pyarrow.int64()), *names.items()]
    fields += [("quantiles", pyarrow.list_(pyarrow.float32(), len(WRITTEN)))]
    levels = {"levels": " ".join(f"{level:g}" for level in WRITTEN)}
    return pyarrow.schema(fields, metadata=levels | units)


def _samples(job: Job, settings: Settings) -> tuple[dict[str, pandas.DataFrame], list[str]]:
    """Split -> its galaxies by rising targetid, and those of the properties that the catalogue has."""
    path = job.one("galaxies")
    there = tables.column_names(path)
    properties = [name for name in settings.properties if name in there]
    if not properties:
        raise BadInput(f"{path}: none of the properties {', '.join(settings.properties)} is a column; expected one")
    for name in set(settings.properties) - set(properties):
        log.info("%s: no column %s: left out", path, name)
    wanted = dict.fromkeys([*properties, bins.Z, *settings.photometry, settings.magnitude, bins.CLASS])
    galaxies = tables.read_galaxies(path, job.one("splits"), [name for name in wanted if name in there]).sort_index()
    return {split: galaxies[galaxies["split"] == split] for split in SPLITS}, properties


def _score(
    answer: Answer, samples: Mapping[str, pandas.DataFrame], file, settings: Settings, seed: int
) -> dict[str, tuple[Scored, Recalibration]]:
    """Property -> the scores of the test split and the conformal step of the validation split; writes posteriors."""
    names = list(answer.properties)
    step = _step(answer, samples["validation"], settings, seed)
    test = samples["test"]
    parts: dict[str, list[Scored]] = {name: [] for name in names}
    held = np.flatnonzero(answer.has(test.index.to_numpy()))
    for start in range(0, max(len(held), 1), answer.block):
        rows = held[start : start + answer.block]
        some = test.iloc[rows]
        for name, family in zip(names, answer.families(some.index.to_numpy()), strict=True):
            truth = some[name].to_numpy(float)
            densities = tabulate(family, truth, step[name])
            parts[name].append(Scored.of(rows, truth, densities, family.cdf(truth)))
            file.write_table(_written(answer, name, some.index.to_numpy(), densities.at(WRITTEN)))
    return {name: (Scored.join(parts[name]), step[name]) for name in names}


def _step(answer: Answer, sample: pandas.DataFrame, settings: Settings, seed: int) -> dict[str, Recalibration]:
    """Property -> the conformal step."""
    targetid = sample.index.to_numpy()
    targetid = targetid[answer.has(targetid)]
    few = np.argsort(uniform(seed, targetid), kind="stable")[: settings.galaxies // 2]
    targetid = np.sort(targetid[few])
    pits: dict[str, list[np.ndarray]] = {name: [] for name in answer.properties}
    for start in range(0, len(targetid), answer.block):
        some = targetid[start : start + answer.block]
        for (name, found), family in zip(pits.items(), answer.families(some), strict=True):
            found.append(family.cdf(sample.loc[some, name].to_numpy(float)))
    return {name: Recalibration.of(np.concatenate([np.zeros(0), *found])) for name, found in pits.items()}


def _written(answer: Answer, name: str, targetid: np.ndarray, quantiles: np.ndarray) -> pyarrow.Table:
    wanted = schema()
    texts = [np.zeros(len(targetid), np.int16)] * 3
    columns = [pyarrow.array(targetid, pyarrow.int64())]
    for number, text in zip(texts, (answer.source, answer.given, name), strict=True):
        columns.append(pyarrow.DictionaryArray.from_arrays(pyarrow.array(number), pyarrow.array([text])))
    flat = pyarrow.array(np.ascontiguousarray(quantiles, np.float32).ravel())
    columns.append(pyarrow.FixedSizeListArray.from_arrays(flat, quantiles.shape[1]))
    return pyarrow.Table.from_arrays(columns, schema=wanted)
