"""Small systems of linear equations, one a galaxy."""

import torch
from torch import Tensor


def solve(matrix: Tensor, right: Tensor) -> Tensor:
    """x (B, K, R) of matrix (B, K, K) x = right (B, K, R); the matrices symmetric and positive definite.

    An exported network, whose form has no solver, eliminates one unknown after the other.
    """
    if not torch.compiler.is_exporting():
        return torch.linalg.solve(matrix, right)
    both = torch.cat([matrix, right], 2).double()
    for place in range(matrix.shape[1]):
        row = both[:, place : place + 1] / both[:, place : place + 1, place : place + 1]
        rest = both - both[:, :, place : place + 1] * row
        both = torch.cat([rest[:, :place], row, rest[:, place + 1 :]], 1)
    return both[:, :, matrix.shape[1] :].to(right.dtype)
