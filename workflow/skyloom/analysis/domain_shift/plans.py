"""Which galaxies train, calibrate and test in a shift: as many of each domain, drawn by their targetids."""

import dataclasses
import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from skyloom.analysis.domain_shift import Settings
from skyloom.analysis.domain_shift.domains import Catalogue, Domain, Shift
from skyloom.analysis.domain_shift.sources import Source
from skyloom.core.mixing import uniform

log = logging.getLogger(__name__)

TOGETHER = 0.8
"""Properties that this share of their galaxies have both are learned together, from galaxies that have both."""
CALIBRATE = 39
"""Galaxies without which the conformal step cannot give an interval of 90 % two ends."""
_DRAWN = zlib.crc32(b"domain shift: drawn")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Galaxies of a shift, for properties that are learned together.

    Attributes
    ----------
    shift : which
    properties : names
    trained : domains that heads are trained on
    train, calibrate : name of such a domain -> targetids, as many of each; calibrate may have none
    tested : domains that are tested
    test : name of such a domain -> targetids
    """

    shift: Shift
    properties: Sequence[str]
    trained: Sequence[Domain]
    train: Mapping[str, np.ndarray]
    calibrate: Mapping[str, np.ndarray]
    tested: Sequence[Domain]
    test: Mapping[str, np.ndarray]

    def asked(self) -> Iterator[tuple[str, np.ndarray]]:
        """Survey and targetids of all."""
        for domains, chosen in ((self.trained, (self.train, self.calibrate)), (self.tested, (self.test,))):
            for domain in domains:
                for ids in chosen:
                    yield domain.survey, ids[domain.name]


def plans(source: Source, catalogues: Mapping[str, Catalogue], settings: Settings, seed: int) -> Iterator[Plan]:
    """Every shift of a source, properties that are learned together at a time; what has too few galaxies not."""
    for shift in source.shifts:
        train = {d.name: _with(source, d, "train") for d in shift.trained}
        known = [_known(catalogues[d.survey], train[d.name], settings.properties) for d in shift.trained]
        for group in together(np.concatenate(known)):
            whole = {d.name: train[d.name][k[:, group].all(axis=1)] for d, k in zip(shift.trained, known, strict=True)}
            trained = [d for d in shift.trained if len(whole[d.name]) >= settings.fewest]
            tested = [d for d in shift.tested if len(_with(source, d, "test")) >= settings.least]
            names = [settings.properties[p] for p in group]
            if not trained or not tested:
                log.info("%s-%s, %s: too few galaxies", source.model, source.modality, shift.name)
                continue
            checks = {}
            for d in trained:
                ids = _with(source, d, "validation")
                checks[d.name] = ids[_known(catalogues[d.survey], ids, names).all(axis=1)]
            least = min(map(len, checks.values()))
            test = {d.name: drawn(_with(source, d, "test"), settings.galaxies, seed) for d in tested}
            yield Plan(
                shift,
                names,
                trained,
                _as_many({d.name: whole[d.name] for d in trained}, settings.galaxies, seed),
                _as_many(checks, settings.galaxies if least >= CALIBRATE else 0, seed),
                tested,
                test,
            )


def together(known: np.ndarray) -> list[list[int]]:
    """Groups of columns of `known` (N, P) bool such that TOGETHER of the galaxies that have a column of a group have
    all of it; columns that no galaxy has are in none."""
    groups: list[list[int]] = []
    counts = known.sum(axis=0)
    for p in np.argsort(-counts, kind="stable"):
        if not counts[p]:
            continue
        for group in groups:
            whole = known[:, [*group, p]].all(axis=1).sum()
            if whole >= TOGETHER * counts[[*group, p]].max():
                group.append(int(p))
                break
        else:
            groups.append([int(p)])
    return [sorted(group) for group in groups]


def drawn(targetid: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` at most of some galaxies, rising: a galaxy keeps its place in the draw whatever the others are."""
    order = np.argsort(uniform(seed ^ _DRAWN, targetid), kind="stable")[:count]
    return np.sort(targetid[order])


def _as_many(targetid: Mapping[str, np.ndarray], most: int, seed: int) -> dict[str, np.ndarray]:
    count = min(most, *map(len, targetid.values()))
    return {name: drawn(ids, count, seed) for name, ids in targetid.items()}


def _with(source: Source, domain: Domain, split: str) -> np.ndarray:
    """The galaxies of a domain and a split that the source has."""
    ids = domain.targetid[split]
    return ids[np.isin(ids, source.features[domain.survey].targetid)]


def _known(catalogue: Catalogue, targetid: np.ndarray, properties: Sequence[str]) -> np.ndarray:
    """Whether (n, P) galaxies have properties."""
    return np.isfinite(catalogue.table.loc[targetid, list(properties)].to_numpy(float))
