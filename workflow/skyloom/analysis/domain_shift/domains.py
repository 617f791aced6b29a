"""Domains: parts of a survey, or surveys, that heads learn from and are tested on, and the shifts between them."""

import dataclasses
import logging
import zlib
from collections.abc import Iterator, Mapping

import astropy.units as u
import numpy as np
import pandas
from astropy_healpix import lonlat_to_healpix

from skyloom.analysis.common import tables
from skyloom.analysis.domain_shift import BRIGHTNESS, REDSHIFT, SKY, SURVEY, Settings
from skyloom.core.mixing import uniform

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
RANDOM, AGAIN = "random a", "random b"
"""Random halves of a survey: what the halves of the sky are measured against, and what chance does to that."""
_PIXELS, _HALVES = (zlib.crc32(f"domain shift: {what}".encode()) for what in ("pixels", "halves"))


@dataclasses.dataclass(frozen=True)
class Catalogue:
    """The galaxies of a survey: properties, magnitudes, positions and `split`, by rising targetid."""

    survey: str
    table: pandas.DataFrame


@dataclasses.dataclass(frozen=True)
class Domain:
    """Some galaxies of a survey. `targetid`: split -> rising targetids (n,)."""

    name: str
    survey: str
    targetid: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Shift:
    """Domains between which heads are carried.

    Attributes
    ----------
    name : of the shift
    trained, tested : domains
    reference : name of a tested domain -> the trained one that others are measured against there
    """

    name: str
    trained: list[Domain]
    tested: list[Domain]
    reference: Mapping[str, str]


def read_catalogue(survey: str, galaxies: str, splits: str, settings: Settings) -> Catalogue:
    """The columns that are asked for, NaN where the survey has none; BadInput for a table without targetid or split."""
    wanted = [*settings.properties, *settings.photometry, settings.magnitude, "z", "ra", "dec"]
    table = tables.read_known(galaxies, wanted)
    split = tables.read_parquet(splits, ["targetid", "split"]).set_index("targetid")
    return Catalogue(survey, table.join(split, how="inner").sort_index())


def shifts(here: Catalogue, settings: Settings, seed: int) -> Iterator[Shift]:
    """The shifts within a survey that it has the columns for."""
    table = here.table
    for name, column, parts in (
        (BRIGHTNESS, settings.magnitude, ("bright", "faint")),
        (REDSHIFT, "z", ("low z", "high z")),
    ):
        values = table[column].to_numpy(float)
        if name in settings.shifts and np.isfinite(values).any():
            middle = np.nanmedian(values)
            yield _both(name, [_domain(parts[0], here, values <= middle), _domain(parts[1], here, values > middle)])
    side = sky_halves(table["ra"].to_numpy(float), table["dec"].to_numpy(float), settings.nside, seed)
    if SKY in settings.shifts and (side >= 0).any():
        tested = [_domain("sky a", here, side == 0), _domain("sky b", here, side == 1)]
        first = uniform(seed ^ _HALVES, table.index.to_numpy()) < 0.5
        drawn = [_domain(RANDOM, here, first & (side >= 0)), _domain(AGAIN, here, ~first & (side >= 0))]
        yield Shift(SKY, [*tested, *drawn], tested, {domain.name: RANDOM for domain in tested})


def between(host: Catalogue, here: Catalogue) -> Shift:
    """The shift from the survey on which a model is trained to another one, and back."""
    return _both(SURVEY, [_domain(c.survey, c, np.ones(len(c.table), bool)) for c in (host, here)])


def sky_halves(ra: np.ndarray, dec: np.ndarray, nside: int, seed: int) -> np.ndarray:
    """0 or 1 for each position (n,) in degrees, -1 where it is not finite: whole HEALPix pixels, in an order drawn by
    the seed, go to the first half until it has half of the galaxies."""
    side = np.full(len(ra), -1)
    known = np.isfinite(ra) & np.isfinite(dec)
    if not known.any():
        return side
    found = lonlat_to_healpix(ra[known] % 360 * u.deg, dec[known] * u.deg, nside, order="nested")
    pixel, place, count = np.unique(found, return_inverse=True, return_counts=True)
    order = np.argsort(uniform(seed ^ _PIXELS, pixel), kind="stable")
    middle = np.cumsum(count[order]) - count[order] / 2  # a pixel goes to the half where the middle of it falls
    half = np.empty(len(pixel), int)
    half[order] = middle > known.sum() / 2
    side[known] = half[place]
    return side


def _both(name: str, domains: list[Domain]) -> Shift:
    """Every domain trains and is tested; each is the reference of its own."""
    return Shift(name, domains, domains, {domain.name: domain.name for domain in domains})


def _domain(name: str, catalogue: Catalogue, inside: np.ndarray) -> Domain:
    split = catalogue.table["split"].to_numpy(object)
    targetid = catalogue.table.index.to_numpy()
    return Domain(name, catalogue.survey, {s: targetid[inside & (split == s)] for s in SPLITS})
