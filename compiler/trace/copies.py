"""The nodes of a loop's ticks, one by one: what copies of one have in common, and what new ones call."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from norse.compiler.draws import draws
from norse.compiler.errors import Unsupported
from norse.compiler.ir import Node, Operand, Ref, Type, refs
from norse.compiler.ops import OPS
from norse.compiler.trace.unchanged import Made

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


def symbol(node: Node, types: Mapping[str, Type]) -> Any:
    """Equal for nodes that may be one node of a tick: all but which values they read, and at which number."""
    if node.op in _NOT_IN_TICKS or node.attrs.get("_over_time"):
        return node.outputs
    attrs = node.attrs
    made = tuple((types[name].dtype, types[name].axes) if name in types else None for name in node.outputs)
    called = (repr(attrs["_leaves"]), attrs["_places"], str(attrs["_structure"])) if node.op == "eager" else ()
    indexed = attrs.get("_target") is operator.getitem
    return node.op, node.module, settings(node), made, called, _form(node.inputs, indexed)


# What has time already: a layer over time, a lifted module.
_NOT_IN_TICKS = ("last", "enter", "leave")


def _form(operand: Operand, indexed: bool) -> Any:
    if isinstance(operand, tuple):
        return tuple(_form(part, indexed) for part in operand)
    if isinstance(operand, Ref) or (indexed and type(operand) is int):
        return "%" if isinstance(operand, Ref) else "#"
    return type(operand), repr(operand)


def may_draw(node: Node) -> bool:
    """Whether a call may draw random numbers; of what is not known it is taken for granted."""
    if node.op == "eager" or draws(node):
        return True
    if "_row" in node.attrs:
        row = node.attrs["_row"]
        return bool(row.always_random or (row.random and node.attrs["_training"]))
    if "_step" in node.attrs:
        return any(map(draws, node.attrs["_step"].graph.nodes))
    if node.op != "call" or is_function(node):
        return False
    target = node.attrs["_target"]
    if (getattr(target, "__module__", None) or "").startswith("norse.compiler."):  # of rolled loops
        return False
    packet = getattr(torch.ops.aten, target if isinstance(target, str) else getattr(target, "__name__", ""), None)
    tags = (getattr(packet, name).tags for name in packet.overloads()) if packet is not None else ([_DRAWS],)
    return any(_DRAWS in each for each in tags)


_DRAWS = torch.Tag.nondeterministic_seeded


def state_places(node: Node) -> frozenset[int]:
    """Which operands of a neuron are its state."""
    inputs = node.attrs["_step"].inputs if "_step" in node.attrs else ()
    return frozenset(place for place, (argument, _) in enumerate(inputs) if argument == 1)


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


def delayed(sequence: torch.Tensor, *initial: torch.Tensor) -> torch.Tensor:
    """What a sequence was some ticks ago, and before that these values."""
    return torch.cat([torch.stack(initial), sequence[: len(sequence) - len(initial)]])


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
    if isinstance(target, Made):
        return True
    if draws(node):
        return False
    return node.op in OPS or (target if isinstance(target, str) else getattr(target, "__name__", "")) in _FUNCTIONS


def joined(node: Node) -> tuple[tuple[Operand, ...], int] | None:
    """What `torch.stack` or `torch.cat` puts together, and along which dimension."""
    target = node.attrs.get("_target")
    if target not in (torch.stack, torch.cat, torch.concat, torch.concatenate) or not isinstance(node.inputs[0], tuple):
        return None
    keywords = node.attrs["_kwargs"]
    dimension = node.inputs[1] if len(node.inputs) == 2 and set(keywords) <= {"dim"} else 0
    return (node.inputs[0], dimension) if isinstance(dimension, int) and len(node.inputs) < 3 else None


def side_by_side(x: torch.Tensor, dimension: int) -> torch.Tensor:
    """The ticks of a sequence one after the other along a dimension of theirs."""
    dimension %= x.ndim - 1
    return x.movedim(0, dimension).flatten(dimension, dimension + 1)


def call_of(target: Any, node: Node | None = None) -> dict[str, Any]:
    """The attributes of a node that calls a function, on the line of another node if it stands for that."""
    line = None if node is None else node.attrs.get("_line")
    return {"target": f"torch.{target.__name__}", "_target": target, "_kwargs": {}, "_line": line}
