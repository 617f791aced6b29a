"""Groups in which a calibration must hold too: bins of redshift, magnitude, signal-to-noise, and classes."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas

OVERALL, ESTIMATE, SNR, CLASS, Z = "overall", "estimate", "snr", "spectype", "z"
"""Names of groups; a magnitude has the name of its column."""


class Groups:
    """The groups of the galaxies of a test split.

    Parameters
    ----------
    values : name of a group -> numbers (N,), or texts (N,) of classes
    bins, least : see `Settings`
    """

    def __init__(self, values: Mapping[str, np.ndarray], bins: int, least: int):
        self.values, self.bins, self.least = dict(values), bins, least

    @classmethod
    def of(cls, test: pandas.DataFrame, snr: np.ndarray | None, settings) -> "Groups":
        """By what a catalogue and its spectra give."""
        names = [name for name in (Z, settings.magnitude) if name in test and np.isfinite(test[name]).any()]
        values = {name: test[name].to_numpy(float) for name in names}
        if snr is not None and np.isfinite(snr).any():
            values[SNR] = snr
        if CLASS in test and (test[CLASS].fillna("") != "").any():
            values[CLASS] = test[CLASS].fillna("").to_numpy(object)
        return cls(values, settings.bins, settings.least)

    def within(self, labelled: np.ndarray, rows: np.ndarray, estimate: np.ndarray) -> Iterator[tuple]:
        """Name, low end, high end (or class, "") and members (n,) of each group, all galaxies together first.

        Parameters
        ----------
        labelled : (N,) galaxies of the split with the property: the edges of bins are theirs, whatever a source has
        rows : (n,) which of the N are a source's
        estimate : (n,) its estimates of the property, which are binned too: a user knows them, the truth he does not
        """
        yield OVERALL, "", "", np.ones(len(rows), bool)
        for name, values in self.values.items():
            if values.dtype == object:
                for kind in sorted(set(values) - {""}):
                    yield name, kind, "", values[rows] == kind
            else:
                yield from self._binned(name, values[labelled], values[rows])
        yield from self._binned(ESTIMATE, estimate, estimate)

    def _binned(self, name: str, reference: np.ndarray, values: np.ndarray) -> Iterator[tuple]:
        reference = reference[np.isfinite(reference)]
        count = int(np.clip(len(reference) // self.least, 2, self.bins))
        if len(np.unique(reference)) < 2:
            return
        edges = np.unique(np.quantile(reference, np.linspace(0, 1, count + 1)))
        place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        for number, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
            inside = (place == number) & np.isfinite(values) & (values >= edges[0]) & (values <= edges[-1])
            yield name, low, high, inside
