"""Signs that embeddings collapse while they are learned without labels: to one point, or to few directions."""

import torch
from torch import Tensor
from torch.nn import functional

from skyloom.nn import distributed


@torch.no_grad()
def spread(features: Tensor) -> dict[str, Tensor]:
    """How far embeddings (B, d) of different galaxies lie apart, over the batches of all processes.

    Returns
    -------
    embedding_deviation : standard deviation of the embeddings' directions, in units of what directions at random have:
        1, or 0 when all galaxies have the same (Chen and He 2021, SimSiam)
    effective_rank : participation ratio of the eigenvalues of their covariance, (sum)^2 / sum of squares: how many
        directions they use, 1 to min(d, B - 1). No eigenvalue is computed, so that it costs two products
    """
    features = distributed.gather(features.detach().float())
    with torch.autocast(features.device.type, enabled=False):
        unit = functional.normalize(features, dim=-1)
        deviation = (unit - unit.mean(0)).square().sum(-1).mean().sqrt()
        centred = features - features.mean(0)
        few = centred.shape[0] < centred.shape[1]
        covariance = centred @ centred.T if few else centred.T @ centred  # the same eigenvalues
        rank = covariance.trace().square() / covariance.square().sum().clamp(min=torch.finfo(covariance.dtype).tiny)
    return {"embedding_deviation": deviation, "effective_rank": rank}
