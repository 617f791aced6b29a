"""What MMAE says of galaxies of which a query shows a part: redshift, what is hidden, spectra they may have."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from skyloom.models.mmae import BANDS, IMAGE, SPECTRUM
from skyloom.models.mmae.galaxies import together
from skyloom.models.mmae.generator import chances, starts
from skyloom.models.mmae.question import Asked, ids
from skyloom.nn import redshift_density
from skyloom.nn.batch import Batch

if TYPE_CHECKING:
    from skyloom.models.mmae.network import Mmae


def answer(model: "Mmae", batch: Batch, query: Asked) -> dict[str, Tensor]:
    """`z`, with a density `z_lower`, `z_upper` and `posterior` too; `shown` (B,) bool, false where nothing of the
    galaxy was: what is said of it then holds for any; `hsc_image` (B, 5 * size^2) and `spectrum` (B, numbers), in
    the units in which the network sees them (`truth`), where they are asked for."""
    numbers = model.numbers_of(batch)
    have, device = numbers.have, batch.device
    bands = numbers.bands & torch.tensor([band in query.query.bands for band in BANDS], device=device)
    have[IMAGE] = have[IMAGE] & bands.any(1)
    shown = {m: have[m][:, None] & ~query.of(m, n, batch).to(device) for m, n in model.counts.items()}
    encoded = model.encode(numbers, bands, shown)
    joint, groups, says = encoded.joint, encoded.groups, model.says(encoded)
    if model.config.redshift == "point":
        found = {"z": says[:, 0].float()}
    elif model.product:
        found = model.redshifts.said(says, query.query.level)
    else:
        found = redshift_density.said(says, query.query.level)
    found["shown"] = torch.stack([there.any(1) for there in shown.values()]).any(0)
    templates = model.templates(says) if SPECTRUM in query.query.reconstruct else None
    for m in query.query.reconstruct:
        drawn = joint.new_zeros(len(joint), model.counts[m], model.numbers[m], dtype=torch.float32)
        for rows, states in groups:
            moved = None if templates is None else templates[rows]
            drawn[rows] = model.drawn(m, states, joint[rows], templates=moved).float()
        found[m] = model.flat(m, drawn)
    if query.query.samples:
        found[f"{SPECTRUM}_samples"] = samples(model, groups, says, query.query.samples, batch).flatten(1)
    return found


def samples(model: "Mmae", groups: list, says: Tensor, count: int, batch: Batch) -> Tensor:
    """Spectra drawn for what is shown, (B, count, numbers), from noise and at redshifts that are a galaxy's own."""
    found = torch.zeros(len(batch), count, model.spectra.numbers, device=batch.device)
    for sample in range(count):
        noise = starts(ids(batch), sample, model.generator.shape).to(batch.device)
        moved = None
        if model.product:
            level = chances(ids(batch), sample).to(batch.device)
            moved = model.generator.templates(model.redshifts.near(model.redshifts.quantiles(says.exp(), level)[:, 0]))
        for rows, states in groups:
            drawn = model.generator.draw(noise[rows], together(states), None if moved is None else moved[rows])
            found[rows, sample] = model.flat(SPECTRUM, drawn)
    return found
