"""A query of a model: what is given, what is wanted, and the answer with its intervals."""

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from skyloom.core.errors import BadConfig
from skyloom.models.mosaic import Query
from skyloom.models.mosaic import distribution as said
from skyloom.models.mosaic.numbers import Column, choose, columns
from skyloom.nn.batch import Batch
from skyloom.nn.draws import number
from skyloom.settings.section import parse

LEAST = 50
"""Known values of a number among the kept galaxies from which its intervals are set."""
BLOCK = 128


@dataclasses.dataclass(frozen=True)
class Question:
    """A query, understood.

    Attributes
    ----------
    name : of the query
    query : its settings
    given : modality -> (size,) bool, the numbers that the network sees
    columns : of the answer
    corrections : wanted modality -> what the kept galaxies say of every number: of quantiles the normal scores
        (size, LEVELS) at which they hold, of means the standardised errors (size, LEVELS)
    near : wanted vector -> how neighbours correlate besides by the factors, in draws
    kept : galaxies behind these
    """

    name: str
    query: Query
    given: dict[str, np.ndarray]
    columns: list[Column]
    corrections: dict[str, Tensor]
    near: dict[str, float]
    kept: int

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of(cls, model: nn.Module, name: str, asked: dict) -> "Question":
        """A query of a model.

        Raises
        ------
        BadConfig : in one line, what is wrong with it.
        """
        where = f"queries.{name}"
        query = parse(Query, asked, where)
        given = choose(query.given, model.sizes, model.axes, f"{where}.given")
        if query.wanted is None:
            rest = {m: ~given.get(m, np.zeros(size, bool)) for m, size in model.sizes.items()}
            wanted = {m: mask for m, mask in rest.items() if mask.any()}
        else:
            wanted = choose(query.wanted, model.sizes, model.axes, f"{where}.wanted")
        if not wanted:
            raise BadConfig(f"{where}: all numbers of the model are given, none is wanted")
        if query.samples and not (model.config.factors and model.config.says == "quantiles"):
            raise BadConfig(f"{where}.samples: this model has no factors to draw from (model.factors)")
        low, high = said.LEVELS[0], said.LEVELS[-1]
        if (1 - query.level) / 2 < low - 1e-9:
            raise BadConfig(f"{where}.level: {query.level:g} is not allowed; must be at most {high - low:g}")
        corrections, near, kept = _corrections(model, given, tuple(m for m in model.sizes if m in wanted))
        return cls(name, query, given, columns(wanted, model.sizes), corrections, near, kept)

    def visible(self, known: dict[str, Tensor]) -> dict[str, Tensor]:
        """Which numbers are seen of galaxies of which these are known, modality -> (B, size) bool."""
        return _visible(self.given, known)

    def answer(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Column -> (B,) or (B, n), in physical units."""
        values, known = model.scaled(batch)
        hidden = model.hidden(values, self.visible(known))
        wanted = {column.modality for column in self.columns}
        out = model.read({m: states for m, states in hidden.items() if m in wanted})  # the rest costs as much
        knots = {m: self.quantiles(model, m, out[m]) for m in wanted}
        drawn = self.draw(model, out, knots, batch) if self.query.samples else {}
        tail = (1 - self.query.level) / 2
        ends = torch.special.ndtri(torch.tensor([tail, 0.5, 1 - tail], dtype=torch.float64)).float()
        found: dict[str, Tensor] = {}
        for column in self.columns:
            m, places = column.modality, list(column.places)
            of = knots[m][:, places]
            at = ends.to(of.device).expand(*of.shape[:2], -1)
            lower, middle, upper = said.value_at(at, of).unbind(-1)
            if model.config.says == "mean":
                middle = model.physical(m, out[m])[:, places, 0]
            parts = {"": middle, "_lower": lower, "_upper": upper}
            if column.single:
                parts = {end: value[:, 0] for end, value in parts.items()} | {"_quantiles": of[:, 0]}
            found |= {f"{column.name}{end}": value for end, value in parts.items()}
            if drawn:
                found[f"{column.name}_samples"] = drawn[m][:, places].transpose(1, 2).flatten(1)
        return found

    def quantiles(self, model: nn.Module, modality: str, out: Tensor) -> Tensor:
        """Corrected quantiles (B, size, LEVELS), physical, of what is said of a modality's numbers."""
        correction = self.corrections.get(modality)
        if model.config.says == "mean":
            if correction is None:
                return model.physical(modality, out).expand(-1, -1, len(said.LEVELS)).contiguous() * torch.nan
            return model.physical(modality, out + correction.to(out))
        plain = said.quantiles(out)
        if correction is not None:
            plain = said.value_at(correction.to(out).expand(len(out), -1, -1), plain).cummax(-1).values
        return model.physical(modality, plain)

    def draw(self, model: nn.Module, out: dict, knots: dict, batch: Batch) -> dict[str, Tensor]:
        """Galaxies drawn together, modality -> (B, size, samples), the same for a galaxy in any batch."""
        load = torch.cat([said.loadings(out[m]) for m in out], 1)
        sizes, samples, normal = {m: model.sizes[m] for m in out}, self.query.samples, []
        for targetid in batch.targetid.tolist() if batch.targetid is not None else range(len(batch)):
            generator = torch.Generator(load.device).manual_seed(number(self.name, targetid))
            shape = (load.shape[2] + load.shape[1], samples)
            normal.append(torch.randn(shape, generator=generator, device=load.device))
        common, own = torch.stack(normal).split([load.shape[2], load.shape[1]], 1)
        parts = said.joint_scores(load, common, own, self.near, sizes).split([*sizes.values()], 1)
        return {m: said.value_at(z, knots[m]) for m, z in zip(out, parts, strict=True)}

    def about(self) -> dict:
        """For the metadata of a table of answers."""
        return {
            "given": {m: np.flatnonzero(mask).tolist() for m, mask in self.given.items()},
            "columns": {
                c.name: {"modality": c.modality, "places": list(c.places), "unit": c.unit} for c in self.columns
            },
            "level": self.query.level,
            "levels": list(said.LEVELS),
            "calibrated_on": self.kept,
            "samples": self.query.samples,
        }


def _visible(given: dict[str, np.ndarray], known: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        m: there & torch.from_numpy(given[m]).to(there.device) if m in given else torch.zeros_like(there)
        for m, there in known.items()
    }


@torch.no_grad()
def _corrections(
    model: nn.Module, given: dict[str, np.ndarray], wanted: tuple[str, ...]
) -> tuple[dict[str, Tensor], dict[str, float], int]:
    """What the kept galaxies say of the quantiles, or of the errors, of these modalities, when the same is given.

    Conformal, number by number: the quantile at a level becomes the one at whose normal score that share of the kept
    galaxies lies below (`skyloom.analysis.common.conformal` has the theory).
    """
    kept = {m: model.get_buffer(f"kept_{m}") for m in model.sizes}
    rows = torch.stack([values.isfinite().any(1) for values in kept.values()]).any(0).nonzero()[:, 0]
    if len(rows) < LEAST:
        return {}, {}, 0
    parts: dict[str, list[Tensor]] = {m: [] for m in wanted}
    factors = model.config.factors and model.config.says == "quantiles"
    loads: dict[str, list[Tensor]] = {m: [] for m in wanted if m != "scalars" and factors}
    for block in rows.split(BLOCK):
        batch = Batch({m: {"values": values[block]} for m, values in kept.items()})
        values, known = model.scaled(batch)
        hidden = model.hidden(values, _visible(given, known))
        out = model.read({m: hidden[m] for m in wanted})
        for m in wanted:
            if model.config.says == "mean":
                found = values[m] - out[m][..., 0]
            else:
                found = said.score(values[m], said.quantiles(out[m]))
            parts[m].append(torch.where(known[m], found, torch.nan))
            if m in loads:
                loads[m].append(said.loadings(out[m]))
    corrections = {}
    levels = torch.tensor(said.LEVELS, device=rows.device)
    # of numbers that too few galaxies know: quantiles as they are said, and no errors of means
    plain = said.SCORES.to(rows.device) if model.config.says == "quantiles" else levels * torch.nan
    for m, found in parts.items():
        errors = torch.cat(found)  # (n, size)
        enough = errors.isfinite().sum(0) >= LEAST
        n = errors.isfinite().sum(0).clamp(min=1)
        # the rank of a conformal quantile: outwards, by what a further galaxy may do
        outward = levels + (levels - (levels < 0.5).float()) / n[:, None]
        fitted = _quantile(errors, outward.clamp(0, 1))
        corrections[m] = torch.where(enough[:, None], fitted, plain).float()
    near = {}
    for m, found in loads.items():
        scores = torch.cat(parts[m])
        hidden = ~torch.from_numpy(given[m]).to(scores.device) if m in given else torch.ones_like(scores[0]).bool()
        near[m] = said.neighbours(scores.nan_to_num().clamp(-3, 3), torch.cat(found), scores.isfinite() & hidden)
    return corrections, near, len(rows)


def _quantile(values: Tensor, levels: Tensor) -> Tensor:
    """Quantiles (D, L) of columns (n, D), NaN left out, at levels (D, L), linear between order statistics."""
    ordered = values.sort(0).values  # NaN last
    n = values.isfinite().sum(0)[:, None]
    place = levels * (n - 1).clamp(min=0)
    low = place.floor().long()
    high = (low + 1).minimum((n - 1).clamp(min=0))
    a, b = (ordered.T.gather(1, i) for i in (low, high))
    return a + (b - a) * (place - low)
