"""Normalise: what the user called (`torch.mul`, `*`, `.mul`) becomes an op of the table; all else stays `call`."""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch

from norse.compiler.ir import Graph, Names, Node, Operand, Ref, substitute
from norse.compiler.ops import OPS, TARGETS


def normalise(graph: Graph, step: bool = False) -> Graph:
    """`call(%x, 2, target=torch.pow)` becomes `square(%x)`; graphs inside `custom` nodes too.

    Of a neuron's step, calls that the table has for matrices alone as well: what a type rule refuses there stays eager,
    while a network's calls run as they are.
    """
    table = _SPECIAL | _IN_STEPS if step else _SPECIAL
    names = Names(graph.names)
    return graph.with_nodes(made for node in graph.nodes for made in _split_product(_normalised(node, table), names))


def _split_product(node: Node, names: Names) -> Iterable[Node]:
    """`matmul(%x, %m)` becomes `linear(%x, transpose(%m))`: one op for all products with a matrix."""
    if node.op != "matmul":
        return (node,)
    x, matrix = node.inputs
    turned = names.fresh("transposed")
    return (
        replace(node, op="transpose", outputs=(turned,), inputs=(matrix,)),
        replace(node, op="linear", inputs=(x, Ref(turned))),
    )


def _turned_once(graph: Graph) -> Graph:
    """`x @ W.t()` became `linear(%x, transpose(transpose(%W)))`: it is `linear(%x, %W)`."""
    turned = {node.output: node.uses[0] for node in graph.nodes if node.op == "transpose"}
    back = {name: Ref(turned[of]) for name, of in turned.items() if of in turned}
    return graph.with_nodes(
        replace(node, inputs=(node.inputs[0], substitute(node.inputs[1], back), *node.inputs[2:]))
        if node.op == "linear"
        else node
        for node in graph.nodes
    )


def _with_weight_gradients(backward: Graph) -> Graph:
    """`gᵀ x` of rows and `einsum("...h,...i->hi", g, x)` become `outer(%g, %x)`. (In a forward they are matrices that
    every tick has.)"""
    turned = {node.output: node.inputs[0] for node in backward.nodes if node.op == "transpose"}
    nodes = []
    for node in backward.nodes:
        if node.op == "linear" and all(use in turned for use in node.uses) and len(node.inputs) == 2:
            node = replace(node, op="outer", inputs=tuple(turned[use] for use in node.uses))
        elif node.op == "call" and node.attrs["_target"] is torch.einsum and len(node.inputs) == 3:
            equation, rows, activity = node.inputs
            if isinstance(equation, str) and _is_outer(equation):
                node = _as(node, "outer", (rows, activity))
        nodes.append(node)
    return backward.with_nodes(nodes)


def _is_outer(equation: str) -> bool:
    match = re.fullmatch(
        r"(?:\.\.\.|([a-z]))([a-z]),(?:\.\.\.|([a-z]))([a-z])->([a-z])([a-z])", equation.replace(" ", "")
    )
    if match is None:
        return False
    sample, hidden, other, input_, *result = match.groups()
    return sample == other and result == [hidden, input_] and len({sample, hidden, input_}) == 3


def _normalised(node: Node, table: Mapping[Any, Callable[..., tuple[Any, ...] | None]]) -> Node:
    if node.op == "custom":
        inner = {key: _turned_once(normalise(node.attrs[key], True)) for key in ("_forward", "_backward")}
        inner["_backward"] = _with_weight_gradients(inner["_backward"])
        return replace(node, attrs={**node.attrs, **inner})
    if node.op != "call":
        return node
    target, kwargs = node.attrs["_target"], node.attrs["_kwargs"]
    positional = node.inputs[: len(node.inputs) - len(kwargs)]
    if target in table:
        try:
            found = table[target](*positional, **kwargs)
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
        return 1 if op in ("logical_not", "bitwise_not", "transpose", "isfinite", "diagonal") else 2
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


def _product(x: Operand, matrix: Operand) -> tuple[Any, ...] | None:
    return ("matmul", x, matrix) if isinstance(matrix, Ref) else None


def _attribute(x: Operand, name: Operand) -> tuple[Any, ...] | None:
    return ("transpose", x) if name in ("T", "mT") else None


def _transposed(input: Operand, dim0: Operand, dim1: Operand) -> tuple[Any, ...] | None:
    return ("transpose", input) if {dim0, dim1} in ({0, 1}, {-1, -2}) else None


