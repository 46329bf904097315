"""The call table: torch's functions and tensor methods that act on every sample alone, as the layers in their table do.

A user's call inside a lifted module, or in a loop over time, takes all ticks at once where its row says so, and is made
tick by tick where there's none.
"""

import operator
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from norse.compiler.ir import Node, refs


@dataclass(frozen=True)
class Call:
    sample_rank: int | None = None  # dimensions of one sample; None: a tick has any number, and the batch is the first
    per_sample: Callable[..., bool] = lambda rank, *args, **kwargs: True  # given the other arguments
    keeps_leading: bool = False  # acts on every leading position alone, whatever the input's rank
    keeps_spikes: bool = False  # 0/1 in, 0/1 out
    keeps_order: bool = False  # the same numbers in the same order, in another shape
    random: bool = False  # draws random numbers in training


def _flattens_features(rank: int, start_dim: int = 0, end_dim: int = -1) -> bool:
    return start_dim % max(rank, 1) > 0


def _along_features(rank: int, dim: Any = None, *_: Any, **options: Any) -> bool:
    """A dimension, or some of them, that are not the batch's; None is all, or torch's guess."""
    dims = dim if isinstance(dim, tuple | list) else (dim,)
    return bool(dims) and all(isinstance(d, int) and d % max(rank, 1) > 0 for d in dims)


def _between_features(rank: int, first: int, second: int) -> bool:
    return first % max(rank, 1) > 0 and second % max(rank, 1) > 0


def _orders_features(rank: int, *dims: Any) -> bool:
    """The batch stays in front."""
    order = dims[0] if dims and isinstance(dims[0], tuple | list) else dims
    return bool(order) and all(isinstance(d, int) for d in order) and order[0] == 0


def _dimension_at(place: int) -> Callable[..., bool]:
    """Along a dimension that is named, as this argument or by keyword, and is not the batch's."""

    def per_sample(rank: int, *arguments: Any, dim: Any = None, **options: Any) -> bool:
        return _along_features(rank, arguments[place] if len(arguments) > place else dim)

    return per_sample


def _without_draws(rank: int, p: float = 0.5, training: bool = True, inplace: bool = False) -> bool:
    return not training and not inplace


def _on_a_copy(rank: int, *args: Any, **options: Any) -> bool:
    """Not in place; the flag may come at any place."""
    return not options.get("inplace") and not any(value is True for value in args)


def _one_result(rank: int, *args: Any, return_indices: bool = False, **options: Any) -> bool:
    return return_indices is False and not any(value is True for value in args)


def _with_a_constant(rank: int, pad: Any, mode: str = "constant", value: Any = None) -> bool:
    return mode == "constant"


def _spatial(*targets: Any, **facts: Any) -> dict[Any, Call]:
    """Rows of a function for one, two and three dimensions of space, behind the channels."""
    return {target: Call(rank, **facts) for rank, target in enumerate(targets, start=2)}


def _each(*targets: Any, **facts: Any) -> dict[Any, Call]:
    return dict.fromkeys(targets, Call(None, **facts))


CALLS: Mapping[Any, Call] = {
    # synapses with the model's own weights
    **_spatial(torch.conv1d, torch.conv2d, torch.conv3d),
    **_spatial(torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d),
    # pooling
    **_spatial(functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d),
    **_spatial(
        functional.max_pool1d, functional.max_pool2d, functional.max_pool3d,
        per_sample=_one_result, keeps_spikes=True,
    ),
    **_spatial(torch.max_pool1d, torch.max_pool2d, torch.max_pool3d, keeps_spikes=True),
    **_spatial(functional.lp_pool1d, functional.lp_pool2d, functional.lp_pool3d),
    **_spatial(torch.adaptive_avg_pool1d, functional.adaptive_avg_pool2d, functional.adaptive_avg_pool3d),
    **_spatial(
        functional.adaptive_max_pool1d, functional.adaptive_max_pool2d, functional.adaptive_max_pool3d,
        per_sample=_one_result, keeps_spikes=True,
    ),
    # activations
    **_each(
        functional.gelu, functional.logsigmoid, functional.softplus, functional.softsign, functional.tanhshrink,
        keeps_leading=True,
    ),
    **_each(
        functional.celu, functional.elu, functional.hardsigmoid, functional.hardswish, functional.hardtanh,
        functional.leaky_relu, functional.mish, functional.relu6, functional.selu, functional.silu,
        per_sample=_on_a_copy, keeps_leading=True,
    ),
    functional.dropout: Call(None, _without_draws, keeps_leading=True, random=True),
    **_each(
        functional.softmax, torch.softmax, "softmax", functional.log_softmax, torch.log_softmax, "log_softmax",
        per_sample=_along_features,
    ),
    # over features, and shapes
    **_each(functional.layer_norm, functional.rms_norm, keeps_leading=True),
    **_each(torch.mean, "mean", torch.sum, "sum", per_sample=_along_features),
    **_each(torch.amax, "amax", torch.amin, "amin", per_sample=_along_features, keeps_spikes=True),
    **_each(torch.flatten, "flatten", per_sample=_flattens_features, keeps_spikes=True, keeps_order=True),
    **_each(
        torch.unflatten, "unflatten", torch.squeeze, "squeeze",
        per_sample=_along_features, keeps_spikes=True, keeps_order=True,
    ),
    **_each(
        torch.transpose, "transpose", torch.swapaxes, "swapaxes", per_sample=_between_features, keeps_spikes=True
    ),
    **_each(torch.permute, "permute", per_sample=_orders_features, keeps_spikes=True),
    **_each(torch.cat, torch.concat, torch.concatenate, per_sample=_along_features, keeps_spikes=True),
    **_each(torch.chunk, "chunk", torch.split, "split", torch.topk, "topk", per_sample=_dimension_at(1)),
    **_each(torch.max, "max", torch.min, "min", torch.sort, "sort", per_sample=_dimension_at(0)),
    functional.pixel_shuffle: Call(None, keeps_leading=True, keeps_spikes=True),
    functional.pad: Call(None, _with_a_constant, keeps_leading=True),
    functional.interpolate: Call(None),
}  # fmt: skip

VIEWS = frozenset({
    operator.getitem, torch.reshape, "reshape", "view", torch.movedim, "movedim", "expand",
    torch.unsqueeze, "unsqueeze", torch.select, "select", torch.narrow, "narrow", torch.stack,
})  # fmt: skip
"""What gives the same numbers in another shape, or some of them."""


def row_of(node: Node, varying: Container[str], rank: int) -> Call | None:
    """The row of a call that takes all ticks at once. `varying` has time; a tick of it has `rank` dimensions."""
    row, keywords = CALLS.get(node.attrs.get("_target")), node.attrs.get("_kwargs", {})
    if row is None or len(node.inputs) == len(keywords):
        return None
    first, *others = node.inputs
    if any(name in varying for name in refs(tuple(others))) or not all(name in varying for name in refs(first)):
        return None
    positional = others[: len(others) - len(keywords)]
    return row if row.per_sample(rank, *positional, **keywords) else None
