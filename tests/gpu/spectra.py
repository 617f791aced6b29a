"""Generated spectra: a break, a slope, lines in emission and absorption at a redshift, noise; nothing is read."""

import torch
from torch import Tensor

EMISSION = {
    3728.5: 1.0,
    4341.7: 0.3,
    4862.7: 0.6,
    4960.3: 0.4,
    5008.2: 1.2,
    6549.9: 0.3,
    6564.6: 1.6,
    6585.3: 0.8,
    6725.0: 0.5,
}
ABSORPTION = {3934.8: 0.4, 3969.6: 0.4, 4305.6: 0.2, 5176.6: 0.2, 5895.6: 0.2}
"""Vacuum wavelengths, Angstrom, and typical strengths in units of the continuum."""
HIGHEST = 0.6
WIDTH = 3.0  # Angstrom, deviation of a line in the rest frame


def generated(
    size: int, random: torch.Generator, start: float = 3600.0, step: float = 0.8, pixels: int = 7781
) -> tuple[dict[str, Tensor], Tensor]:
    """Flux and ivar, (B, pixels) each, on a linear grid, and redshifts (B,), on the generator's device."""
    device = random.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(size, *shape, generator=random, device=device)

    wavelength = start + step * torch.arange(pixels, device=device)
    z = uniform(0.02, HIGHEST)
    rest = wavelength / (1 + z[:, None])
    old = uniform(0, 1, 1)
    flux = (rest / 5000) ** uniform(-1.5, 1.5, 1) * (1 + 0.6 * old * torch.tanh((rest - 4000) / 40))
    gain = uniform(0.2, 1.8, len(EMISSION) + len(ABSORPTION))
    lines = [(place, strength * (1 - old[:, 0])) for place, strength in EMISSION.items()]
    lines += [(place, -strength * old[:, 0]) for place, strength in ABSORPTION.items()]
    for number, (place, strength) in enumerate(lines):
        height = (strength * gain[:, number])[:, None]
        flux = flux + height * torch.exp(-0.5 * ((rest - place) / WIDTH).square())
    flux = flux * torch.exp(uniform(-1, 1, 1))
    sigma = torch.exp(uniform(-2.5, 0.0, 1)) * (1 + (wavelength / 9000) ** 8).expand(size, -1)
    flux = flux + sigma * torch.randn(size, pixels, generator=random, device=device)
    return {"flux": flux, "ivar": sigma**-2}, z
