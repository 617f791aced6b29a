"""Galaxies as MMAE takes them in: as numbers of tokens, and as what it makes of those that are shown."""

import dataclasses

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Numbers:
    """Galaxies as tokens: values, modality -> (B, T, numbers), those that are known, which galaxies have it, (B,);
    bands of their images, (B, 5); and what the values of spectra are made of. Zero where there is nothing."""

    values: dict[str, Tensor]
    known: dict[str, Tensor]
    have: dict[str, Tensor]
    bands: Tensor
    bins: tuple[Tensor, Tensor] | None = None


@dataclasses.dataclass(frozen=True)
class Encoded:
    """What is shown of galaxies as vectors.

    Attributes
    ----------
    joint : (B, 2 dim) what a query of each modality finds; zero for one that shows nothing
    light : (B, dim) photometry, or None
    match : (B, Z) how likely each redshift makes what is shown of the spectrum, a logarithm, or None
    groups : rows (n,) of galaxies that show alike, and states of their tokens, modality -> (n, k, dim) or None
    """

    joint: Tensor
    light: Tensor | None
    match: Tensor | None
    groups: list[tuple[Tensor, dict[str, Tensor | None]]]


def together(states: dict[str, Tensor | None]) -> Tensor | None:
    """The states of all tokens of a group that are seen, (n, k, dim); None if that is nothing."""
    there = [x for x in states.values() if x is not None]
    return torch.cat(there, 1) if there else None
