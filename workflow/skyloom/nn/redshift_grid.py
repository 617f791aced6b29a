"""A density of the redshift as probabilities of bins of ln(1+z): of what compares redshifts one by one."""

import dataclasses
import math

import torch
from torch import Tensor

from skyloom.nn.redshift_density import counted, mixture


@dataclasses.dataclass(frozen=True)
class Grid:
    """Bins of ln(1+z): the first around 0, `step` apart, `count` of them. Probabilities are (B, count) throughout."""

    step: float
    count: int

    @classmethod
    def up_to(cls, redshift: float, step: float) -> "Grid":
        """The bins up to a redshift."""
        return cls(step, math.ceil(math.log1p(redshift) / step) + 1)

    @property
    def log_scale(self) -> list[float]:
        """What a table says of its column `posterior`: the middle of the first bin, the step, how many."""
        return [0.0, self.step, self.count]

    def log_mixture(self, out: Tensor) -> Tensor:
        """Log density of the mixture that a head gives (B, 3 K), at the middle of each bin."""
        middles = self.step * torch.arange(self.count, device=out.device)
        return mixture(out).log_prob(middles[:, None]).T

    def near(self, z: Tensor) -> Tensor:
        """Weights of the bins about redshifts (B,): a Gaussian of one bin."""
        place = torch.log1p(z) / self.step
        return torch.softmax(-0.5 * (torch.arange(self.count, device=z.device) - place[:, None]).square(), 1)

    def loss(self, log_p: Tensor, z: Tensor, known: Tensor) -> Tensor:
        """Mean cross-entropy with what is near the redshifts that are known, (B,) bool, of all processes' galaxies."""
        each = (self.near(torch.where(known, z, 0)) * log_p.clamp(min=-50)).sum(1)
        return -(each * known).sum() / counted(known)

    def quantiles(self, p: Tensor, levels: Tensor) -> Tensor:
        """Redshifts (B, L), not negative, below which the probability is `levels` (B, L); even within a bin."""
        under = torch.nn.functional.pad(p.double().cumsum(1), (1, 0))  # at the edges
        levels = levels.double() * under[:, -1:]
        above = torch.searchsorted(under, levels.contiguous()).clamp(1, self.count)
        low, high = under.gather(1, above - 1), under.gather(1, above)
        edge = above - 1.5 + (levels - low) / (high - low).clamp(min=1e-30)
        return torch.expm1((edge * self.step).clamp(min=0)).float()

    def said(self, log_p: Tensor, level: float) -> dict[str, Tensor]:
        """Columns of a table of predictions: as `redshift_density.said`."""
        p, tail = log_p.exp(), (1 - level) / 2
        levels = torch.tensor([tail, 0.5, 1 - tail], device=p.device).expand(len(p), -1)
        lower, middle, upper = self.quantiles(p, levels).unbind(1)
        return {"z": middle, "z_lower": lower, "z_upper": upper, "posterior": p}
