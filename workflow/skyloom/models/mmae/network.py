"""The network of MMAE: two encoders, fusion by attention in both directions, one joint vector, three heads."""

import numpy as np
import torch
from torch import Tensor, nn

from skyloom.core.mixing import uniform
from skyloom.models.mmae import BANDS, IMAGE, SPECTRUM, Config, Query, patches
from skyloom.models.mmae.layers import Dropout, Encoder, Head, Layer, visible_first
from skyloom.nn import redshift_density
from skyloom.nn.batch import Batch
from skyloom.nn.blocks import Linear
from skyloom.nn.draws import number
from skyloom.settings.section import parse


class Mmae(nn.Module):
    """Images and spectra, any of whose tokens may be hidden, to a joint vector, a redshift and what is hidden.

    Parameters
    ----------
    config : its shape
    takes : the modalities, both
    """

    def __init__(self, config: Config, takes: tuple[str, ...]):
        super().__init__()
        self.config, dim = config, config.dim
        self.inputs = {IMAGE: ("flux",), SPECTRUM: ("flux", "ivar")}
        self.spectra = patches.Spectra(config)
        self.counts = {IMAGE: (config.image_size // config.patch) ** 2, SPECTRUM: self.spectra.tokens}
        numbers = len(BANDS) * config.patch**2
        self.flags = len(BANDS) if config.masks.band else 0
        self.numbers = {IMAGE: numbers, SPECTRUM: config.slice}
        self.embed_image = Linear(numbers + self.flags + (len(BANDS) if config.sums else 0), dim)
        self.embed_spectrum = nn.Sequential(Linear(config.slice, dim))
        self.norm_spectrum = nn.LayerNorm(dim)
        self.position = nn.ParameterDict(
            {m: nn.Parameter(0.02 * torch.randn(1, n, dim)) for m, n in self.counts.items()}
        )
        self.encoders = nn.ModuleDict(
            {m: Encoder(dim, config.layers, config.heads, config.dropout) for m in self.counts}
        )
        self.fusion = nn.ModuleList(Layer(dim, config.heads, config.dropout) for _ in range(config.fusion))
        self.query = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(1, 1, dim)) for m in self.counts})
        self.pool = nn.ModuleDict({m: nn.MultiheadAttention(dim, config.heads, batch_first=True) for m in self.counts})
        if config.decoder == "pooled":
            sizes = {IMAGE: self.counts[IMAGE] * numbers, SPECTRUM: self.spectra.numbers}
            self.decoder = nn.ModuleDict({m: Head(dim, n, config.dropout) for m, n in sizes.items()})
        else:
            self.look = nn.ModuleDict({m: Layer(dim, config.heads, config.dropout) for m in self.counts})
            self.decoder = nn.ModuleDict({m: Linear(dim, n) for m, n in self.numbers.items()})
        says, activation = (1, nn.ReLU()) if config.redshift == "point" else (3 * config.components, nn.GELU())
        self.redshift = nn.Sequential(Linear(2 * dim, dim), activation, Dropout(0.0), Linear(dim, says))
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)

    # tokens

    def patches(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Numbers of all tokens, modality -> (B, T, numbers); which of them are known, alike; which galaxies have it,
        (B,); and bands, (B, 5).

        Galaxies without a modality, or a modality without any galaxy, have zeros.
        """
        config, count, device = self.config, len(batch), batch.device
        have = {m: batch.present.get(m, torch.zeros(count, dtype=torch.bool, device=device)) for m in self.counts}
        values = {m: torch.zeros(count, n, self.numbers[m], device=device) for m, n in self.counts.items()}
        known = {m: torch.zeros_like(v, dtype=torch.bool) for m, v in values.items()}
        bands = torch.zeros(count, len(BANDS), dtype=torch.bool, device=device)
        if IMAGE in batch:
            values[IMAGE], bands = patches.image_patches(batch[IMAGE]["flux"], config)
            known[IMAGE] = bands[:, None, :, None].expand(-1, self.counts[IMAGE], -1, config.patch**2).flatten(2)
        if SPECTRUM in batch:
            values[SPECTRUM], known[SPECTRUM] = self.spectra(batch[SPECTRUM]["flux"], batch[SPECTRUM]["ivar"])
        have[IMAGE] = have[IMAGE] & bands.any(1)
        return values, known, have, bands

    def tokens(self, values: dict[str, Tensor], bands: Tensor) -> dict[str, Tensor]:
        """Embedded tokens with their positions, (B, T, dim); bands that are not there (B, 5) are zero and flagged."""
        image = values[IMAGE].unflatten(2, (len(BANDS), -1)) * bands[:, None, :, None]
        image = image.flatten(2)
        more = [patches.light(image, self.config)] if self.config.sums else []
        if self.flags:
            more.append(bands[:, None].expand(-1, image.shape[1], -1).to(image.dtype))
        return {
            IMAGE: self.embed_image(torch.cat([image, *more], 2)) + self.position[IMAGE],
            SPECTRUM: self.norm_spectrum(self.embed_spectrum(values[SPECTRUM]) + self.position[SPECTRUM]),
        }

    def fused(self, tokens: dict[str, Tensor], shown: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict]:
        """Tokens of both modalities after encoders and fusion, and which are there (None: all).

        What is not shown (B, T) is zero, or is no token at all.
        """
        there: dict[str, Tensor | None] = {}
        states = {}
        for m, x in tokens.items():
            if self.config.hidden == "zero":
                states[m], there[m] = x * shown[m][..., None], None
            else:
                states[m], there[m] = visible_first(x, shown[m])
            states[m] = self.encoders[m](states[m], there[m])
        for layer in self.fusion:
            image, spectrum = states[IMAGE], states[SPECTRUM]
            states = {
                IMAGE: layer(image, spectrum, there[SPECTRUM]),
                SPECTRUM: layer(spectrum, image, there[IMAGE]),
            }
        return states, there

    def joint(self, states: dict[str, Tensor], there: dict) -> Tensor:
        """The joint vector (B, 2 dim): what a query of each modality finds."""
        found = []
        for m, x in states.items():
            absent = None if there[m] is None else ~there[m]
            query = self.query[m].expand(len(x), -1, -1).to(x.dtype)
            found.append(self.pool[m](query, x, x, key_padding_mask=absent, need_weights=False)[0][:, 0])
        return torch.cat(found, 1)

    def drawn(self, states: dict[str, Tensor], there: dict, joint: Tensor) -> dict[str, Tensor]:
        """Every number of both modalities as the network thinks it is, (B, T, numbers)."""
        if self.config.decoder == "pooled":
            spectrum = self.spectra.cut(self.decoder[SPECTRUM](joint))
            return {IMAGE: self.decoder[IMAGE](joint).unflatten(1, (self.counts[IMAGE], -1)), SPECTRUM: spectrum}
        seen = torch.cat([states[IMAGE], states[SPECTRUM]], 1)
        known = None if there[IMAGE] is None else torch.cat([there[IMAGE], there[SPECTRUM]], 1)
        found = {}
        for m in self.counts:
            query = self.position[m].expand(len(seen), -1, -1).to(seen.dtype)
            found[m] = self.decoder[m](self.look[m](query, seen, known))
        return found

    def forward(self, values: dict, bands: Tensor, shown: dict[str, Tensor]) -> tuple[Tensor, Tensor, dict]:
        """The joint vector (B, 2 dim), what the redshift's head says (B, n), and every number (`drawn`)."""
        states, there = self.fused(self.tokens(values, bands), shown)
        joint = self.joint(states, there)
        return joint, self.redshift(joint), self.drawn(states, there, joint)

    # what the workflow asks

    def embed(self, batch: Batch, name: str) -> Tensor:
        """The joint vector (B, 2 dim) of all that is there."""
        values, _, have, bands = self.patches(batch)
        shown = {m: have[m][:, None].expand(-1, n) for m, n in self.counts.items()}
        return self.joint(*self.fused(self.tokens(values, bands), shown))

    def needs(self, name: object) -> tuple[str, ...]:
        """Both modalities, or those that a query shows."""
        if not isinstance(name, Asked):
            return IMAGE, SPECTRUM
        return tuple(m for m, share in name.hidden.items() if share < 1)

    def question(self, name: str, asked: dict) -> "Asked":
        """A query of the configuration."""
        return Asked(name, parse(Query, asked, f"queries.{name}"))

    def predict(self, batch: Batch, query: "Asked") -> dict[str, Tensor]:
        """`z`, with a density `z_lower`, `z_upper` and `posterior` too; `hsc_image` (B, 5 * size^2) and `spectrum`
        (B, numbers), in the units in which the network sees them (`truth`), where they are asked for."""
        values, _, have, bands = self.patches(batch)
        bands = bands & torch.tensor([band in query.query.bands for band in BANDS], device=bands.device)
        have[IMAGE] = have[IMAGE] & bands.any(1)
        shown = {m: have[m][:, None] & ~query.of(m, n, batch).to(batch.device) for m, n in self.counts.items()}
        states, there = self.fused(self.tokens(values, bands), shown)
        joint = self.joint(states, there)
        says = self.redshift(joint)
        if self.config.redshift == "point":
            found = {"z": says[:, 0].float()}
        else:
            found = redshift_density.said(says, query.query.level)
        drawn = self.drawn(states, there, joint) if query.query.reconstruct else {}
        if IMAGE in query.query.reconstruct:
            found[IMAGE] = patches.image_of(drawn[IMAGE].float(), self.config).flatten(1)
        if SPECTRUM in query.query.reconstruct:
            found[SPECTRUM] = drawn[SPECTRUM].float().flatten(1)[:, : self.spectra.numbers]
        return found

    def about(self, query: "Asked") -> dict:
        """What was hidden, and on which redshifts `posterior` is."""
        said = {"hidden": query.hidden, "bands": query.query.bands, "level": query.query.level}
        return said | ({} if self.config.redshift == "point" else {"log_scale": redshift_density.LOG_SCALE})

    # what analyses set reconstructions beside

    def truth(self, batch: Batch) -> dict[str, Tensor]:
        """What is there, as a reconstruction of all of it would be: `hsc_image` (B, 5 * size^2), `spectrum`
        (B, numbers)."""
        values, *_ = self.patches(batch)
        image = patches.image_of(values[IMAGE], self.config).flatten(1)
        return {IMAGE: image, SPECTRUM: values[SPECTRUM].flatten(1)[:, : self.spectra.numbers]}

    @property
    def wavelength(self) -> np.ndarray:
        """Angstrom (numbers,) in vacuum of the numbers of `spectrum`."""
        return self.spectra.wavelength


class Asked:
    """A query, and which tokens of a galaxy it hides."""

    def __init__(self, name: str, query: Query):
        self.name, self.query = name, query
        self.hidden = {IMAGE: query.image, SPECTRUM: query.spectrum}

    def __str__(self) -> str:
        return self.name

    def of(self, modality: str, count: int, batch: Batch) -> Tensor:
        """Hidden tokens (B, count) bool: int(share * count) of each galaxy, as published, by hashes of its targetid."""
        some = int(self.hidden[modality] * count)
        ids = np.arange(len(batch)) if batch.targetid is None else batch.targetid.cpu().numpy()
        chance = np.stack([uniform(number(modality, place) % 2**31, ids) for place in range(count)], 1)
        order = torch.from_numpy(chance.argsort(1).argsort(1))
        return order < some
