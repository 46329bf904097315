"""Normalise: what the user called (`torch.mul`, `*`, `.mul`) becomes an op of the table; all else stays `call`."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from norse.compiler.ir import Graph, Node, Operand
from norse.compiler.ops import OPS, TARGETS


def normalise(graph: Graph) -> Graph:
    """`call(%x, 2, target=torch.pow)` becomes `square(%x)`; graphs inside `custom` nodes too."""
    return graph.with_nodes(_normalised(node) for node in graph.nodes)


def _normalised(node: Node) -> Node:
    if node.op == "custom":
        inner = {key: normalise(node.attrs[key]) for key in ("_forward", "_backward")}
        return replace(node, attrs={**node.attrs, **inner})
    if node.op != "call":
        return node
    target, kwargs = node.attrs["_target"], node.attrs["_kwargs"]
    positional = node.inputs[: len(node.inputs) - len(kwargs)]
    if target in _SPECIAL:
        try:
            found = _SPECIAL[target](*positional, **kwargs)
        except TypeError:  # an overload that the table does not have
            return node
        if found is None:
            return node
        op, *inputs = found
        return _as(node, op, tuple(inputs))
    if target in TARGETS and not kwargs and len(positional) == _arity(TARGETS[target], positional):
        return _as(node, TARGETS[target], positional)
    return node


def _as(node: Node, op: str, inputs: tuple[Operand, ...]) -> Node:
    kept = {key: node.attrs[key] for key in ("_over_time", "_line") if node.attrs.get(key)}
    return Node(op, node.outputs, inputs, kept, node.module, node.tick)


def _arity(op: str, positional: tuple[Operand, ...]) -> int:
    """How many operands the op has: those of its type rule; `linear` may have a bias."""
    if op == "linear":
        return len(positional)
    derivative = OPS[op].derivative
    if derivative is None:
        return 1 if op == "logical_not" else 2
    return derivative.__code__.co_argcount - 2


# ---- calls whose arguments need to be put in order: each gives (op, *operands), or None for what has no op ---


# What torch computes for these exponents when they are numbers.
_POWERS: Mapping[Any, str] = {2: "square", 0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}


def _pow(x: Operand, exponent: Operand) -> tuple[Any, ...]:
    return (_POWERS[exponent], x) if exponent in _POWERS else ("pow", x, exponent)


def _clamp(input: Operand, min: Operand = None, max: Operand = None) -> tuple[Any, ...]:
    return ("clamp", input, min, max)


def _to(x: Operand, dtype: Operand) -> tuple[Any, ...] | None:
    return ("cast", x, dtype) if isinstance(dtype, torch.dtype) else None


def _cast(dtype: torch.dtype) -> Callable[[Operand], tuple[Any, ...]]:
    return lambda x: ("cast", x, dtype)


def _filled(value: float) -> Callable[[Operand], tuple[Any, ...]]:
    return lambda input: ("full_like", input, value)


def _linear(input: Operand, weight: Operand, bias: Operand = None) -> tuple[Any, ...]:
    return ("linear", input, weight) if bias is None else ("linear", input, weight, bias)


def _relu(input: Operand, inplace: bool = False) -> tuple[Any, ...] | None:
    return None if inplace else ("relu", input)


_SPECIAL: dict[Any, Callable[..., tuple[Any, ...] | None]] = {
    operator.pow: _pow,
    torch.pow: _pow,
    "pow": _pow,
    torch.clamp: _clamp,
    torch.clip: _clamp,
    "clamp": _clamp,
    "clip": _clamp,
    torch.clamp_min: lambda input, min: ("clamp", input, min, None),
    "clamp_min": lambda input, min: ("clamp", input, min, None),
    torch.clamp_max: lambda input, max: ("clamp", input, None, max),
    "clamp_max": lambda input, max: ("clamp", input, None, max),
    "to": _to,
    "type": _to,
    "float": _cast(torch.float32),
    "double": _cast(torch.float64),
    "bool": _cast(torch.bool),
    torch.zeros_like: _filled(0),
    torch.ones_like: _filled(1),
    torch.nn.functional.linear: _linear,
    torch.nn.functional.relu: _relu,
    torch.max: lambda input, other: ("maximum", input, other),
    torch.min: lambda input, other: ("minimum", input, other),
}
