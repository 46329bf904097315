"""Hoist the prologue: what a tick computes from parameters alone is computed once a call, by torch, under autograd."""

from dataclasses import replace

from norse.compiler.ir import Graph, Node
from norse.compiler.ops import OPS


def hoist_prologue(graph: Graph) -> Graph:
    """`mul(0.001, tau_mem_inv)` leaves the tick. Parameters come first, then the region `prologue`, then the rest."""
    parameters = [node for node in graph.nodes if node.op == "parameter"]
    fixed = {node.output for node in parameters}
    prologue: list[Node] = []
    rest: list[Node] = []
    for node in graph.nodes:
        if node.op == "parameter":
            continue
        if node.tick and (node.op in OPS or node.op == "custom") and fixed.issuperset(node.uses):
            prologue.append(replace(node, region="prologue"))
            fixed.update(node.outputs)
        else:
            rest.append(node)
    return graph.with_nodes([*parameters, *prologue, *rest])
