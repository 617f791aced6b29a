"""Star-formation histories: how much mass formed in each age bin, in closed form."""

import numpy as np

# x = T/tau of a delayed exponential against its specific star-formation rate; negative x rises faster than linearly
_X = np.linspace(-12.0, 45.0, 1200)


def formed_by(time: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Share formed by `time` (0 to 1, units of the galaxy's age T) of the history SFR(t) ~ t exp(-x t), x = T/tau.

    The closed form 1 - (1 + x t) exp(-x t), normalised at t = 1; x may be negative (rising) or 0 (linear: t^2).
    """
    time, x = np.broadcast_arrays(np.clip(time, 0.0, 1.0), x)
    x = np.where(np.abs(x) < 1e-3, 1e-3, x)
    return (1 - (1 + x * time) * np.exp(-x * time)) / (1 - (1 + x) * np.exp(-x))


def rate_for(specific_rate: np.ndarray) -> np.ndarray:
    """x = T/tau of the delayed exponential whose present SFR is `specific_rate` (SFR T / mass formed)."""
    x = np.where(np.abs(_X) < 1e-3, 1e-3, _X)
    table = x**2 * np.exp(-x) / (1 - (1 + x) * np.exp(-x))
    return np.interp(-np.log(specific_rate), -np.log(table), x)


def smooth(edges: np.ndarray, age: np.ndarray, x: np.ndarray, quench: np.ndarray, decay: np.ndarray) -> np.ndarray:
    """Mass in each lookback-age bin, total 1, of delayed exponentials that are cut off at some time.

    Parameters
    ----------
    edges : (A+1,) lookback ages, yr
    age : (n,) yr since the galaxy's first star
    x : (n,) age / tau, see `formed_by`
    quench : (n,) yr of lookback at which star formation starts to decay exponentially; 0 for never
    decay : (n,) yr, e-folding time of that decay

    Returns
    -------
    (n, A)
    """
    age, x, quench, decay = (np.asarray(a, float)[:, None] for a in (age, x, quench, decay))
    before = 1 - quench / age
    # mass formed at lookback older than each edge
    older = formed_by(np.minimum(1 - edges / age, before), x)
    after = np.clip(quench - edges, 0.0, None)
    safe = np.where(np.abs(x) < 1e-3, 1e-3, x)
    rate = safe**2 * before * np.exp(-safe * before) / (1 - (1 + safe) * np.exp(-safe)) / age
    older = older + rate * decay * (1 - np.exp(-after / decay))
    mass = older[:, :-1] - older[:, 1:]
    return mass / mass.sum(axis=1, keepdims=True)


def add_burst(mass: np.ndarray, edges: np.ndarray, fraction: np.ndarray, start: np.ndarray, length: np.ndarray):
    """Move `fraction` (n,) of the mass (n, A) into a burst of constant SFR, from `start` yr ago for `length` yr."""
    start, length = np.asarray(start, float)[:, None], np.asarray(length, float)[:, None]
    end = np.maximum(start - length, 0.0)
    inside = np.clip(np.minimum(edges[1:], start) - np.maximum(edges[:-1], end), 0, None)
    burst = inside / inside.sum(axis=1, keepdims=True)
    return (1 - fraction[:, None]) * mass + fraction[:, None] * burst


def fluctuate(mass: np.ndarray, edges: np.ndarray, sigma: float, memory: float, rng: np.random.Generator) -> np.ndarray:
    """Scale the mass (n, A) of each bin by a lognormal process in time; total stays 1.

    A damped random walk of log10 SFR (Caplar & Tacchella 2019, MNRAS 487, 3845) with rms `sigma` (dex), whose values
    are correlated as exp(-dt / `memory`), yr; bins longer than that average over it.
    """
    n, bins = mass.shape
    width, middle = np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
    x = width / memory
    averaged = sigma * np.sqrt(2 * (x - 1 + np.exp(-x))) / x
    kept = np.exp(-np.diff(middle) / memory)
    noise = rng.standard_normal((n, bins))
    walk = np.empty((n, bins))
    walk[:, 0] = noise[:, 0]
    for i in range(1, bins):
        walk[:, i] = kept[i - 1] * walk[:, i - 1] + np.sqrt(1 - kept[i - 1] ** 2) * noise[:, i]
    scaled = mass * 10 ** (averaged * walk)
    return scaled / scaled.sum(axis=1, keepdims=True)


def mean_age(mass: np.ndarray, ages: np.ndarray) -> np.ndarray:
    """Mean age (n,) weighted by the mass formed, in the units of `ages` (A,)."""
    return (mass @ ages) / mass.sum(axis=1)


def recent_rate(mass: np.ndarray, edges: np.ndarray, window: float) -> np.ndarray:
    """Mean SFR (n,), Msun/yr, over the last `window` yr; a bin that the window cuts counts by its share."""
    share = np.clip((window - edges[:-1]) / np.diff(edges), 0.0, 1.0)
    return (mass @ share) / window
