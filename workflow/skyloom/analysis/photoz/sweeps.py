"""What hidden tokens and short exposures cost: a model asked again, and its scores by share and by exposure."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from skyloom.analysis.common import statistics
from skyloom.analysis.photoz import NEAR, PUBLISHED_SHARE, SPECTRUM, Settings
from skyloom.analysis.photoz.asking import Way
from skyloom.analysis.photoz.metrics import ALL, BELOW, SIGMA, counted, drawn, measured, ratio, rows
from skyloom.settings.names import IMAGES

IMAGE_MASKED, SPECTRUM_MASKED, BOTH_MASKED = "image", "spectrum", "both"
MASK_COLUMNS = ["survey", "model", "masked", "share", "other", "group", "metric", "value", "ci_low", "ci_high", "n"]
"""`other` is the share that a ratio or a difference is against."""
ALONE, JOINED, SPECTRA = "image", "image and spectrum", "spectrum"
EXPOSURE_COLUMNS = ["survey", "model", "given", "exposure", "metric", "value", "ci_low", "ci_high", "n"]


def image_of(modalities: Sequence[str]) -> str | None:
    """The modality among these that is an image."""
    return next((name for name in modalities if name in IMAGES), None)


def mask_ways(image: str, shares: Sequence[float]) -> dict[tuple[str, float], Way]:
    """(what is masked, share) -> the way: the other modality is wholly hidden, or masked alike."""
    found = {}
    for share in shares:
        found[IMAGE_MASKED, share] = Way.of({image: share, SPECTRUM: 1.0})
        found[SPECTRUM_MASKED, share] = Way.of({image: 1.0, SPECTRUM: share})
        found[BOTH_MASKED, share] = Way.of({image: share, SPECTRUM: share})
    return found


def exposure_ways(image: str, exposures: Sequence[float]) -> dict[tuple[str, float], Way]:
    """(what is given, exposure) -> the way; that of the image alone is 0."""
    found = {(ALONE, 0.0): Way.of({image: 0.0, SPECTRUM: 1.0})}
    for exposure in exposures:
        found[JOINED, exposure] = Way.of({image: 0.0, SPECTRUM: 0.0}, exposure)
        found[SPECTRA, exposure] = Way.of({image: 1.0, SPECTRUM: 0.0}, exposure)
    return found


def mask_rows(found: Mapping[tuple[str, float], np.ndarray], known: np.ndarray, s: Settings, seed: int) -> Iterator:
    """Rows of MASK_COLUMNS but for survey and model.

    Scores of every share; `sigma_step`: sigma_NMAD less that of the next larger share, above 0 where less hidden is
    worse; `sigma_ratio`: of nothing hidden over a quarter hidden. Differences and ratios are paired.

    Parameters
    ----------
    found : (what is masked, share) -> redshifts (n,)
    known : (n,)
    """
    groups = {ALL: np.ones(len(known), bool), BELOW: known < NEAR}
    for group, mask in groups.items():
        if mask.sum() < s.least:
            continue
        n, values, draws = int(mask.sum()), {}, {}
        for key, said in found.items():
            given = known[mask], counted(said)[mask]
            values[key], draws[key] = measured(*given), drawn(*given, s.resamples, seed)
            for row in rows(values[key], draws[key], n):
                yield {"masked": key[0], "share": key[1], "group": group} | row
        for masked in dict.fromkeys(masked for masked, _ in found):
            shares = sorted(share for name, share in found if name == masked)
            for less, more in zip(shares[:-1], shares[1:], strict=True):
                one, other = (masked, less), (masked, more)
                low, high = statistics.interval(draws[one][:, SIGMA] - draws[other][:, SIGMA])
                value = values[one][SIGMA] - values[other][SIGMA]
                ends = {"value": float(value), "ci_low": low, "ci_high": high, "n": n}
                about = {"masked": masked, "share": less, "other": more, "group": group}
                yield about | {"metric": "sigma_step"} | ends
            if {0.0, PUBLISHED_SHARE} <= set(shares):
                one, other = (masked, 0.0), (masked, PUBLISHED_SHARE)
                ends = ratio(values[one][SIGMA], values[other][SIGMA], draws[one][:, SIGMA], draws[other][:, SIGMA], n)
                about = {"masked": masked, "share": 0.0, "other": PUBLISHED_SHARE, "group": group}
                yield about | {"metric": "sigma_ratio"} | ends


def exposure_rows(found: Mapping[tuple[str, float], np.ndarray], known: np.ndarray, s: Settings, seed: int) -> Iterator:
    """Rows of EXPOSURE_COLUMNS but for survey and model: scores, and `sigma_ratio`, sigma_NMAD of image and spectrum
    over that of the spectrum alone at the same exposure, paired."""
    n, values, draws = len(known), {}, {}
    for key, said in found.items():
        values[key] = measured(known, counted(said))
        draws[key] = drawn(known, counted(said), s.resamples, seed)
        for row in rows(values[key], draws[key], n):
            yield {"given": key[0], "exposure": key[1]} | row
    for given, exposure in found:
        if given == JOINED:
            one, other = (JOINED, exposure), (SPECTRA, exposure)
            ends = ratio(values[one][SIGMA], values[other][SIGMA], draws[one][:, SIGMA], draws[other][:, SIGMA], n)
            yield {"given": JOINED, "exposure": exposure, "metric": "sigma_ratio"} | ends
