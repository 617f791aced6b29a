"""Attention and linear layers in bfloat16 on a CPU, where torch's own are slow backwards (numbers: tests/bench/LOG.md).

The mathematics and the roundings are those of plain products in bfloat16: every product sums in float32 and is rounded
once. What differs is how the operands lie in memory: where a CPU multiplies bfloat16 itself, turning a matrix round
costs as much as a product.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

CHUNK = 2**22  # scores computed at a time, 8 MiB: they stay near the core between two products
KEPT = 2**20  # scores of one head kept for the backward pass (1024 x 1024 tokens); more are computed again
BLOCK = 128  # rows turned round at a time


class Attention(torch.autograd.Function):
    """softmax(q k^T / sqrt(d)) v of contiguous (N, Q, d), (N, T, d), (N, T, d) -> (N, Q, d)."""

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q = q * q.shape[-1] ** -0.5
        shape = len(q), q.shape[1], k.shape[1]
        kept = q.new_empty(shape) if shape[1] * shape[2] <= KEPT else None
        out = torch.empty_like(q)
        for part in parts(*shape):
            p = probabilities(q[part], k[part], None if kept is None else kept[part])
            torch.bmm(p, v[part], out=out[part])
        ctx.save_for_backward(q, k, v, kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, kept = ctx.saved_tensors
        grad, (dq, dk, dv) = grad.contiguous(), (torch.empty_like(x) for x in (q, k, v))
        for part in parts(len(q), q.shape[1], k.shape[1]):
            p = probabilities(q[part], k[part]) if kept is None else kept[part]
            torch.bmm(p.transpose(1, 2), grad[part], out=dv[part])
            dp = torch.bmm(grad[part], v[part].transpose(1, 2))
            ds = torch._softmax_backward_data(dp, p, -1, p.dtype)
            torch.mul(torch.bmm(ds, k[part]), q.shape[-1] ** -0.5, out=dq[part])
            torch.bmm(ds.transpose(1, 2), q[part], out=dk[part])
        return dq, dk, dv


def probabilities(q: Tensor, k: Tensor, out: Tensor | None = None) -> Tensor:
    """softmax(q k^T), (n, Q, d) and (n, T, d) -> (n, Q, T)."""
    scores = torch.bmm(q, k.transpose(1, 2))
    return torch.softmax(scores, -1, out=scores if out is None else out)


def parts(count: int, queries: int, tokens: int) -> list[slice]:
    """The heads of all samples, `count` in all, in parts of about CHUNK scores."""
    size = max(1, CHUNK // (queries * tokens))
    return [slice(start, start + size) for start in range(0, count, size)]


class Linear(torch.autograd.Function):
    """x weight^T + bias in bfloat16, (..., in) -> (..., out).

    The gradient of the weight sums over rows of two factors; torch leaves it to the product to turn one of them round,
    which takes as long as the product. Here the narrower one is turned round first. When that is x, a row of ones goes
    with it: the product then holds the gradient of the bias too.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x, weight, bias = (part.bfloat16() for part in (x, weight, bias))
        ctx.save_for_backward(x, weight)
        return functional.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x = grad @ weight if ctx.needs_input_grad[0] else None
        if not any(ctx.needs_input_grad[1:]):
            return of_x, None, None
        rows, x = grad.flatten(0, -2), x.flatten(0, -2)
        if rows.shape[1] <= x.shape[1]:
            return of_x, turned(rows) @ x, rows.sum(0)
        both = turned(x, ones=1) @ rows
        return of_x, both[:-1].t().contiguous(), both[-1]


def turned(x: Tensor, ones: int = 0) -> Tensor:
    """The transpose, (rows, width) -> (width + ones, rows), the last rows all 1; block by block takes half the time."""
    out = x.new_empty(x.shape[1] + ones, x.shape[0])
    for start in range(0, len(x), BLOCK):
        out[: x.shape[1], start : start + BLOCK] = x[start : start + BLOCK].t()
    out[x.shape[1] :] = 1
    return out
