"""The verifier: what every graph between two passes must keep to. Runs in tests always, in use with NORSE_DEBUG."""

from collections.abc import Mapping
from typing import Any

import torch

from norse.compiler.errors import CompileError
from norse.compiler.interpret import run_node
from norse.compiler.ir import Graph, Node, Type
from norse.compiler.ops import OPS
from norse.compiler.passes.mark_spikes import mark_spikes

_EXAMPLE = {"T": 2, "B": 3}  # sizes for the named axes


def verify(graph: Graph) -> None:
    """Raises CompileError where a value is read before it's made or made twice, a type isn't what torch computes, or a
    mark has no proof."""
    made = set(graph.inputs) | {register.value for register in graph.registers}
    for node in graph.nodes:
        for use in node.uses:
            _expect(use in made, f"%{use} is read by {node.op} before it is made")
        for name in node.outputs:
            _expect(name not in made, f"%{name} is made twice")
            made.add(name)
        if (node.op in OPS or node.op == "custom") and graph.types.keys() >= {*node.uses, *node.outputs}:
            _check_type(graph, node)
    for name in graph.outputs:
        _expect(name in made, f"the output %{name} is never made")
    for register in graph.registers:
        for name in (register.initial, register.next):
            _expect(name in made, f"the register %{register.value} reads %{name}, which is never made")
    proven = mark_spikes(graph).types
    for name in made & graph.types.keys():
        _expect(
            proven[name].spike or not graph.types[name].spike, f"%{name} is marked as a spike, and nothing proves it"
        )


def _check_type(graph: Graph, node: Node) -> None:
    """Types against a run of eager without data, on the shapes of one tick."""
    if node.op in OPS and OPS[node.op].synapse and len({graph.types[use].dtype for use in node.uses}) > 1:
        return  # torch refuses it but under autocast, whose casts steps/layout.py sees in the tensors of a call
    if node.op == "custom":
        forward: Graph = node.attrs["_forward"]
        inner = dict(zip(forward.inputs, (graph.types[use] for use in node.uses), strict=True))
        found = _computed(forward.nodes, {name: (type_.dtype, _sizes(type_)) for name, type_ in inner.items()})
        results = [found[name] for name in forward.outputs]
    else:
        given = {use: (graph.types[use].dtype, _sizes(graph.types[use])) for use in node.uses}
        results = [_computed((node,), given)[node.output]]
    for name, result in zip(node.outputs, results, strict=True):
        said = graph.types[name]
        _expect(
            result == (said.dtype, _sizes(said)),
            f"%{name} = {node.op} is typed {said}, torch computes {result[0]}{list(result[1])}",
        )


_Known = tuple[torch.dtype, tuple[int, ...]]


def _computed(nodes: tuple[Node, ...], given: Mapping[str, _Known]) -> dict[str, _Known]:
    """What torch makes of tensors of these dtypes and shapes."""
    values: dict[str, Any] = {
        name: torch.empty(shape, dtype=dtype, device="meta") for name, (dtype, shape) in given.items()
    }
    for node in nodes:
        run_node(node, values)
    return {name: (x.dtype, tuple(x.shape)) for name, x in values.items()}


def _sizes(type_: Type) -> tuple[int, ...]:
    return tuple(axis if isinstance(axis, int) else _EXAMPLE[axis] for axis in type_.tick_axes)


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise CompileError(f"internal: {what}")
