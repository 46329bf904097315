"""The nodes of a loop's ticks, one by one: what copies of one have in common, and what new ones call."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from norse.compiler.errors import Unsupported
from norse.compiler.ir import Node, Operand, refs
from norse.compiler.ops import OPS

# Layers and operations whose result is never a view of what they read, so that it may be changed in place.
MAKES_NEW = frozenset(
    {"Linear", "LayerNorm", "RMSNorm", "GroupNorm", "linear", "add", "sub", "mul", "div"}
    | {f"{kind}{d}d" for d in (1, 2, 3) for kind in ("Conv", "ConvTranspose", "BatchNorm", "AvgPool", "MaxPool")}
)


def needed(nodes: Sequence[Node], outputs: Sequence[str]) -> list[Node]:
    """Those that lead to the outputs, and those that do more than that."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if has_effects(node) or wanted.intersection(node.outputs):
            wanted.update(node.uses)
            kept.append(node)
    return kept[::-1]


def has_effects(node: Node) -> bool:
    """Whether a call does more than it returns: modules that run as they are may, statistics and changes in place."""
    return bool(node.op == "eager" or node.attrs.get("_counts") or node.attrs.get("_in_place"))


def settings(node: Node) -> tuple[Any, ...]:
    """What two copies of a node have in common."""
    attrs = node.attrs
    return attrs.get("_target"), tuple(attrs.get("_kwargs", ())), attrs.get("_path"), id(attrs.get("_step"))


def with_keywords(node: Node, inputs: tuple[Operand, ...]) -> dict[str, Any]:
    """The attributes of a node that gets other operands: those by keyword stand behind the others."""
    keys = tuple(node.attrs.get("_kwargs", ()))
    keywords = {"_kwargs": dict(zip(keys, inputs[len(inputs) - len(keys) :], strict=True))} if keys else {}
    return {**node.attrs, **keywords}


def input_of_state(node: Node, producers: Mapping[str, Node]) -> Operand:
    """What a neuron's state starts from: its input."""
    for (argument, _), operand in zip(node.attrs["_step"].inputs, node.inputs, strict=True):
        if argument == 1:
            (name,) = refs(operand)
            return producers[name].inputs[0]
    raise Unsupported(f'layer "{node.attrs["_path"]}" has no state')


def zeros(like: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """What stands for a neuron's input where its shape alone matters."""
    return like.new_zeros(shape, dtype=dtype)


def same(x: torch.Tensor) -> torch.Tensor:
    """A value by another name."""
    return x


def delayed(initial: torch.Tensor, sequence: torch.Tensor) -> torch.Tensor:
    """What a sequence was one tick ago."""
    return torch.cat([initial.unsqueeze(0), sequence[:-1]])


def expand(x: torch.Tensor, length: int) -> torch.Tensor:
    """The same at every tick."""
    return x.unsqueeze(0).expand(length, *x.shape)


# Calls of torch that give the same for the same, besides those in the op table.
_FUNCTIONS = frozenset(
    {
        *("getitem", "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose"),
        "movedim",
        *("expand", "expand_as", "cat", "concat", "stack", "sum", "mean", "amax", "amin", "softmax", "log_softmax"),
        *("matmul", "mm", "bmm", "einsum", "conv1d", "conv2d", "conv3d", "avg_pool2d", "max_pool2d", "layer_norm"),
    }
)


def is_function(node: Node) -> bool:
    """Whether it gives the same for the same."""
    row, target = node.attrs.get("_row"), node.attrs.get("_target")
    if row is not None:
        return not row.random
    return node.op in OPS or (target if isinstance(target, str) else getattr(target, "__name__", "")) in _FUNCTIONS


def place_of_tick(indices: list[tuple[Any, ...]]) -> int:
    """Which part of an index is the tick."""
    if len({len(index) for index in indices}) != 1:
        raise Unsupported("a sequence is indexed in more than one way")
    places = [k for k, parts in enumerate(zip(*indices, strict=True)) if any(part != parts[0] for part in parts)]
    if len(places) != 1 or not all(isinstance(index[places[0]], int) for index in indices):
        raise Unsupported("a sequence is not indexed by the tick alone")
    if any(part is None or part is Ellipsis for part in indices[0][: places[0]]):
        raise Unsupported("a sequence is indexed with None or ... before the tick")
    return places[0]


def stacked(node: Node) -> tuple[Operand, ...] | None:
    """What `torch.stack` puts together."""
    if node.attrs.get("_target") is torch.stack and isinstance(node.inputs[0], tuple):
        return node.inputs[0]
    return None


def stacked_along(node: Node) -> int:
    """The dimension along which it stacks, which negative numbers count from behind."""
    dimension = node.inputs[1] if len(node.inputs) > 1 else 0
    assert isinstance(dimension, int)
    return dimension


def call_of(target: Any, node: Node | None = None) -> dict[str, Any]:
    """The attributes of a node that calls a function, on the line of another node if it stands for that."""
    line = None if node is None else node.attrs.get("_line")
    return {"target": f"torch.{target.__name__}", "_target": target, "_kwargs": {}, "_line": line}
