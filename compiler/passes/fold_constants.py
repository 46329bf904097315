"""Fold constants: arithmetic of Python numbers is done once. Tensors are never folded: they are arguments."""

from dataclasses import replace

from norse.compiler.interpret import run_node
from norse.compiler.ir import Graph, Operand, Ref, substitute_inputs
from norse.compiler.ops import OPS


def fold_constants(graph: Graph) -> Graph:
    """`add(2, 3)` becomes 5 where it is used; a tick's `identity(%x)` becomes `%x`, as does a cast to its own dtype."""
    known: dict[str, Operand] = {}
    kept = left_behind(graph)
    nodes = []
    for node in graph.nodes:
        node = substitute_inputs(node, known)
        # Outside of ticks a copy is one that the user may write into.
        copies = (node.op == "identity" and node.tick) or _casts_to_itself(graph, node.op, node.inputs)
        if node.outputs[0] not in kept and copies:
            known[node.output] = node.inputs[0]
        elif node.op in OPS and not node.uses and node.output not in graph.outputs:
            values: dict[str, Operand] = {}
            run_node(node, values)
            known[node.output] = values[node.output]
        else:
            nodes.append(node)
    renamed = {name: operand.name for name, operand in known.items() if isinstance(operand, Ref)}
    while any(name in renamed for name in renamed.values()):
        renamed = {name: renamed.get(target, target) for name, target in renamed.items()}
    return _renamed_outputs(graph.with_nodes(nodes), renamed)


def left_behind(graph: Graph) -> set[str]:
    """What a neuron's tick hands to its registers and to other modules: that must be a value of its own."""
    home = {name: node.module for node in graph.nodes if node.tick for name in node.outputs}
    read = {
        use for node in graph.nodes for use in node.uses if home.get(use, node.module) != node.module or not node.tick
    }
    return home.keys() & {*read, *graph.outputs, *(register.next for register in graph.registers)}


def _casts_to_itself(graph: Graph, op: str, inputs: tuple[Operand, ...]) -> bool:
    if op != "cast" or not isinstance(inputs[0], Ref) or inputs[0].name not in graph.types:
        return False
    return graph.types[inputs[0].name].dtype == inputs[1]


def _renamed_outputs(graph: Graph, renamed: dict[str, str]) -> Graph:
    registers = tuple(replace(register, next=renamed.get(register.next, register.next)) for register in graph.registers)
    return replace(graph, outputs=tuple(renamed.get(name, name) for name in graph.outputs), registers=registers)
