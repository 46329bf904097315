"""Infer types: every value's dtype and axes, from the inputs' types by the rules of the op table.

A register's type is the fixed point of the step: what it starts with may be narrower (0-d, `[N]`) than what it becomes.
"""

from collections.abc import Mapping

import torch

from norse.compiler.errors import Unsupported
from norse.compiler.ir import TIME, Graph, Node, Operand, Ref, Type
from norse.compiler.ops import OPS

_ROUNDS = 3


def infer_types(graph: Graph) -> Graph:
    """`graph.types` has the inputs' types (and those of nodes that have no rule, as `call`s); after it, all."""
    types = dict(graph.types)
    for register in graph.registers:
        types[register.value] = _over_time(types.get(register.value) or types[register.initial])
    for _ in range(_ROUNDS + len(graph.registers)):  # what a delay line holds comes out of it that much later
        infer_nodes(graph.nodes, types)
        moved = False
        for register in graph.registers:
            after = _over_time(types[register.next])
            moved |= after != types[register.value]
            types[register.value] = after
        if not moved:
            return graph.with_types(types)
    raise Unsupported("the type of its state changes at every tick")


def infer_nodes(nodes: tuple[Node, ...], types: dict[str, Type]) -> None:
    for node in nodes:
        if node.op == "custom":
            types.update(zip(node.outputs, custom_types(node, types), strict=True))
        elif node.op in OPS:
            row, operands = OPS[node.op], [_typed(operand, types) for operand in node.inputs]
            result = row.result(*operands)
            spike = result.dtype == torch.bool or row.spikes(*operands)
            types[node.output] = Type(result.dtype, result.axes, spike) if spike else result
        elif node.op == "last":
            before = types[node.uses[0]]
            types[node.output] = Type(before.dtype, before.tick_axes)
        elif any(name not in types for name in node.outputs):
            line = node.attrs.get("_line")
            raise Unsupported(
                f"{node.attrs.get('target', node.op)} is not in the op table{f' ({line})' if line else ''}"
            )


def custom_types(node: Node, types: Mapping[str, Type]) -> tuple[Type, ...]:
    forward: Graph = node.attrs["_forward"]
    inner = dict(zip(forward.inputs, (types[name] for name in node.uses), strict=True))
    infer_nodes(forward.nodes, inner)
    return tuple(inner[name] for name in forward.outputs)


def _typed(operand: Operand, types: Mapping[str, Type]) -> object:
    return types[operand.name] if isinstance(operand, Ref) else operand


def _over_time(type_: Type) -> Type:
    """A register's. Whether it is 0/1 is for `mark_spikes` to find out: what it starts with counts too."""
    return Type(type_.dtype, type_.axes if type_.over_time else (TIME, *type_.axes))
