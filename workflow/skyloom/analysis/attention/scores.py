"""How wide the pooling queries look, and whether they look at lines and at the middle of an image."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from skyloom.analysis.common import statistics, tables
from skyloom.figures.galaxies import LINES
from skyloom.nn.places import Patches, Stretches

EFFECTIVE, SHARE, LIFT, CONTROL = "effective_tokens", "share", "lift", "lift_other_redshift"
ALL, AT_LINES, CENTRE = "all tokens", "at lines", "centre"


@dataclasses.dataclass(frozen=True)
class Attention:
    """Where a model looks in one modality.

    Attributes
    ----------
    model, modality : names
    places : what its tokens show, None if it does not say
    weights : (N, heads, T), 1 in sum over tokens
    """

    model: str
    modality: str
    places: Patches | Stretches | None
    weights: np.ndarray

    @property
    def parts(self) -> np.ndarray:
        """(N, heads, n) of the tokens that show a part of the sample."""
        return self.weights[:, :, self.places.first : self.places.first + self.places.count]


def rows(survey: str, found: Attention, z: np.ndarray, near: float, count: int, seed: int) -> Iterator[dict]:
    """Rows of the tidy table, a method a head; means over galaxies with 95 % bootstrap intervals.

    effective_tokens : exp of the entropy over tokens, as a share of their number
    share : of the attention that a token has which shows no part of the sample
    lift : mean attention of the tokens at main lines, or of the patches at the centre, over that of all tokens that
        show a part of this sample: 1 is no preference
    lift_other_redshift : the same for lines at other galaxies' redshifts, of tokens that are not of the rest frame:
        what a look at always the same wavelengths gives
    """
    key = survey, found.model, found.modality
    heads = range(found.weights.shape[1])
    log = np.log(np.maximum(found.weights, 1e-30))
    wide = np.exp(-(found.weights * log).sum(-1)) / found.weights.shape[2]
    measured = [(ALL, EFFECTIVE, wide)]
    if found.places is not None:
        measured += [(name, SHARE, found.weights[:, :, place]) for place, name in found.places.others.items()]
    if isinstance(found.places, Patches):
        measured.append((CENTRE, LIFT, lift(found.parts, centre(found.places, near)[None], np.ones((1, 1), bool))))
    if isinstance(found.places, Stretches):
        seen = reached(found.places, z)
        measured.append((AT_LINES, LIFT, lift(found.parts, at_lines(found.places, z), seen)))
        known = np.flatnonzero(np.isfinite(z))
        if not found.places.rest_frame and len(known) > 1:
            other = np.full(len(z), np.nan)
            order = np.random.default_rng(seed).permutation(known)
            other[order] = z[np.roll(order, 1)]
            measured.append((AT_LINES, CONTROL, lift(found.parts, at_lines(found.places, other), seen)))
    for name, metric, values in measured:
        for head in heads:
            own = values[:, head][np.isfinite(values[:, head])]
            if len(own) > 1:
                ci = statistics.interval(statistics.bootstrap(_mean, own, count=count, seed=seed))
                yield tables.row(*key, f"head {head + 1}", name, "test", metric, own.mean(), ci, len(own))


def lift(weights: np.ndarray, chosen: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Mean attention of chosen tokens over that of all that are seen, (N, heads); NaN where none is chosen.

    weights : (N, heads, n);  chosen, seen : (N or 1, n or 1) bool; what is not seen is not chosen
    """
    means, seen = [], np.broadcast_to(seen, (len(weights), weights.shape[2]))
    for some in (chosen & seen, seen):
        count = some.sum(1)[:, None]
        means.append(np.where(count > 0, (weights * some[:, None]).sum(-1) / np.maximum(count, 1), np.nan))
    return means[0] / np.maximum(means[1], 1e-30)


def reached(places: Stretches, z: np.ndarray) -> np.ndarray:
    """Which stretches lie in the range of the spectrum of galaxies at redshifts z, (N, n) bool."""
    scale = 1 + np.nan_to_num(z)[:, None] if places.rest_frame else np.ones((len(z), 1))
    return (places.lower * scale < places.span[1]) & (places.upper * scale > places.span[0])


def at_lines(places: Stretches, z: np.ndarray) -> np.ndarray:
    """Which stretches hold a main line of galaxies at redshifts z (N,), (N, n) bool; none where z is unknown."""
    found = np.zeros((len(z), places.count), bool)
    for _, rest in LINES:
        line = np.where(np.isfinite(z), rest * (1 if places.rest_frame else 1 + z), np.nan)[:, None]
        with np.errstate(invalid="ignore"):
            found |= (places.lower <= line) & (line < places.upper)
    return found


def centre(places: Patches, near: float) -> np.ndarray:
    """The patches whose middle lies in the central square of so much of the area, (n,) bool."""
    middle = np.abs((np.arange(places.grid) + 0.5) / places.grid - 0.5) * 2
    inside = middle <= np.sqrt(near)
    return (inside[:, None] & inside).ravel()


def _mean(values: np.ndarray) -> np.ndarray:
    return values.mean(-1)
