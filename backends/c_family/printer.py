"""Prints the arithmetic of a tick as C: the statements that the C++ and the CUDA kernels share.

One statement a node, in the graph's order, every operand converted to the type that torch computes in. Nothing is
reassociated, so the bits are eager's.
"""

import math
import re
from collections.abc import Iterable, Mapping

import numpy
import torch

from norse.compiler.ir import Graph, Node, Operand, Ref
from norse.compiler.ops import OPS, comparison, decision, promoted

C_TYPES: Mapping[torch.dtype, str] = {torch.float32: "float", torch.float64: "double", torch.bool: "bool"}

# The words of C++17, and names that the generated text and the runtime's headers give a meaning.
_RESERVED = frozenset(
    """alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const
    const_cast constexpr continue decltype default delete do double dynamic_cast else enum errno explicit export extern
    false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq
    private protected public register reinterpret_cast restrict return short signed sizeof static static_assert
    static_cast struct switch template this thread_local throw true try typedef typeid typename union unsigned using
    virtual void volatile wchar_t while xor xor_eq
    call count tick sample samples neuron events given buffers place first""".split()  # noqa: SIM905
)


def identifier(name: str) -> str:
    """A C identifier for a value: its own name where that is one."""
    name = re.sub(r"\W", "_", name)
    # Names in capitals are macros' (NAN, INFINITY, ...).
    taken = name in _RESERVED or name[0].isdigit() or name.isupper() or name.endswith(("_row", "_held"))
    return f"{name}_" if taken else name


def c_type(graph: Graph, name: str) -> str:
    return C_TYPES[graph.types[name].dtype]


def statements(graph: Graph, nodes: Iterable[Node]) -> list[str]:
    """`const float u = v + w;` for each elementwise node."""
    return [
        f"const {c_type(graph, node.output)} {identifier(node.output)} = {_expression(graph, node)};" for node in nodes
    ]


def converted(graph: Graph, operand: Operand, dtype: torch.dtype) -> str:
    """An operand as a value of `dtype`."""
    if not isinstance(operand, Ref):
        return literal(operand, dtype)
    name, own = identifier(operand.name), graph.types[operand.name].dtype
    if own == dtype:
        return name
    if dtype == torch.bool:
        return f"({name} != 0)"
    if own == torch.bool:
        return f"({name} ? {literal(1, dtype)} : {literal(0, dtype)})"
    return f"({C_TYPES[dtype]}){name}"


def literal(number: Operand, dtype: torch.dtype) -> str:
    """A number rounded once to `dtype`, written so that C reads back the same bits."""
    if not isinstance(number, int | float):
        raise TypeError(f"a constant of type {type(number).__name__} in arithmetic")
    if dtype == torch.bool:
        return "true" if number else "false"
    value = float(torch.tensor(number, dtype=torch.float64).to(dtype))
    if not math.isfinite(value):
        return "NAN" if math.isnan(value) else ("INFINITY" if value > 0 else "(-INFINITY)")
    text = str(numpy.float32(value)) if dtype == torch.float32 else repr(value)
    text = text if any(mark in text for mark in ".en") else f"{text}.0"
    text = f"{text}f" if dtype == torch.float32 else text
    return f"({text})" if text.startswith("-") else text


def _expression(graph: Graph, node: Node) -> str:
    row = OPS[node.op]
    dtype = graph.types[node.output].dtype
    if node.op == "cast":
        return converted(graph, node.inputs[0], dtype)
    if row.words:
        _, slot, _ = node.inputs
        return f"{row.c}(norse_draw<{slot}>({identifier(node.uses[0])}, tick, first + neuron), {literal(0, dtype)})"
    if node.op == "full_like":
        return literal(node.inputs[1], dtype)
    if node.op == "clamp":
        return _clamp(graph, node, dtype)
    if node.op == "div" and not isinstance(node.inputs[0], Ref):
        # `0.1 / x` is `x.reciprocal() * 0.1` in torch
        return f"(1 / {converted(graph, node.inputs[1], dtype)}) * {literal(node.inputs[0], dtype)}"
    if row.c is None:
        raise TypeError(f"{node.op} is not elementwise")
    if row.result is comparison:
        known = [graph.types[o.name] if isinstance(o, Ref) else o for o in node.inputs]
        dtype = torch.bool if node.op.startswith("logical") else promoted(*known)
    elif row.result is decision:
        dtype = torch.bool
    dtypes = [torch.bool, dtype, dtype] if node.op == "where" else [dtype] * len(node.inputs)
    if node.op == "where" and dtype != torch.bool and _is_number(graph, node.inputs[0]):
        return f"norse_select({', '.join(converted(graph, o, d) for o, d in zip(node.inputs, dtypes, strict=True))})"
    return row.c.format(*(converted(graph, o, d) for o, d in zip(node.inputs, dtypes, strict=True)))


def _is_number(graph: Graph, operand: Operand) -> bool:
    """Whether it is the same for all neurons."""
    return not isinstance(operand, Ref) or not graph.types[operand.name].axes


def _clamp(graph: Graph, node: Node, dtype: torch.dtype) -> str:
    """torch's clamp: the lower bound first, and NaN stays NaN. Of -0 and 0 a number gives way, a tensor does not."""
    text = converted(graph, node.inputs[0], dtype)
    for bound, function in zip(node.inputs[1:], ("norse_maximum", "norse_minimum"), strict=True):
        if bound is not None:
            operands = (text, converted(graph, bound, dtype))
            text = f"{function}({', '.join(operands if isinstance(bound, Ref) else reversed(operands))})"
    return text
