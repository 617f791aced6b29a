"""The test galaxies, and what predictions say of them: tables, what was given and hidden, densities."""

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas
import pyarrow.parquet

from skyloom.analysis.common import tables
from skyloom.analysis.common.posteriors import PosteriorFile
from skyloom.analysis.photoz import PHOTOMETRY, PUBLISHED_SHARE, SPECTRUM, Settings
from skyloom.core.errors import BadInput
from skyloom.embedding.parts import METADATA
from skyloom.settings.analysis import Job
from skyloom.settings.names import IMAGES

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to redshifts.

    Attributes
    ----------
    name : MODEL-QUERY, or `photometry`
    model : its model
    given : the modalities that it is shown
    z : by targetid
    hidden : modality -> share of it that is hidden, of a model that can hide any; None of all others
    bands : of the image that are shown; () where a model does not say
    density : its posteriors, if it has any
    """

    name: str
    model: str
    given: tuple[str, ...]
    z: pandas.Series
    hidden: Mapping[str, float] | None = None
    bands: tuple[str, ...] = ()
    density: PosteriorFile | None = None

    @property
    def of_images(self) -> bool:
        """It is shown images and nothing else."""
        return bool(self.given) and set(self.given) <= set(IMAGES)

    @property
    def image_hidden(self) -> float:
        """Share of the image that is hidden; NaN of a model without such a thing."""
        shares = [share for name, share in (self.hidden or {}).items() if name in IMAGES]
        return float(shares[0]) if shares else float("nan")

    @property
    def spectrum_hidden(self) -> float:
        """The same of the spectrum."""
        return float((self.hidden or {}).get(SPECTRUM, float("nan")))

    def shows_less(self, other: "Method") -> bool:
        """Of the same model, it is shown fewer modalities or bands than another, and nothing that the other is not."""
        if self.model != other.model or self.hidden is None or other.hidden is None:
            return False
        inside = set(self.given) <= set(other.given) and set(self.bands) <= set(other.bands)
        hidden = all(self.hidden.get(name, 0) >= share for name, share in other.hidden.items())
        bands = self.of_images or set(self.given) & set(IMAGES)
        fewer = bool(bands) and set(self.bands) < set(other.bands)
        return inside and hidden and (set(self.given) < set(other.given) or fewer)

    def columns(self) -> dict:
        """What tables say of it."""
        return {
            "method": self.name,
            "model": self.model,
            "given": "+".join(self.given),
            "image_hidden": self.image_hidden,
            "spectrum_hidden": self.spectrum_hidden,
            "bands": "".join(self.bands),
        }


def read_method(path: str) -> Method:
    """A table of predictions; BadInput if it has no redshifts or does not say what they are made of."""
    table = tables.read_parquet(path, ["targetid", "z"]).set_index("targetid")["z"]
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()][0]
        raise BadInput(f"{path}: targetid {twice} occurs more than once; expected one row a galaxy")
    schema = pyarrow.parquet.read_schema(path)
    about = json.loads((schema.metadata or {}).get(METADATA, b"{}"))
    given = about.get("modalities") or [name for name in [about.get("modality")] if name]
    if not given:
        raise BadInput(f"{path}: does not say of which modalities its redshifts are made; delete it and rerun")
    name = Path(path).stem
    model = about.get("model") or name.rpartition("-")[0]
    density = PosteriorFile(path) if "posterior" in schema.names else None
    return Method(name, model, tuple(given), table, about.get("hidden"), tuple(about.get("bands", ())), density)


@dataclasses.dataclass(frozen=True)
class Sky:
    """Galaxies of known redshift by targetid (`z_known`, `z_learned`, `spectype`, `split`, the magnitude), and which of
    them all methods are scored on."""

    galaxies: pandas.DataFrame
    scored: np.ndarray

    @property
    def test(self) -> pandas.DataFrame:
        """The galaxies of the test split that every method says something of."""
        return self.galaxies.loc[self.scored]

    def of(self, split: str) -> pandas.DataFrame:
        """The galaxies of known redshift of a split."""
        return self.galaxies[self.galaxies["split"] == split]


def read_sky(job: Job, methods: Sequence[Method]) -> Sky:
    """The galaxies; BadInput when there is none that all methods have in common."""
    s: Settings = job.settings
    table = tables.read_known(job.one("galaxies"), ["z", "zwarn", "z_true", "spectype", "spectype_true", s.magnitude])
    splits = tables.read_parquet(job.one("splits"), ["targetid", "split"]).set_index("targetid")
    table = table.join(splits, how="inner").sort_index()
    table["z_known"] = table["z_true"].where(np.isfinite(table["z_true"].astype(float)), table["z"]).astype(float)
    table["z_learned"] = table["z"].where(~(table["zwarn"].fillna(0) > 0)).astype(float)  # as networks learn it
    put_in = table["spectype_true"].fillna("")
    table["spectype"] = put_in.where(put_in != "", table["spectype"].fillna("")).astype(object)
    table = table[np.isfinite(table["z_known"])]
    scored = table.index[table["split"] == "test"]
    for method in methods:
        scored = scored.intersection(method.z.index)
    if not len(scored):
        names = ", ".join(method.name for method in methods)
        raise BadInput(f"{job.one('splits')}: no galaxy of the test split with a redshift is in all of {names}")
    return Sky(table, np.sort(scored.to_numpy()))


def first_shown(methods: Sequence[Method], wanted: str | None) -> Method:
    """What is drawn against the known redshifts: of the images alone as published, or else the first of images."""
    if wanted is not None:
        for method in methods:
            if method.name == wanted:
                return method
        log.warning("shown: %s is not among what was asked, %s", wanted, ", ".join(method.name for method in methods))
    able = [method for method in methods if method.of_images and method.name != PHOTOMETRY] or list(methods)
    published = [method for method in able if abs(method.image_hidden - PUBLISHED_SHARE) < 1e-9]
    return (published or able)[0]


def whole_image(methods: Sequence[Method]) -> Method | None:
    """Of the first model that can hide parts: the image alone with the least hidden and the most bands."""
    able = [method for method in methods if method.of_images and method.hidden is not None]
    able = [method for method in able if method.model == able[0].model]
    return min(able, key=lambda method: (method.image_hidden, -len(method.bands)), default=None)