def _sum(sign: int) -> Callable[..., tuple[Any, ...] | None]:
    def arguments(input: Operand, other: Operand, alpha: Operand = 1) -> tuple[Any, ...] | None:
        if alpha == 1:
            return "add" if sign > 0 else "sub", input, other
        return ("add_scaled", input, other, sign * alpha) if isinstance(alpha, int | float) else None

    return arguments


def _softplus(input: Operand, beta: Operand = 1.0, threshold: Operand = 20.0) -> tuple[Any, ...]:
    return ("softplus", input, beta, threshold)


def _elu(input: Operand, alpha: Operand = 1.0, inplace: bool = False) -> tuple[Any, ...] | None:
    return None if inplace else ("elu", input, alpha)


def _leaky_relu(input: Operand, negative_slope: Operand = 0.01, inplace: bool = False) -> tuple[Any, ...] | None:
    return None if inplace else ("leaky_relu", input, negative_slope)


def _lerp(input: Operand, end: Operand, weight: Operand) -> tuple[Any, ...]:
    return ("lerp", input, end, weight)


def _addcmul(input: Operand, tensor1: Operand, tensor2: Operand, value: Operand = 1) -> tuple[Any, ...]:
    return ("addcmul", input, tensor1, tensor2, value)


def _addcdiv(input: Operand, tensor1: Operand, tensor2: Operand, value: Operand = 1) -> tuple[Any, ...]:
    return ("addcdiv", input, tensor1, tensor2, value)


def _masked_fill(input: Operand, mask: Operand, value: Operand) -> tuple[Any, ...]:
    return ("where", mask, value, input)


def _heaviside(input: Operand, values: Operand) -> tuple[Any, ...]:
    return ("heaviside", input, values)


def _filled(value: float) -> Callable[[Operand], tuple[Any, ...]]:
    return lambda input: ("full_like", input, value)


def _linear(input: Operand, weight: Operand, bias: Operand = None) -> tuple[Any, ...]:
    return ("linear", input, weight) if bias is None else ("linear", input, weight, bias)


def _relu(input: Operand, inplace: bool = False) -> tuple[Any, ...] | None:
    return None if inplace else ("relu", input)


def _of_two(op: str) -> Callable[[Operand, Operand], tuple[Any, ...] | None]:
    """Of two tensors; with a number, it is the dimension to reduce."""
    return lambda input, other: (op, input, other) if isinstance(other, Ref) else None


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
    torch.full_like: lambda input, fill_value: ("full_like", input, fill_value),
    torch.nn.functional.linear: _linear,
    **dict.fromkeys((torch.add, "add"), _sum(1)),
    **dict.fromkeys((torch.sub, "sub", torch.subtract, "subtract"), _sum(-1)),
    torch.rsub: lambda input, other: ("sub", other, input),
    torch.nn.functional.softplus: _softplus,
    torch.nn.functional.elu: _elu,
    torch.nn.functional.leaky_relu: _leaky_relu,
    torch.nn.functional.silu: lambda input, inplace=False: None if inplace else ("silu", input),
    **dict.fromkeys((torch.lerp, "lerp"), _lerp),
    **dict.fromkeys((torch.addcmul, "addcmul"), _addcmul),
    **dict.fromkeys((torch.addcdiv, "addcdiv"), _addcdiv),
    **dict.fromkeys((torch.heaviside, "heaviside"), _heaviside),
    torch.nn.functional.relu: _relu,
    torch.max: _of_two("maximum"),
    torch.min: _of_two("minimum"),
}

_IN_STEPS: dict[Any, Callable[..., tuple[Any, ...] | None]] = {
    **dict.fromkeys((operator.matmul, torch.matmul, torch.mm, "matmul", "mm", "__matmul__"), _product),
    **dict.fromkeys((torch.transpose, "transpose", torch.swapaxes, "swapaxes"), _transposed),
    **dict.fromkeys((torch.t, "t"), lambda input: ("transpose", input)),
    getattr: _attribute,
    **dict.fromkeys((torch.unsqueeze, "unsqueeze"), lambda input, dim: ("unsqueeze", input, dim)),
    **dict.fromkeys((torch.sum, "sum"), lambda input, dim: ("sum", input, dim)),
    **dict.fromkeys((torch.masked_fill, "masked_fill"), _masked_fill),
}
