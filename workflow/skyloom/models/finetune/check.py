"""What can be known of labels before the first job: their table, its columns, the members of classes."""

import os
from collections import Counter
from typing import TYPE_CHECKING

from skyloom.core.errors import BadConfig
from skyloom.models.finetune import LEAST, Config
from skyloom.settings import layout
from skyloom.settings.names import PROPERTIES
from skyloom.settings.section import hint

if TYPE_CHECKING:
    from skyloom.settings.config import Survey

COUNTED = 100 * 2**20
"""Largest table, in bytes, whose classes are counted before the first job: it is read again for each."""


def check_labels(settings: Config, where: str, survey: "Survey") -> None:
    """The labels are there, as far as can be known.

    Raises
    ------
    BadConfig : no such table or column, or a class without enough members.
    BadInput : the table is none.
    """
    path = settings.table
    if path is None:
        return _check_columns(settings, where)
    from skyloom.formats import label_tables

    if not os.path.isfile(path) and path.startswith(f"{layout.RESULTS}/"):
        folder = f"{layout.survey_folder(survey.name)}/raw/"
        files = [folder + name for names in survey.raw.values() for name in names]
        if path.startswith(folder) and path not in files and not survey.later:
            raise BadConfig(f"{where}.table: '{path}' is not a raw file of the survey; {_near(path, files)}")
        return  # made by the workflow
    if not os.path.isfile(path):
        raise BadConfig(f"{where}.table: '{path}' is not a file")
    label_tables.form(path)
    there = label_tables.column_names(path)
    for name in settings.labels:
        if name not in there:
            raise BadConfig(f"{where}.labels: '{name}' is not a column of {path}; {hint(name, there)}")
    label_tables.check(path, settings.labels)
    if settings.classes and os.path.getsize(path) <= COUNTED:
        _, columns = label_tables.read(path, settings.labels)
        counts = Counter(label_tables.text(columns[settings.labels[0]]).tolist())
        for name in settings.names:
            if counts[name] < LEAST:
                raise BadConfig(f"{where}.classes: {few(name, counts[name], path, counts)}")


def few(name: str, count: int, of: str, counts: Counter) -> str:
    """What to say of a class with too few members."""
    there = ", ".join(f"{name} {count}" for name, count in counts.most_common(8) if name)
    return f"'{name}' has {count} of {of}, expected {LEAST} at least; there are {there or 'no classes'}"


def _check_columns(settings: Config, where: str) -> None:
    if set(settings.labels) <= set(PROPERTIES):
        return
    from skyloom.catalog.columns import GALAXIES

    for name in settings.labels:
        if name not in GALAXIES:
            text = f"'{name}' is not a column of galaxies.parquet; {hint(name, [*GALAXIES])}"
            raise BadConfig(f"{where}.labels: {text}. One of a table of yours: the key 'table'")


def _near(path: str, files: list[str]) -> str:
    tables = [name for name in files if name.endswith((".fits", ".parquet", ".csv"))]
    return hint(path, tables) if len(tables) < 50 else f"did you mean '{tables[0]}'?"
