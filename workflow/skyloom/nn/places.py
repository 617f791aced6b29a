"""What part of a sample each token of a network shows: what is said of tokens can then be drawn over the sample.

A network that knows has `places()`, which gives one of these for its modality. Tokens that show no part of it, such as
a CLS token, have a name of their own in `others`.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True)
class Patches:
    """Square patches of the centre of an image, row by row.

    Attributes
    ----------
    first : tokens before the first patch
    grid : patches along a side
    size : pixels along a side that they cover together
    others : token -> what it is called
    """

    first: int
    grid: int
    size: int
    others: Mapping[int, str] = dataclasses.field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many tokens show a part."""
        return self.grid**2


@dataclasses.dataclass(frozen=True)
class Stretches:
    """Stretches of a spectrum, by rising wavelength; they may overlap.

    Attributes
    ----------
    first : tokens before the first stretch
    lower, upper : (n,) Angstrom in vacuum
    span : first and last wavelength, as observed, of which a spectrum can have data
    rest_frame : of the rest frame of the galaxy, not as observed
    others : token -> what it is called
    """

    first: int
    lower: np.ndarray
    upper: np.ndarray
    span: tuple[float, float]
    rest_frame: bool = False
    others: Mapping[int, str] = dataclasses.field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many tokens show a part."""
        return len(self.lower)
