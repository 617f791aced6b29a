"""Made-up spectra of two classes on a small grid: narrow lines on a break, or broad lines on a slope."""

import numpy as np
import torch

from skyloom.models.redshift import Config
from skyloom.models.redshift.network import RedshiftNet
from skyloom.nn.batch import Batch
from skyloom.settings.names import CLASSES
from skyloom.settings.survey import Grid

GRID = Grid(start=4000.0, step=4.0, pixels=900)
CONFIG = {
    "grid": GRID,
    "velocity": 400.0,
    "galaxy_redshifts": (0.0, 0.6),
    "quasar_redshifts": (0.3, 1.5),
    "continuum": 16_400.0,
    "broad": 64_400.0,
    "channels": 12,
    "features": 8,
    "basis": 4,
    "dim": 6,
}
WAVELENGTH = GRID.start + GRID.step * np.arange(GRID.pixels)


def network(seed: int = 0, **more) -> RedshiftNet:
    torch.manual_seed(seed)
    return RedshiftNet(Config(**{**CONFIG, **more}), ("spectrum",))


def rest_frame(wavelength: np.ndarray, quasar: np.ndarray, strength: np.ndarray) -> np.ndarray:
    """Flux (n, W) at rest wavelengths (n, W); `strength` (n,) of the lines."""
    narrow = sum(
        np.exp(-0.5 * ((wavelength - place) / 5) ** 2) * height
        for place, height in ((3728, 0.8), (4862, 0.5), (5008, 1.0), (6564, 1.2))
    )
    broad = sum(
        np.exp(-0.5 * ((wavelength - place) / 35) ** 2) * height
        for place, height in ((1909, 0.8), (2800, 1.0), (4862, 0.9))
    )
    galaxy = 1 + 0.5 * np.tanh((wavelength - 4000) / 60) + strength[:, None] * narrow
    other = (wavelength / 3000) ** -1.2 + strength[:, None] * broad
    return np.where(quasar[:, None], other, galaxy)


def spectra(count: int, seed: int = 0, noise: float = 0.15, z=None, quasar=None) -> dict[str, np.ndarray]:
    """flux and ivar (n, W), z, quasar (n,) bool."""
    rng = np.random.default_rng(seed)
    quasar = rng.random(count) < 0.5 if quasar is None else np.broadcast_to(quasar, count)
    drawn = np.where(quasar, rng.uniform(0.35, 1.45, count), rng.uniform(0.02, 0.58, count))
    z = drawn if z is None else np.broadcast_to(z, count)
    strength = rng.uniform(0.6, 1.6, count)
    flux = rest_frame(WAVELENGTH / (1 + z[:, None]), quasar, strength)
    sigma = noise * rng.uniform(0.7, 1.3, flux.shape)
    flux = flux + sigma * rng.normal(size=flux.shape)
    return {"flux": flux.astype("f4"), "ivar": (sigma**-2).astype("f4"), "z": z.astype("f4"), "quasar": quasar}


def batch(made: dict[str, np.ndarray], rows=slice(None)) -> Batch:
    data = {name: torch.from_numpy(made[name][rows]) for name in ("flux", "ivar")}
    kind = np.where(made["quasar"], CLASSES.index("QSO"), CLASSES.index("GALAXY")).astype("f4")
    labels = {"z_true": torch.from_numpy(made["z"][rows]), "spectype_true": torch.from_numpy(kind[rows])}
    return Batch({"spectrum": data}, labels=labels)
