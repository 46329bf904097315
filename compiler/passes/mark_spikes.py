"""Mark spikes: which values are 0/1, by the rules of the op table, the layer table and the call table.

A mark is a promise that kernels may trust, so it is given where the rules prove it and nowhere else: a register is 0/1
if what it starts with is, and not only what it becomes. Max-pooling, shapes and concatenation keep a mark, sums and
averages don't.
"""

from collections.abc import Mapping

import torch

from norse.compiler.calls import CALLS, VIEWS
from norse.compiler.ir import Graph, Node, Ref, Type
from norse.compiler.ops import OPS
from norse.compiler.passes.infer_types import custom_types


def mark_spikes(graph: Graph) -> Graph:
    """`analog[T, B, 3]` becomes `spike[T, B, 3]` where the value is 0 or 1 at every tick, the first one included."""
    types = {n: Type(t.dtype, t.axes, t.dtype == torch.bool) for n, t in graph.types.items()}
    # Registers are taken for 0/1 until something says otherwise: a cycle of copies of a spike is one.
    registers = [register for register in graph.registers if register.value in types]
    while True:
        now = dict(types)
        for register in registers:
            now[register.value] = _marked(now[register.value])
        _mark(graph.nodes, now)
        proven = [r for r in registers if _spike(now, r.initial) and _spike(now, r.next)]
        if len(proven) == len(registers):
            return graph.with_types(now)
        registers = proven


def _spike(types: Mapping[str, Type], name: str) -> bool:
    return name in types and types[name].spike


def _marked(type_: Type) -> Type:
    return Type(type_.dtype, type_.axes, spike=True)


def _mark(nodes: tuple[Node, ...], types: dict[str, Type]) -> None:
    for node in nodes:
        for name, spike in zip(node.outputs, _marks(node, types), strict=True):
            if spike and name in types and not _counts(types[name]):
                types[name] = _marked(types[name])


def _counts(type_: Type) -> bool:
    """Places (`max(dim).indices`) are no spikes, whatever they are places of."""
    return not (type_.dtype.is_floating_point or type_.dtype == torch.bool)


def _marks(node: Node, types: Mapping[str, Type]) -> tuple[bool, ...]:
    """For each of a node's values whether it is 0/1."""
    if node.op in OPS:
        operands = (types.get(o.name) if isinstance(o, Ref) else o for o in node.inputs)
        return (OPS[node.op].spikes(*operands),)
    if node.op == "custom" and all(use in types for use in node.uses):
        return tuple(type_.spike for type_ in custom_types(node, types))
    if "_spikes" in node.attrs:  # a neuron, or the state that it starts with
        return tuple(node.attrs["_spikes"])
    if "_row" in node.attrs and node.attrs["_row"].gives_spikes:
        return (True,) * len(node.outputs)
    reads_spikes = bool(node.uses) and all(_spike(types, use) for use in node.uses)
    return (reads_spikes and _keeps(node),) * len(node.outputs)


def _keeps(node: Node) -> bool:
    if node.op in ("enter", "leave"):
        return True
    if "_row" in node.attrs:
        return bool(node.attrs["_row"].keeps_spikes)
    target = node.attrs.get("_target")
    return target in VIEWS or (target in CALLS and CALLS[target].keeps_spikes)
