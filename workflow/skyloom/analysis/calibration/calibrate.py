"""Posteriors of every property from every source, conformally corrected, written and scored.

A head is trained on the training split and its epochs are chosen on a hashed share of that. The conformal step takes
galaxies that no head saw: the validation split and a share of the training split that is set apart. Labels of the
latter were never used, but an encoder may have met their spectra or images; where their PIT differ from those of the
validation split (two-sample Kolmogorov-Smirnov test, p < ALIKE) the validation split calibrates alone, and so it does
for models that saw labels. The test split is only scored. Intervals of level L then hold the truth with a probability
between L and L + 2 / (n + 1), n the galaxies of the step, for galaxies that are exchangeable with those: of the same
survey, not of the sky.

Cost: 2 s a head and 5,000 galaxies, 130 microseconds a galaxy and posterior, on one core. Galaxies are asked by blocks;
what is held of each is a dozen numbers of one source at a time, while it is scored.
"""

import logging
import zlib
from collections.abc import Mapping

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet

from skyloom.analysis.calibration import Settings, figures
from skyloom.analysis.calibration.scores import COLUMNS, Scored, table_rows
from skyloom.analysis.calibration.sources import Answer, answers
from skyloom.analysis.common import bins, conformal, tables
from skyloom.analysis.common.conformal import Recalibration
from skyloom.analysis.common.densities import tabulate
from skyloom.analysis.common.quality import signal_to_noise
from skyloom.analysis.common.traits import describe, in_order
from skyloom.catalog.columns import GALAXIES
from skyloom.core.errors import BadInput
from skyloom.core.files import atomic
from skyloom.core.mixing import uniform
from skyloom.figures import style
from skyloom.settings.analysis import Job

log = logging.getLogger(__name__)

SPLITS, APART = ("train", "validation", "test"), "set apart"
ALIKE = 0.01
"""The least p-value at which galaxies set apart from the training split calibrate with the validation split."""
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
    snr = signal_to_noise(job.inputs["tokens"], test.index.to_numpy())
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
    """Split -> its galaxies by rising targetid, and those of the properties that the catalogue has.

    APART has the galaxies of the training split that no head may see.
    """
    path = job.one("galaxies")
    there = tables.column_names(path)
    properties = [name for name in settings.properties if name in there]
    if not properties:
        raise BadInput(f"{path}: none of the properties {', '.join(settings.properties)} is a column; expected one")
    for name in set(settings.properties) - set(properties):
        log.info("%s: no column %s: left out", path, name)
    wanted = dict.fromkeys([*properties, bins.Z, *settings.photometry, settings.magnitude, bins.CLASS])
    galaxies = tables.read_galaxies(path, job.one("splits"), [name for name in wanted if name in there]).sort_index()
    samples = {split: galaxies[galaxies["split"] == split] for split in SPLITS}
    train = samples["train"]
    apart = uniform(job.seed ^ zlib.crc32(b"calibration: set apart"), train.index.to_numpy()) < settings.set_apart
    return samples | {"train": train[~apart], APART: train[apart]}, properties


def _score(
    answer: Answer, samples: Mapping[str, pandas.DataFrame], file, settings: Settings, seed: int
) -> dict[str, tuple[Scored, Recalibration]]:
    """Property -> the scores of the test split and the conformal step; writes posteriors. Empty without galaxies."""
    names, test = list(answer.properties), samples["test"]
    parts: dict[str, list[Scored]] = {name: [] for name in names}
    held = np.flatnonzero(answer.has(test.index.to_numpy()))
    if not len(held):
        log.info("%s (%s): no galaxy of the test split: left out", answer.source, answer.given)
        return {}
    step = _step(answer, samples, settings, seed)
    for start in range(0, len(held), answer.block):
        rows = held[start : start + answer.block]
        some = test.iloc[rows]
        for name, family in zip(names, answer.families(some.index.to_numpy()), strict=True):
            truth = some[name].to_numpy(float)
            densities = tabulate(family, truth, step[name])
            parts[name].append(Scored.of(rows, truth, densities, family.cdf(truth)))
            file.write_table(_written(answer, name, some.index.to_numpy(), densities.at(WRITTEN)))
    return {name: (Scored.join(parts[name]), step[name]) for name in names}


def _step(
    answer: Answer, samples: Mapping[str, pandas.DataFrame], settings: Settings, seed: int
) -> dict[str, Recalibration]:
    """Property -> the conformal step: of the validation split, and of the galaxies set apart where they are alike."""
    pits = _pits(answer, samples["validation"], settings, seed)
    if not answer.saw_labels:
        for name, apart in _pits(answer, samples[APART], settings, seed).items():
            if conformal.alike(pits[name], apart) >= ALIKE:
                pits[name] = np.concatenate([pits[name], apart])
            elif len(apart):
                log.info("%s (%s), %s: the validation split alone calibrates, galaxies of the training split differ",
                         answer.source, answer.given, name)  # fmt: skip
    return {name: Recalibration.of(pit) for name, pit in pits.items()}


def _pits(answer: Answer, sample: pandas.DataFrame, settings: Settings, seed: int) -> dict[str, np.ndarray]:
    """Property -> the PIT of the galaxies of a sample that the source has, `galaxies` / 2 at most; NaN: no label."""
    targetid = sample.index.to_numpy()
    targetid = targetid[answer.has(targetid)]
    few = np.argsort(uniform(seed, targetid), kind="stable")[: settings.galaxies // 2]
    targetid = np.sort(targetid[few])
    found: dict[str, list[np.ndarray]] = {name: [np.zeros(0)] for name in answer.properties}
    for start in range(0, len(targetid), answer.block):
        some = targetid[start : start + answer.block]
        for (name, parts), family in zip(found.items(), answer.families(some), strict=True):
            parts.append(family.cdf(sample.loc[some, name].to_numpy(float)))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _written(answer: Answer, name: str, targetid: np.ndarray, quantiles: np.ndarray) -> pyarrow.Table:
    wanted = schema()
    texts = [np.zeros(len(targetid), np.int16)] * 3
    columns = [pyarrow.array(targetid, pyarrow.int64())]
    for number, text in zip(texts, (answer.source, answer.given, name), strict=True):
        columns.append(pyarrow.DictionaryArray.from_arrays(pyarrow.array(number), pyarrow.array([text])))
    flat = pyarrow.array(np.ascontiguousarray(quantiles, np.float32).ravel())
    columns.append(pyarrow.FixedSizeListArray.from_arrays(flat, quantiles.shape[1]))
    return pyarrow.Table.from_arrays(columns, schema=wanted)
