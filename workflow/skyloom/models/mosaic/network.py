"""The network: numbers to tokens, a transformer over all of them, and what is said of every number."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from skyloom.formats.part_columns import SCALARS
from skyloom.models.mosaic import PICTURES, SIZES, Config, table
from skyloom.models.mosaic import distribution as said
from skyloom.models.mosaic.question import Question
from skyloom.nn.batch import Batch
from skyloom.nn.blocks import MLP, Attention, Block, Linear, normal


class Mosaic(nn.Module):
    """Every number of a galaxy, from those that are visible (Xia et al. 2025, figure 1).

    A token is one number (or a patch of a vector's), mapped to the width of the encoder by the map of its modality; to
    all tokens one table of positions is added; an encoder as BERT's; a head a modality. Unlike a text model it has no
    vocabulary: numbers stay numbers.

    Parameters
    ----------
    config : sizes, layers, and in which points it is as published
    takes : the modalities, in the order of the tokens
    """

    fresh = ("kept_",)

    def __init__(self, config: Config, takes: tuple[str, ...]):
        super().__init__()
        self.config = config
        self.sizes = {name: config.sizes.get(name, (SIZES | PICTURES)[name]) for name in takes}
        self.patches = {name: min(config.patch.get(name, 1), size) for name, size in self.sizes.items()}
        self.counts = {name: math.ceil(size / self.patches[name]) for name, size in self.sizes.items()}
        self.inputs = {name: ("values",) for name in takes}
        self.outputs = said.outputs(config)
        self.entry = nn.ModuleDict({name: self._entry(patch) for name, patch in self.patches.items()})
        self.position = nn.Parameter(torch.empty(1, sum(self.counts.values()), config.dim))
        block = Block if config.norm == "before" else After
        self.blocks = nn.ModuleList(block(config.dim, config.heads, config.mlp_ratio) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim) if config.norm == "before" else nn.Identity()
        self.head = nn.ModuleDict({n: nn.Linear(config.dim, p * self.outputs) for n, p in self.patches.items()})
        normal(self.position, 0.02)
        for name, size in self.sizes.items():
            each = size if name == "scalars" or config.scale == "number" else 1
            self.register_buffer(f"mean_{name}", torch.zeros(each))
            self.register_buffer(f"std_{name}", torch.ones(each))
            self.register_buffer(f"axis_{name}", torch.full((size + 1,), torch.nan, dtype=torch.float64))
            self.register_buffer(f"kept_{name}", torch.full((config.kept, size), torch.nan))

    def _entry(self, patch: int) -> nn.Module:
        width = patch * (1 + (self.config.unknown == "flag") + (self.config.colours > 0 and patch > 1))
        if self.config.entry == "linear":
            return Linear(width, self.config.dim)
        return nn.Sequential(Linear(width, self.config.dim), nn.GELU(), Linear(self.config.dim, self.config.dim))

    # what it has learned of the training split besides weights

    def standardise(self, statistics: Mapping[str, dict], batches: Iterable[Batch] = ()) -> None:
        """Take means and deviations of the training split, and where a vector lies.

        Scalars each for itself; vectors by one mean and deviation of all their numbers, as published, or, with
        `scale: number`, by those of each number in some training galaxies (`batches`), if there are any.
        """
        found: dict[str, list[Tensor]] = {}
        for batch in batches:
            for name in set(self.sizes) & set(batch.data):
                rows = batch[name]["values"][batch.present[name]]
                found.setdefault(name, []).append(torch.where(rows.isfinite(), rows, torch.nan))
        for name in self.sizes:
            self._standardise(name, statistics)
            if self.config.scale == "number" and name != "scalars" and name in found:
                rows = torch.cat(found[name]).double()
                mean = rows.nanmean(0)
                std = (rows - mean).square().nanmean(0).sqrt()
                # numbers that hardly vary (the future's star formation) are not blown up
                least = 0.5 * (rows - rows.nanmean()).square().nanmean().sqrt()
                self.get_buffer(f"mean_{name}").copy_(mean.nan_to_num())
                self.get_buffer(f"std_{name}").copy_(std.nan_to_num(1.0).clamp(min=float(least)))

    def _standardise(self, name: str, statistics: Mapping[str, dict]) -> None:
        entry = statistics[name]["values"] if name in statistics else {}
        entries = [entry.get(scalar, {}) for scalar in SCALARS] if name == "scalars" else [entry]
        for what in ("mean", "std"):
            values = [1.0 * (what == "std") if one.get(what) is None else one[what] for one in entries]
            if values:
                self.get_buffer(f"{what}_{name}").copy_(torch.tensor(values))
        self.get_buffer(f"std_{name}").clamp_(min=1e-6)
        axis = statistics.get(name, {}).get("axis") or []
        if len(axis) in (self.sizes[name], self.sizes[name] + 1):
            self.get_buffer(f"axis_{name}")[: len(axis)] = torch.tensor(axis, dtype=torch.float64)

    @property
    def axes(self) -> dict:
        """Modality -> places or edges of its numbers, of those that are known."""
        found = {name: self.get_buffer(f"axis_{name}") for name in self.sizes}
        return {name: axis[axis.isfinite()].cpu().numpy() for name, axis in found.items() if axis.isfinite().any()}

    def scaled(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Standardised numbers, zero where one is not known, and which are known: modality -> (B, size)."""
        values, known = {}, {}
        for name, size in self.sizes.items():
            if name not in batch:
                values[name] = torch.zeros(len(batch), size, device=batch.device)
                known[name] = torch.zeros(len(batch), size, dtype=torch.bool, device=batch.device)
                continue
            raw = batch[name]["values"]
            known[name] = raw.isfinite() & batch.present[name][:, None]
            raw = (raw - self.get_buffer(f"mean_{name}")) / self.get_buffer(f"std_{name}")
            values[name] = torch.where(known[name], raw, 0)
        return values, known

    def physical(self, name: str, values: Tensor) -> Tensor:
        """Standardised numbers (B, size, ...) of a modality in their units."""
        shape = (1, -1, *[1] * (values.ndim - 2))
        return values * self.get_buffer(f"std_{name}").view(shape) + self.get_buffer(f"mean_{name}").view(shape)

    # the network

    def hidden(self, values: Mapping[str, Tensor], visible: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Last hidden states, modality -> (B, tokens, dim), of numbers of which only the visible are seen."""
        tokens = []
        for name in self.sizes:
            seen = visible[name].to(self.position.dtype)
            parts = [self._patches(name, values[name] * seen)]  # what is hidden ends here
            if self.config.unknown == "flag":
                parts.append(self._patches(name, seen))
            if self.config.colours and self.patches[name] > 1:
                step = (values[name].diff(dim=1) * seen[:, 1:] * seen[:, :-1]) * self.config.colours
                parts.append(self._patches(name, nn.functional.pad(step, (1, 0))))
            tokens.append(self.entry[name](torch.cat(parts, 2)))
        x = torch.cat(tokens, 1) + self.position  # (B, tokens of all modalities, dim)
        for block in self.blocks:
            x = block(x)
        return dict(zip(self.sizes, self.norm(x).split(list(self.counts.values()), 1), strict=True))

    def _patches(self, name: str, values: Tensor) -> Tensor:
        """(B, size) -> (B, tokens, patch), filled up with zeros."""
        count, patch = self.counts[name], self.patches[name]
        return nn.functional.pad(values, (0, count * patch - values.shape[1])).unflatten(1, (count, patch))

    def read(self, hidden: Mapping[str, Tensor], places: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """What is said of the numbers of the modalities whose states are given, modality -> (B, size, outputs);
        `skyloom.models.mosaic.distribution`.

        With `places`, modality -> (n,) places in a token, of those numbers of every token alone: (B, tokens * n,
        outputs), in the order of `at_places`.
        """
        found = {}
        for name, states in hidden.items():
            head, patch, states = self.head[name], self.patches[name], states.contiguous()  # one product, not B
            if places is None:
                x = head(states)
            else:
                weight, bias = head.weight.unflatten(0, (patch, -1)), head.bias.unflatten(0, (patch, -1))
                chosen, patch = places[name], len(places[name])
                x = nn.functional.linear(states, weight[chosen].flatten(0, 1), bias[chosen].flatten())
            x = x.float().unflatten(2, (patch, self.outputs)).flatten(1, 2)
            found[name] = x[:, : self.sizes[name]] if places is None else x
        return found

    def at_places(self, name: str, values: Tensor, places: Tensor) -> Tensor:
        """Of a modality's numbers (B, size) those at places (n,) of every token, (B, tokens * n); zeros where the last
        one is filled up."""
        return self._patches(name, values)[:, :, places].flatten(1)

    def forward(
        self, values: Mapping[str, Tensor], visible: Mapping[str, Tensor], places: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """`read` of `hidden`."""
        return self.read(self.hidden(values, visible), places)

    # what the workflow asks

    def needs(self, name: Question) -> tuple[str, ...]:
        """The modalities that the answer to a query is made of."""
        return tuple(name.given)

    def question(self, name: str, asked: dict) -> Question:
        """A query of the configuration (the keys of `skyloom.models.mosaic.Query`), understood and calibrated."""
        return Question.of(self, name, asked)

    def predict(self, batch: Batch, query: Question) -> dict[str, Tensor]:
        """The answer: for every wanted number (a column, or a vector) the median or mean, `{name}_lower` and
        `{name}_upper`, and more where the query says so."""
        return query.answer(self, batch)

    def columns(self, units: Mapping[str, str | None]) -> list[str]:
        """Those of a user's columns (name -> unit) that are numbers of this model; `skyloom.models.mosaic.table`."""
        return table.known_columns(self, units)

    def modality(self, column: str) -> str:
        """The modality of such a column."""
        return table.places(self)[column][0]

    def batch_of(self, columns: Mapping[str, np.ndarray], targetid: np.ndarray) -> tuple[Batch, dict[str, int]]:
        """Some galaxies of a user's table, and what of each column counts as missing."""
        return table.batch_of(self, columns, targetid)

    def about(self, query: Question) -> dict:
        """Units of the columns, what was given, and how the intervals were set."""
        return query.about()


class After(nn.Module):
    """A layer of BERT (Devlin et al. 2018): norms after attention and MLP, (B, T, dim) -> (B, T, dim)."""

    def __init__(self, dim: int, heads: int, mlp_ratio: float):
        super().__init__()
        self.attention, self.norm_attention = Attention(dim, heads), nn.LayerNorm(dim)
        self.mlp, self.norm_mlp = MLP(dim, mlp_ratio), nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_attention(x + self.attention(x))
        return self.norm_mlp(x + self.mlp(x))
