"""The network of MMAE: two encoders, fusion by attention in both directions, one joint vector, three heads."""

import numpy as np
import torch
from torch import Tensor, nn

from skyloom.models.mmae import BANDS, IMAGE, SPECTRUM, Config, Query, patches
from skyloom.models.mmae.answers import answer
from skyloom.models.mmae.galaxies import Encoded, Numbers, together
from skyloom.models.mmae.generator import Generator
from skyloom.models.mmae.layers import Encoder, Head, Layer, Stem, at, places_of
from skyloom.models.mmae.light import Light
from skyloom.models.mmae.question import Asked
from skyloom.models.mmae.shifts import Match, Moved, tokens_of
from skyloom.nn import redshift_density
from skyloom.nn.batch import Batch
from skyloom.nn.blocks import Linear
from skyloom.nn.redshift_grid import Grid
from skyloom.settings.section import parse

HIGHEST = 5.0
"""Redshift up to which they are compared."""


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
        self.flags = len(BANDS) if config.flags else 0
        self.numbers = {IMAGE: numbers, SPECTRUM: config.slice}
        self.embed_image = Linear(numbers + self.flags, dim)
        self.photometry = Light(config) if config.apertures else None
        sees = self.spectra.sees
        if config.convolves:
            self.stem = Stem(sees // config.slice, config.stem)
            sees += config.stem * config.slice
        self.embed_spectrum = nn.Sequential(Linear(sees, dim))
        self.norm_spectrum = nn.LayerNorm(dim)
        self.position = nn.ParameterDict(
            {m: nn.Parameter(0.02 * torch.randn(1, n, dim)) for m, n in self.counts.items()}
        )
        self.encoders = nn.ModuleDict(
            {m: Encoder([self.layer() for _ in range(config.layers)], dim) for m in self.counts}
        )
        self.fusion = nn.ModuleList(self.layer() for _ in range(config.fusion))
        if config.norm == "before":
            self.norm = nn.ModuleDict({m: nn.LayerNorm(dim) for m in self.counts})
        self.query = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(1, 1, dim)) for m in self.counts})
        self.pool = nn.ModuleDict({m: nn.MultiheadAttention(dim, config.heads, batch_first=True) for m in self.counts})
        if config.decoder == "pooled":
            sizes = {IMAGE: self.counts[IMAGE] * numbers, SPECTRUM: self.spectra.numbers}
            self.decoder = nn.ModuleDict({m: Head(dim, n, config.dropout) for m, n in sizes.items()})
        else:
            self.look = nn.ModuleDict({m: self.layer() for m in self.counts})
            self.decoder = nn.ModuleDict({m: Linear(dim, n) for m, n in self.numbers.items()})
        self.redshift = self.head()
        self.product = config.redshift == "product"
        if self.product:
            self.redshifts = Grid.up_to(HIGHEST, self.spectra.step)
            self.match = Match(config, self.spectra.grid, self.redshifts)
        if self.product and config.decoder == "tokens":
            self.moved = Moved(config, self.spectra.grid, self.redshifts)
            self.amounts = Linear(dim, config.templates)
        if config.generator:
            moved = Moved(config, self.spectra.grid, self.redshifts) if self.product else None
            shape = (self.counts[SPECTRUM], config.slice)
            self.generator = Generator(*shape, dim, config.heads, config.generator, moved)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                nn.init.zeros_(part.bias)

    # tokens

    def numbers_of(self, batch: Batch) -> Numbers:
        """Galaxies as numbers of tokens."""
        config, count, device = self.config, next(iter(batch.present.values())).shape[0], batch.device
        have = {m: batch.present.get(m, torch.zeros(count, dtype=torch.bool, device=device)) for m in self.counts}
        values = {m: torch.zeros(count, n, self.numbers[m], device=device) for m, n in self.counts.items()}
        known = {m: torch.zeros_like(v, dtype=torch.bool) for m, v in values.items()}
        bands = torch.zeros(count, len(BANDS), dtype=torch.bool, device=device)
        bins = None
        if IMAGE in batch:
            values[IMAGE], bands = patches.image_patches(batch[IMAGE]["flux"], config)
            known[IMAGE] = bands[:, None, :, None].expand(-1, self.counts[IMAGE], -1, config.patch**2).flatten(2)
        if SPECTRUM in batch:
            bins = self.spectra.bins(batch[SPECTRUM]["flux"], batch[SPECTRUM]["ivar"])
            values[SPECTRUM], known[SPECTRUM] = self.spectra(*bins)
        have[IMAGE] = have[IMAGE] & bands.any(1)
        return Numbers(values, known, have, bands, bins)

    def tokens(self, numbers: Numbers, bands: Tensor, shown: dict[str, Tensor]) -> dict[str, Tensor]:
        """Embedded tokens with their positions, (B, T, dim); bands that are not there (B, 5) are zero and flagged."""
        image = numbers.values[IMAGE] * bands[:, None, :, None].expand(-1, 1, -1, self.config.patch**2).flatten(2)
        if self.flags:
            image = torch.cat([image, bands[:, None].expand(-1, image.shape[1], -1).to(image.dtype)], 2)
        found = {IMAGE: self.embed_image(image) + self.position[IMAGE]}
        if numbers.bins is None:  # no galaxy has one
            found[SPECTRUM] = self.position[SPECTRUM].expand(bands.shape[0], -1, -1)
        else:
            seen = self.spectra.seen(numbers.values[SPECTRUM], numbers.bins, shown[SPECTRUM])
            if self.config.convolves:
                seen = torch.cat([seen, self.stem(seen, shown[SPECTRUM])], 2)
            found[SPECTRUM] = self.norm_spectrum(self.embed_spectrum(seen) + self.position[SPECTRUM])
        return found

    def groups(self, shown: dict[str, Tensor]) -> list[tuple[Tensor, dict[str, Tensor | None]]]:
        """Galaxies that are looked at together: their rows (n,), and where what each modality shows is, (n, k), None if
        that is nothing. What is not shown (B, T) does not enter the network. Or all galaxies, if it is zero there.

        In a group every galaxy shows as many tokens, so that attention has nothing to leave out.
        """
        rows = torch.arange(shown[IMAGE].shape[0], device=shown[IMAGE].device)
        if self.config.hidden == "zero":
            return [(rows, {m: rows.new_zeros(rows.shape[0], 0) for m in shown})]
        if torch.compiler.is_exporting():  # whose graph is one for all galaxies: of those that have both, all is shown
            return [
                (
                    rows,
                    {m: torch.arange(n, device=rows.device).expand(rows.shape[0], -1) for m, n in self.counts.items()},
                )
            ]
        counts = {m: there.sum(1) for m, there in shown.items()}
        found = []
        for pair in torch.unique(torch.stack(list(counts.values()), 1), dim=0).tolist():
            own = rows[torch.stack([counts[m] == n for m, n in zip(counts, pair, strict=True)]).all(0)]
            found.append((own, {m: places_of(shown[m][own]) if n else None for m, n in zip(counts, pair, strict=True)}))
        return found

    def encode(self, numbers: Numbers, bands: Tensor, shown: dict[str, Tensor]) -> Encoded:
        """What is shown, as vectors."""
        tokens = self.tokens(numbers, bands, shown)
        light = self.light(numbers.values[IMAGE], bands, shown[IMAGE])
        joint = tokens[IMAGE].new_zeros(bands.shape[0], 2 * self.config.dim)
        groups = []
        for rows, places in self.groups(shown):
            entering = {m: self.taken(m, tokens, shown, rows, place) for m, place in places.items()}
            if light is not None and entering[IMAGE] is not None:
                entering[IMAGE] = torch.cat([entering[IMAGE], light[rows, None].to(entering[IMAGE].dtype)], 1)
            states = self.fused(entering)
            found = [self.pooled(m, x, rows.shape[0]) for m, x in states.items()]
            joint = joint.index_copy(0, rows, torch.cat(found, 1).to(joint.dtype))
            groups.append((rows, states))
        return Encoded(joint, light, self.matched(numbers, shown[SPECTRUM]), groups)

    def matched(self, numbers: Numbers, shown: Tensor) -> Tensor | None:
        """How well rest-frame templates match what is shown of spectra, (B, Z), if the model compares them."""
        if not self.product:
            return None
        if numbers.bins is None:
            return torch.zeros(len(shown), self.redshifts.count, device=shown.device)
        return self.match(*self.spectra.of_shown(numbers.bins, shown))

    def light(self, image: Tensor, bands: Tensor, shown: Tensor) -> Tensor | None:
        """Photometry of what is shown, (B, dim), if the model has such."""
        if self.photometry is None:
            return None
        flux = patches.flux_of(image, self.config) * bands[:, None, :, None]
        return self.photometry(flux, shown, bands)

    def says(self, encoded: Encoded) -> Tensor:
        """What the head of the redshift gives, (B, n), in single precision: of the joint vector and the photometry; of
        redshift: product, ln of the probability of each redshift.

        What image and spectrum say is multiplied: a head that is given both learns to read the image first, which is
        easier, and then does not ask the spectrum.
        """
        with torch.autocast(encoded.joint.device.type, enabled=False):
            given = [encoded.joint.float()] + ([] if encoded.light is None else [encoded.light])
            found = self.redshift(torch.cat(given, 1))
            return (self.redshifts.log_mixture(found) + encoded.match).log_softmax(1) if self.product else found

    def head(self) -> nn.Sequential:
        """The head of the redshift."""
        c = self.config
        width = (3 if c.apertures else 2) * c.dim
        if c.redshift == "point":
            return nn.Sequential(nn.Linear(width, c.dim), nn.ReLU(), nn.Linear(c.dim, 1))
        layers = [nn.Linear(width, 2 * c.dim), nn.GELU(), nn.Linear(2 * c.dim, c.dim), nn.GELU()]
        return nn.Sequential(*layers, nn.Linear(c.dim, 3 * c.components))

    def taken(self, modality: str, tokens: dict, shown: dict, rows: Tensor, places: Tensor | None) -> Tensor | None:
        """The tokens of a group that enter the encoder."""
        if self.config.hidden == "zero":
            return tokens[modality] * shown[modality][..., None]
        return None if places is None else at(tokens[modality][rows], places)

    def fused(self, tokens: dict[str, Tensor | None]) -> dict[str, Tensor | None]:
        """Tokens of both modalities after encoders and fusion."""
        image, spectrum = (x if x is None else self.encoders[m](x) for m, x in tokens.items())
        for layer in self.fusion:
            seen = (image, spectrum)
            image, spectrum = (
                x if x is None else layer(x, other) for x, other in ((image, seen[1]), (spectrum, seen[0]))
            )
        states = {IMAGE: image, SPECTRUM: spectrum}
        if self.config.norm == "before":
            states = {m: x if x is None else self.norm[m](x) for m, x in states.items()}
        return states

    def layer(self) -> Layer:
        """One of its layers."""
        c = self.config
        return Layer(c.dim, c.heads, c.dropout, c.norm == "before")

    def pooled(self, modality: str, states: Tensor | None, count: int) -> Tensor:
        """What the query of a modality finds in its tokens, (B, dim)."""
        query = self.query[modality].expand(count, -1, -1)
        if states is None:
            return torch.zeros_like(query[:, 0])
        query = query.to(states.dtype)
        return self.pool[modality](query, states, states, need_weights=False)[0][:, 0]

    def templates(self, says: Tensor) -> Tensor | None:
        """Rest-frame templates where a redshift that is known as well as the head says puts them, (B, tokens,
        templates, slice), if spectra are drawn with such."""
        if not (self.product and self.config.decoder == "tokens"):
            return None
        return tokens_of(self.moved(says.detach().exp()), self.config.slice)

    def drawn(
        self, modality: str, states: dict, joint: Tensor, places: Tensor | None = None, templates: Tensor | None = None
    ) -> Tensor:
        """The numbers of a group's tokens, at places (n, k) or all, as the network thinks they are, (n, k, numbers)."""
        if self.config.decoder == "pooled":
            found = self.decoder[modality](joint)
            found = self.spectra.cut(found) if modality == SPECTRUM else found.unflatten(1, (self.counts[modality], -1))
            return found if places is None else at(found, places)
        seen = together(states)
        query = self.position[modality].expand(len(joint), -1, -1).to(joint.dtype)
        query = query if places is None else at(query, places)
        state = self.look[modality](query, seen)
        found = self.decoder[modality](state)
        if templates is None or modality != SPECTRUM:
            return found
        if places is not None:
            templates = at(templates.flatten(2), places).unflatten(2, templates.shape[2:])
        return found + (self.amounts(state)[..., None] * templates).sum(2)

    # what the workflow asks

    def embed(self, batch: Batch, name: str) -> Tensor:
        """The joint vector (B, 2 dim) of all that is there."""
        numbers = self.numbers_of(batch)
        shown = {m: numbers.have[m][:, None].expand(-1, n) for m, n in self.counts.items()}
        return self.encode(numbers, numbers.bands, shown).joint

    def needs(self, name: object) -> tuple[str, ...]:
        """Both modalities, or those that a query shows."""
        if not isinstance(name, Asked):
            return IMAGE, SPECTRUM
        return tuple(m for m, share in name.hidden.items() if share < 1)

    def question(self, name: str, asked: dict) -> Asked:
        """A query of the configuration."""
        return Asked(name, parse(Query, asked, f"queries.{name}"))

    def predict(self, batch: Batch, query: Asked) -> dict[str, Tensor]:
        """What a query asks, column -> (B, ...): `answers.answer`."""
        return answer(self, batch, query)

    def flat(self, modality: str, values: Tensor) -> Tensor:
        """Numbers of all tokens (B, T, numbers) in the order of an image, (B, 5 * size^2), or of a spectrum."""
        if modality == IMAGE:
            return patches.image_of(values, self.config).flatten(1)
        return values.flatten(1)[:, : self.spectra.numbers]

    def about(self, query: Asked) -> dict:
        """What was hidden, and on which redshifts `posterior` is."""
        said = {"hidden": query.hidden, "bands": query.query.bands, "level": query.query.level}
        said |= {"samples": query.query.samples} if query.query.samples else {}
        if self.config.redshift == "point":
            return said
        return said | {"log_scale": self.redshifts.log_scale if self.product else redshift_density.LOG_SCALE}

    # what analyses set reconstructions beside

    def truth(self, batch: Batch) -> dict[str, Tensor]:
        """What is there, as a reconstruction of all of it would be: `hsc_image` (B, 5 * size^2), `spectrum`
        (B, numbers)."""
        values = self.numbers_of(batch).values
        return {m: self.flat(m, values[m]) for m in values}

    @property
    def wavelength(self) -> np.ndarray:
        """Angstrom (numbers,) in vacuum of the numbers of `spectrum`."""
        return self.spectra.wavelength
