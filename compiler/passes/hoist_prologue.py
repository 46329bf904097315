"""Hoist the prologue: what a tick computes from parameters alone is computed once a call, by torch, under autograd."""

from collections.abc import Iterable
from dataclasses import replace

from norse.compiler.draws import draws
from norse.compiler.ir import Graph, Node
from norse.compiler.ops import OPS


def hoist_prologue(graph: Graph) -> Graph:
    """`mul(0.001, tau_mem_inv)` leaves the tick. Parameters come first, then the region `prologue`, then the rest."""
    parameters = [node for node in graph.nodes if node.op == "parameter"]
    others = [node for node in graph.nodes if node.op != "parameter"]
    prologue, rest = split_prologue(others, {node.output for node in parameters})
    return graph.with_nodes([*parameters, *(replace(node, region="prologue") for node in prologue), *rest])


def split_prologue(nodes: Iterable[Node], fixed: Iterable[str]) -> tuple[list[Node], list[Node]]:
    """The nodes of ticks that read nothing but what is fixed, and all others."""
    known, prologue, rest = set(fixed), [], []
    for node in nodes:
        if node.tick and (node.op in OPS or node.op == "custom") and not draws(node) and known.issuperset(node.uses):
            prologue.append(node)
            known.update(node.outputs)
        else:
            rest.append(node)
    return prologue, rest
