"""Nodes between a loop and the layer that reads its spikes, which take them as the backend has them: what gives the
same numbers in another shape, pooling, and concatenation.
"""

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from norse.compiler.backend import Fuses, SpikeTrain
from norse.compiler.calls import CALLS
from norse.compiler.ir import Node, Ref
from norse.compiler.steps.torch_nodes import TorchStep

Values = MutableMapping[str, Any]

_POOLS: Mapping[Any, type[nn.Module]] = {  # functions, as layers
    functional.avg_pool1d: nn.AvgPool1d,
    functional.avg_pool2d: nn.AvgPool2d,
    **dict.fromkeys((functional.max_pool1d, torch.max_pool1d), nn.MaxPool1d),
    **dict.fromkeys((functional.max_pool2d, torch.max_pool2d), nn.MaxPool2d),
}
_JOINS = frozenset({torch.cat, torch.concat, torch.concatenate})


def train(name: str) -> str:
    """Where a value's spikes are in the backend's form, beside the value itself."""
    return f"spikes of {name}"


def may_carry(node: Node, fuses: Fuses, modules: Mapping[str, nn.Module]) -> bool:
    """Whether spikes could go through a node without being in memory."""
    if len(node.outputs) != 1:
        return False
    if keeps_order(node) or _joins(node):
        return True
    pool = _pool(node, modules)
    return pool is not None and fuses.pools(pool)


def carry(node: Node, values: Values, fuses: Fuses, step: TorchStep) -> bool:
    """Whether the node has run on spikes in the backend's form; all that it reads must be there in it."""
    trains: list[SpikeTrain] = [values[train(name)] for name in node.uses if values.get(train(name)) is not None]
    if not trains or len(trains) < len(node.uses):
        return False
    made: tuple[Any, SpikeTrain] | None
    if keeps_order(node):
        step.run_node(node, values)  # of a stand-in, a view of it
        made = values[node.output], replace(trains[0], reach=None)
    elif _joins(node):
        tensors = [values[name] for name in node.uses]
        made = fuses.join(tensors, trains, _dimension(node, tensors[0].ndim))
    else:
        pool = _pool(node, step.modules)
        assert pool is not None
        made = fuses.pool(pool, values[node.uses[0]], trains[0])
    if made is not None:
        values[node.output], values[train(node.output)] = made
    return made is not None


def keeps_order(node: Node) -> bool:
    """Whether a node gives the same numbers in the same order."""
    row = node.attrs.get("_row") or CALLS.get(node.attrs.get("_target"))
    return row is not None and row.keeps_order


def _joins(node: Node) -> bool:
    return node.attrs.get("_target") in _JOINS and isinstance(node.inputs[0], tuple | list)


def _dimension(node: Node, rank: int) -> int:
    """Along which a concatenation of sequences goes, counted from the front. Within a Lift it's a tick's."""
    positional, keywords = _constants(node)
    dim = int(keywords.get("dim", keywords.get("axis", positional[0] if positional else 0)))
    if node.attrs.get("_over_time"):
        return dim % (rank - 1) + 1
    return dim % rank


def _pool(node: Node, modules: Mapping[str, nn.Module]) -> nn.Module | None:
    if "_row" in node.attrs:
        layer = modules[node.attrs["_path"]]
        return layer if type(layer) in _POOLS.values() else None
    make: Callable[..., nn.Module] | None = _POOLS.get(node.attrs.get("_target"))
    if make is None or len(node.uses) != 1 or not isinstance(node.inputs[0], Ref):
        return None
    positional, keywords = _constants(node)
    if "Max" in make.__name__:  # the function has the last two arguments in the other order
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    else:
        names = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
    try:
        return make(**dict(zip(names, positional, strict=False)), **keywords)
    except TypeError:  # which torch will say as well
        return None


def _constants(node: Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a call is given besides its first argument."""
    names = tuple(node.attrs.get("_kwargs", ()))
    count = len(node.inputs) - len(names)
    return tuple(node.inputs[1:count]), dict(zip(names, node.inputs[count:], strict=True))
