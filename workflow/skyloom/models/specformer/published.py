"""What the public code of AstroCLIP (journal version) does where ours differs: the setting `published` of a SpecFormer.

- mean and deviation are those of all pixels; inverse variances, and so bad pixels, are not known
- the last section of a spectrum is thrown away even when it is full: a test of its length looks at the wrong axis.
  7781 pixels give 778 tokens and 7514 give 751 in both; 7780 give 777 here and 778 in ours
- one stretch is masked in each of equal parts of the tokens, and none reaches the end of its part: the last tokens of
  a part are masked less often the nearer to its end, the last one and what the division leaves over never
- the loss is one mean over all that was hidden in a batch, without values that are zero, such as padding
- weights are cut at three deviations, and slices enter the network with weights as small as positions
"""

import torch
from torch import Tensor

from skyloom.models.specformer import Config
from skyloom.nn.draws import Draws
from skyloom.nn.spectra import specformer_tokens

CUT = 3.0  # deviations at which first weights are cut


def tokens(flux: Tensor, config: Config) -> Tensor:
    """Tokens (B, config.token_count, 2 + size) of flux (B, W)."""
    return specformer_tokens(flux, None, config.size, config.stride, config.std_floor)[:, : config.token_count]


def segments(draws: Draws, count: int, stretches: int, length: int) -> Tensor:
    """Masks of one contiguous stretch of `length` tokens in each of `stretches` parts, (B, count) bool.

    Part i begins at token ``i * count // stretches``, and its stretch 0 to ``count // stretches - length - 1`` later.
    """
    begin = torch.arange(stretches, device=draws.device) * count // stretches
    start = (begin + draws.integers(0, count // stretches - length, stretches))[..., None]  # (B, stretches, 1)
    place = torch.arange(count, device=start.device)
    return ((place >= start) & (place < start + length)).any(dim=1)


def error(predicted: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of the values under `mask` (B, T) that are not zero, a number; of (B, T, n) values."""
    counted = mask[..., None] & (truth != 0)
    return ((predicted - truth).square() * counted).sum() / counted.sum().clamp(min=1)
