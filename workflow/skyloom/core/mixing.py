"""Numbers drawn by what they belong to: a galaxy keeps its own, whatever else a survey holds."""

import numpy as np


def uniform(seed: int, number: np.ndarray) -> np.ndarray:
    """A number in [0, 1) for each int64, the same for the same seed: splitmix64 (Steele, Lea and Flood 2014), twice."""
    start = _mix(np.array([seed], np.int64).view(np.uint64))
    return (_mix(_mix(number.astype(np.int64).view(np.uint64)) ^ start) >> np.uint64(11)) * 2.0**-53


def _mix(word: np.ndarray) -> np.ndarray:
    word = word + np.uint64(0x9E3779B97F4A7C15)  # wraps, as meant
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
