"""Training: hide tokens, draw up what is hidden, say the redshift (Himes et al. 2025, and their public code)."""

import dataclasses
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from skyloom.models.mmae import BANDS, IMAGE, SPECTRUM, patches
from skyloom.models.mmae.galaxies import Encoded, Numbers, together
from skyloom.models.mmae.layers import at, places_of
from skyloom.models.mmae.network import Mmae
from skyloom.nn import distributed, redshift_density
from skyloom.nn.batch import Batch
from skyloom.nn.draws import Draws
from skyloom.nn.images import turned
from skyloom.nn.spectra import shortened


class Objective(nn.Module):
    """.1 of the squared error of hidden image tokens, .01 of hidden spectrum tokens, and the loss of the redshift."""

    labels = redshift_density.LABELS
    begin_samples = 2000

    def __init__(self, model: Mmae):
        super().__init__()
        self.model, self.inputs = model, model.inputs

    def begin(self, labels: Mapping[str, Tensor], statistics: Mapping[str, dict], batches: Iterable[Batch]) -> None:
        """Standardise the photometry by that of whole images of training galaxies; tell a generator their mean."""
        model, lights, total, count = self.model, [], 0.0, 0.0
        for batch in batches if model.photometry is not None or model.config.generator else ():
            numbers = model.numbers_of(batch)
            total = total + (numbers.values[SPECTRUM] * numbers.known[SPECTRUM]).sum(0)
            count = count + numbers.known[SPECTRUM].sum(0)
            if model.photometry is not None:
                flux = patches.flux_of(numbers.values[IMAGE][numbers.bands.all(1)], model.config)
                shown = torch.ones(flux.shape[:2], dtype=torch.bool, device=flux.device)
                lights.append(model.photometry.measured(flux, shown)[0])
        if sum(map(len, lights)) > 1:
            model.photometry.standard.learn(torch.cat(lights))
        if model.config.generator and torch.is_tensor(total):
            with torch.no_grad():
                model.generator.pattern[0] = total / count.clamp(min=1)

    def hidden(self, draws: Draws, have: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Which tokens are hidden, modality -> (B, T) bool, and which bands are left, (B, 5) bool.

        A modality is hidden as a whole only in galaxies that have (`have`, modality -> (B,)) the other.
        """
        masks = self.model.config.masks
        found = {}
        for m, count in self.model.counts.items():
            low, high = getattr(masks, "image" if m == IMAGE else "spectrum")
            share = low + (high - low) * draws.shared(1)  # of the step: all show as many tokens
            order = draws.uniform(count).argsort(1).argsort(1)
            found[m] = order < (share * count).floor()
        coins = draws.uniform(2)
        blind = coins[:, 0] < masks.no_spectrum  # a coin for each galaxy: the public code has one for a batch
        image, spectrum = (have[m].to(blind.device) for m in (IMAGE, SPECTRUM))
        found[SPECTRUM] = found[SPECTRUM] | (blind & image)[:, None]
        found[IMAGE] = found[IMAGE] | (~blind & spectrum & (coins[:, 1] < masks.no_image))[:, None]
        return found, draws.uniform(len(BANDS)) >= masks.band

    def turned(self, batch: Batch, draws: Draws) -> Batch:
        """The galaxies with their images turned, as they are shown in training."""
        views = draws.integers(0, 8).to(batch.device)
        if not self.model.config.turned or IMAGE not in batch:
            return batch
        return batch.changed(IMAGE, flux=turned(batch[IMAGE]["flux"], views))

    def exposed(self, numbers: Numbers, seen: Tensor, draws: Draws) -> Numbers:
        """The galaxies with spectra as of a shorter exposure, where something of them is seen, (B,) bool.

        What is hidden as a whole stays as it is: nothing that is seen would say how long it was exposed, and it would
        be drawn as of exposures that no survey has.
        """
        spectra = self.model.spectra
        shares = self.model.config.exposure ** draws.uniform().to(seen.device)  # even in the logarithm
        noise = draws.normal(numbers.bins[0].shape[1]).to(seen.device)
        shares = torch.where(seen, shares, 1.0)[:, None]
        bins = tuple(shortened(*numbers.bins, shares, noise * seen[:, None])[name] for name in ("flux", "ivar"))
        values = numbers.values | {SPECTRUM: spectra(*bins)[0]}
        return dataclasses.replace(numbers, values=values, bins=bins)

    def forward(self, batch: Batch, draws: Draws, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        model, config = self.model, self.model.config
        if model.training:
            batch = self.turned(batch, draws)
        numbers = model.numbers_of(batch)
        hidden, kept = self.hidden(draws, numbers.have)
        z = redshift_density.learned(batch.labels)
        alone = self.alone(numbers, z) if config.alone_weight else None
        if model.training and model.spectra.step and config.shift and numbers.bins is not None:
            imageless = hidden[IMAGE].all(1).to(z.device) | ~numbers.have[IMAGE]
            numbers, z = self.shifted(numbers, z, imageless, draws)
        if model.training and config.exposure < 1 and numbers.bins is not None:
            numbers = self.exposed(numbers, ~hidden[SPECTRUM].all(1).to(z.device), draws)
        left = numbers.bands & kept.to(z.device)
        left = torch.where(left.any(1, keepdim=True), left, numbers.bands)  # one band at least
        shown = {m: numbers.have[m][:, None] & ~hidden[m].to(z.device) for m in hidden}
        encoded = model.encode(numbers, left, shown)
        says = model.says(encoded)
        losses = {m: self.redrawn(m, numbers, shown[m], encoded, model.templates(says)) for m in model.counts}
        losses["redshift"] = self.redshift(says, z)
        loss = config.image_weight * losses[IMAGE] + config.spectrum_weight * losses[SPECTRUM]
        loss = loss + config.redshift_weight * losses["redshift"]
        seen = [Seen(numbers, encoded, says, z)]
        if alone is not None:
            losses["alone"] = self.redshift(alone.says, torch.where(alone.numbers.have[IMAGE], alone.z, torch.nan))
            loss = loss + config.alone_weight * losses["alone"]
            seen.append(alone)
        if config.generator:
            losses["generator"] = self.flow(seen, draws)
            loss = loss + losses["generator"]
        # what no galaxy of the step used has a gradient of zero, not none: on several processes all have all
        return loss + 0.0 * sum(p.sum() for p in self.parameters() if p.requires_grad), losses

    def redrawn(
        self, modality: str, numbers: Numbers, shown: Tensor, encoded: Encoded, templates: Tensor | None = None
    ) -> Tensor:
        """Mean squared error of the numbers that are known in tokens that are hidden."""
        error, count = (encoded.joint.new_zeros((), dtype=torch.float32) for _ in range(2))
        for rows, states in encoded.groups:
            truth = numbers.values[modality][rows]
            counted = ~shown[rows] & numbers.have[modality][rows, None]
            counted = counted[..., None] & numbers.known[modality][rows]
            # of tokens that are dropped all galaxies of a group have as many: no other is drawn up
            places = None if self.model.config.hidden == "zero" else places_of(~shown[rows])
            if places is not None:
                truth, counted = at(truth, places), at(counted, places)
            if counted.any():
                moved = None if templates is None else templates[rows]
                drawn = self.model.drawn(modality, states, encoded.joint[rows], places, moved).float()
                error, count = error + ((drawn - truth).square() * counted).sum(), count + counted.sum()
        return error / distributed.mean(count).clamp(min=1e-6)

    def redshift(self, says: Tensor, z: Tensor) -> Tensor:
        """The loss of what the head says (B, n), of redshifts (B,) that are known."""
        known, config = z.isfinite(), self.model.config
        if config.redshift == "product":
            return self.model.redshifts.loss(says, z.nan_to_num(), known)
        if config.redshift == "density":
            return redshift_density.loss(says, z.nan_to_num(), known)
        pull = (says[:, 0].float() - z.nan_to_num()) / (1 + z.nan_to_num()) / config.gamma
        each = 1 - 1 / (1 + pull.square())
        return (each * known).sum() / redshift_density.counted(known)

    def alone(self, numbers: Numbers, z: Tensor) -> "Seen":
        """Whole images without spectra, of galaxies at redshifts (B,).

        Beside a spectrum that settles the redshift, the head learns nothing of the image; and of the images that are
        shown alone most are hidden in part.
        """
        model, there = self.model, numbers.have[IMAGE]
        shown = {m: there[:, None].expand(-1, n) & (m == IMAGE) for m, n in model.counts.items()}
        encoded = model.encode(dataclasses.replace(numbers, bins=None), numbers.bands, shown)
        return Seen(numbers, encoded, model.says(encoded), z)

    def shifted(self, numbers: Numbers, z: Tensor, alone: Tensor, draws: Draws) -> tuple[Numbers, Tensor]:
        """Spectra that stand alone, (B,) bool, at other redshifts, and these (B,): moved by whole bins, with nothing
        where nothing was observed. The images, which are not seen, are of the old ones: they teach nothing."""
        spectra = self.model.spectra
        most = int(self.model.config.shift / spectra.step)
        by = draws.integers(-most, most + 1).to(z.device)
        by = torch.where(alone & (torch.log1p(z) + by * spectra.step > 0), by, 0)
        place = torch.arange(spectra.numbers, device=z.device) - by[:, None]
        inside = (place >= 0) & (place < spectra.numbers)
        bins = tuple(x.gather(1, place.clamp(0, spectra.numbers - 1)) * inside for x in numbers.bins)
        values, there = spectra(*bins)
        known = {IMAGE: numbers.known[IMAGE] & (by == 0)[:, None, None], SPECTRUM: there}
        numbers = dataclasses.replace(numbers, values={**numbers.values, SPECTRUM: values}, known=known, bins=bins)
        return numbers, torch.expm1(torch.log1p(z) + by * spectra.step)

    def flow(self, seen: list["Seen"], draws: Draws) -> Tensor:
        """The generator's loss, whose gradient ends at what the rest has seen; it is told the redshift.

        Of galaxies that are seen in two ways, hidden in part and as whole images alone, each is drawn for one of them,
        half for either.
        """
        first = seen[0].numbers.values[SPECTRUM]
        time, noise = draws.uniform().to(first.device), draws.normal(*first.shape[1:]).to(first.device)
        which = torch.zeros(len(first), dtype=torch.long, device=first.device)
        if len(seen) > 1:
            which = (seen[1].numbers.have[IMAGE] & (draws.uniform().to(first.device) < 0.5)).long()
        total, count = first.new_zeros(()), first.new_zeros(())
        for way, one in enumerate(seen):
            counted = one.numbers.known[SPECTRUM] & (one.numbers.have[SPECTRUM] & (which == way))[:, None, None]
            total, count = total + self.drawn(one, counted, time, noise), count + counted.sum()
        return total / distributed.mean(count).clamp(min=1)

    def drawn(self, seen: "Seen", counted: Tensor, time: Tensor, noise: Tensor) -> Tensor:
        """The sum of the generator's loss of the numbers (B, T, size) bool that are counted."""
        model, spectra = self.model, seen.numbers.values[SPECTRUM]
        moved = None
        if model.product:  # one that is not known is any that the network thinks likely
            near, likely = model.redshifts.near(seen.z.nan_to_num()), seen.says.detach().exp()
            moved = model.generator.templates(torch.where(seen.z.isfinite()[:, None], near, likely))
        total = spectra.new_zeros(())
        for rows, states in seen.encoded.groups:
            own = counted[rows].flatten(1).any(1)
            if not own.any():
                continue
            rows, states = rows[own], {m: x if x is None else x[own].detach() for m, x in states.items()}
            told = None if moved is None else moved[rows]
            parts = spectra[rows], counted[rows], together(states), time[rows], noise[rows], told
            total = total + model.generator.loss(*parts)
        return total


@dataclasses.dataclass(frozen=True)
class Seen:
    """Galaxies, what the network makes of the part of them that is shown, what it says of their redshifts, and these
    (B,)."""

    numbers: Numbers
    encoded: Encoded
    says: Tensor
    z: Tensor
