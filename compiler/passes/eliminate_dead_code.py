"""Eliminate dead code: what no output needs goes, registers with their cycles too; what has an effect stays."""

from dataclasses import replace

import networkx

from norse.compiler.ir import Graph, Node
from norse.compiler.ops import OPS

_NEEDED = object()  # the vertex that every root leads to

# Besides these, ops of the table and parameters are the only nodes without effects.
_PURE = frozenset({"parameter", "custom", "last", "initial_state", "enter", "leave"})


def eliminate_dead_code(graph: Graph) -> Graph:
    """Keeps what an output or a node with an effect (a user's call, an eager module) reads, across any ticks."""
    edges = networkx.DiGraph(graph.to_networkx())
    effects = (name for node in graph.nodes if not pure(node) for name in node.outputs)
    for register in graph.registers:  # without any tick, the last value is the first
        fed = (node.output for node in graph.nodes if node.op == "last" and register.next in node.uses)
        edges.add_edges_from((register.value, name) for name in fed)
    edges.add_edges_from((root, _NEEDED) for root in (*graph.outputs, *effects))
    alive = networkx.ancestors(edges, _NEEDED) if _NEEDED in edges else set()
    nodes = (node for node in graph.nodes if alive.intersection(node.outputs))
    registers = tuple(register for register in graph.registers if register.value in alive)
    return replace(graph, nodes=tuple(nodes), registers=registers)


def pure(node: Node) -> bool:
    return node.op in OPS or node.op in _PURE
