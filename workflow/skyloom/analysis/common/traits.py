"""What an embedding table says of the model behind it, read without its numbers.

Analyses and figures go by these traits, never by the name that a user gave a model. They lie as JSON in the metadata of
the table, under ``skyloom``: model, modality, kind, trained, baseline, shared_space, ordered, backbones.
"""

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow
import pyarrow.parquet

from skyloom.core.errors import BadInput
from skyloom.figures import style
from skyloom.settings.names import JOINT, MODALITIES


@dataclasses.dataclass(frozen=True)
class Described:
    """An embedding table: where it is, its model and modality, and the model's traits.

    Without traits a model is a trained one of a kind of its own, whose modalities do not share a space.
    """

    path: str
    model: str
    modality: str
    traits: dict

    @property
    def name(self) -> str:
        """``{model}-{modality}``."""
        return f"{self.model}-{self.modality}"

    @property
    def ordered(self) -> bool:
        """The first few columns make a smaller model of their own."""
        return bool(self.traits.get("ordered"))

    @property
    def shared_space(self) -> bool:
        """Its model puts several modalities into one space."""
        return bool(self.traits.get("shared_space"))


def describe(path: str | os.PathLike) -> Described:
    """The name and the traits of an embedding table; BadInput if it is not one."""
    model, separator, modality = Path(path).stem.rpartition("-")
    if not separator:
        raise BadInput(f"{path}: an embedding file is named MODEL-MODALITY.parquet")
    try:
        metadata = pyarrow.parquet.read_schema(path).metadata or {}
        traits = json.loads(metadata.get(b"skyloom", b"{}"))
    except (pyarrow.ArrowInvalid, ValueError) as error:
        raise BadInput(f"{path}: not a readable embedding table ({str(error).splitlines()[0]})") from error
    return Described(str(path), model, modality, traits)


def describe_all(paths: Iterable[str | os.PathLike]) -> list[Described]:
    """Embedding tables by modality; of each, baselines come before trained models, aligned models last."""
    return sorted(map(describe, paths), key=lambda e: (place_of(e.modality), style.rank(e.traits), e.model))


def in_order(paths: Iterable[str | os.PathLike], as_given: bool) -> list[Described]:
    """Embedding tables in the order of `paths` if a user asked for them so, else that of `describe_all`."""
    return [describe(path) for path in paths] if as_given else describe_all(paths)


def place_of(modality: str) -> tuple:
    """Where a modality stands in tables and figures: as in `MODALITIES`, unknown ones after them, joint ones last."""
    first = modality.split("->")[0]
    names = list(MODALITIES)
    place = names.index(first) if first in names else len(names) + (first == JOINT)
    return place, first, modality


def palette(described: Iterable[Described]) -> style.Palette:
    """Colours of the models of these tables."""
    return style.Palette({e.model: e.traits for e in described})
