"""The verifier: what every graph between two passes must keep to. Runs in tests always, in use with NORSE_DEBUG."""

import torch

from norse.compiler.errors import CompileError
from norse.compiler.interpret import run_node
from norse.compiler.ir import Graph, Node, Ref, Type
from norse.compiler.ops import OPS

_EXAMPLE = {"T": 2, "B": 3}  # sizes for the named axes


def verify(graph: Graph) -> None:
    """Raises CompileError where a value is read before it's made or made twice, or a type isn't what torch computes."""
    made = set(graph.inputs) | {register.value for register in graph.registers}
    for node in graph.nodes:
        for use in node.uses:
            _expect(use in made, f"%{use} is read by {node.op} before it is made")
        for name in node.outputs:
            _expect(name not in made, f"%{name} is made twice")
            made.add(name)
        if node.op in OPS and all(name in graph.types for name in (*node.uses, *node.outputs)):
            _check_type(graph, node)
    for name in graph.outputs:
        _expect(name in made, f"the output %{name} is never made")
    for register in graph.registers:
        for name in (register.initial, register.next):
            _expect(name in made, f"the register %{register.value} reads %{name}, which is never made")


def _check_type(graph: Graph, node: Node) -> None:
    """Types against a run of eager without data, on the shapes of one tick."""
    values = {use: _without_data(graph.types[use]) for use in node.uses}
    run_node(node, values)
    found, said = values[node.output], graph.types[node.output]
    expected = _without_data(said)
    _expect(
        found.dtype == expected.dtype and found.shape == expected.shape,
        f"%{node.output} = {node.op} is typed {said}, torch computes {found.dtype}{list(found.shape)}",
    )


def _without_data(type_: Type) -> torch.Tensor:
    sizes = [axis if isinstance(axis, int) else _EXAMPLE[axis] for axis in type_.tick_axes]
    return torch.empty(sizes, dtype=type_.dtype, device="meta")


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise CompileError(f"internal: {what}")


__all__ = ["Ref", "verify"]
