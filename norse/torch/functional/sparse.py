"""Sparse COO inputs and spikes, with the gradients of the dense computation: also where an element is not stored.

(torch's own `torch.sparse.mm` and `Tensor.to_dense` give gradients to stored elements alone: a neuron that stayed
silent would have none.)
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear


def to_dense(x: Tensor) -> Tensor:
    """A sparse tensor as a dense one; another as it is."""
    return x.to_dense(masked_grad=False) if x.is_sparse else x


class _SparseLinear(torch.autograd.Function):
    """x Wᵀ for a sparse x [B, input]."""

    @staticmethod
    def forward(x: Tensor, weights: Tensor) -> Tensor:
        return torch.mm(x, weights.t())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weights = ctx.saved_tensors
        to_x = (gradient @ weights).to_sparse() if ctx.needs_input_grad[0] else None
        return to_x, torch.mm(x.t(), gradient).t() if ctx.needs_input_grad[1] else None


def linear_of(x: Tensor, weights: Tensor) -> Tensor:
    """x Wᵀ for x [..., input], dense or sparse, and W [output, input]: dense, [..., output].

    The product with a sparse matrix sums in another order than that with a dense one: they are equal up to rounding.

    Args:
        x: dense, or sparse COO.
        weights: W, dense.
    """
    if x.is_sparse and x.dim() == 2:
        return _SparseLinear.apply(x, weights)  # type: ignore[no-any-return, no-untyped-call]
    return linear(to_dense(x), weights)


class _Unbind(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, ...]:
        return _split(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
        ctx.set_materialize_grads(False)
        ctx.shape = inputs[0].shape

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Tensor:
        like = next(g for g in gradients if g is not None)
        nothing = torch.zeros(ctx.shape[1:], dtype=like.dtype, device=like.device, layout=torch.sparse_coo)
        return _join([nothing if g is None else g if g.is_sparse else g.to_sparse() for g in gradients])


class _Stack(torch.autograd.Function):
    @staticmethod
    def forward(*tensors: Tensor) -> Tensor:
        return _join(tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return _split(gradient) if gradient.is_sparse else tuple(g.to_sparse() for g in gradient.unbind())


def unbind(x: Tensor) -> tuple[Tensor, ...]:
    """`x.unbind(0)`, for a sparse x in one pass over its elements.

    Args:
        x: dense or sparse COO, coalesced or not, [T, ...] with T > 0.
    """
    return _Unbind.apply(x) if x.is_sparse else x.unbind(0)  # type: ignore[no-untyped-call]


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """`torch.stack`, for sparse tensors coalesced.

    Args:
        tensors: at least one, all dense or all sparse COO.
    """
    if tensors[0].is_sparse:
        return _Stack.apply(*tensors)  # type: ignore[no-any-return, no-untyped-call]
    return torch.stack(tuple(tensors))


def _split(x: Tensor) -> tuple[Tensor, ...]:
    x = x.coalesce()
    if x.dense_dim():  # a stored element is itself a tensor
        x = x.to_dense().to_sparse()
    counts = torch.bincount(x.indices()[0], minlength=x.shape[0]).tolist()
    parts = zip(x.indices()[1:].split(counts, dim=1), x.values().split(counts), strict=True)
    return tuple(
        torch.sparse_coo_tensor(indices, values, x.shape[1:], is_coalesced=True, check_invariants=False)
        for indices, values in parts
    )


def _join(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([x.coalesce() for x in tensors]).coalesce()
