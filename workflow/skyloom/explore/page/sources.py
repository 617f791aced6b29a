"""Which results of a survey a page is made of."""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow
import pyarrow.parquet as pq

from skyloom.core.errors import BadInput

MAP_COLUMNS = {"model", "modality", "targetid", "x", "y"}
ANOMALY_COLUMNS = {"targetid", "place", "flagged", "guess"}


@dataclasses.dataclass(frozen=True)
class Sources:
    """Files of a survey; a list is empty where there are none.

    Attributes
    ----------
    survey : its name
    galaxies, splits : galaxies.parquet, splits.parquet
    embeddings : tables of embeddings
    tokens : modality -> token shards
    predictions : tables of what models say when asked
    maps : tables of the analysis `umap`
    anomalies : tables of the analysis `anomalies`, a galaxy a row
    simulated : its galaxies are made up; None where that is not known
    """

    survey: str
    galaxies: str
    splits: str | None = None
    embeddings: tuple[str, ...] = ()
    tokens: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    predictions: tuple[str, ...] = ()
    maps: tuple[str, ...] = ()
    anomalies: tuple[str, ...] = ()
    simulated: bool | None = None

    @classmethod
    def of_folder(cls, folder: str | os.PathLike) -> "Sources":
        """What is there of a survey in a folder ``results/{survey}``; tables are known by their columns.

        Raises
        ------
        BadInput : no folder of a survey's results.
        """
        folder = Path(folder)
        galaxies, splits = folder / "catalog/galaxies.parquet", folder / "catalog/splits.parquet"
        if not galaxies.is_file():
            raise BadInput(f"{folder}: no catalog/galaxies.parquet; expected the results of a survey, results/mock")
        analyses = sorted((folder / "analysis").glob("*.parquet"))
        return cls(
            folder.resolve().name,
            str(galaxies),
            str(splits) if splits.is_file() else None,
            tuple(map(str, sorted((folder / "embeddings").glob("*.parquet")))),
            by_modality(sorted((folder / "tokens").glob("*/shard-*.h5"))),
            tuple(map(str, sorted((folder / "predictions").glob("*.parquet")))),
            tuple(str(path) for path in analyses if MAP_COLUMNS <= columns(path)),
            tuple(str(path) for path in analyses if ANOMALY_COLUMNS <= columns(path)),
        )


def by_modality(shards: Iterable[str | os.PathLike]) -> dict[str, tuple[str, ...]]:
    """Token shards ``tokens/{modality}/shard-0000.h5`` by modality, in the order given."""
    found: dict[str, list[str]] = {}
    for path in map(Path, shards):
        found.setdefault(path.parent.name, []).append(str(path))
    return {modality: tuple(paths) for modality, paths in found.items()}


def columns(path: str | os.PathLike) -> set[str]:
    """The columns of a Parquet file; none of one that cannot be read."""
    try:
        return set(pq.read_schema(path).names)
    except (OSError, pyarrow.ArrowException):
        return set()
