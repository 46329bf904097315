"""Common subexpressions: what is computed twice from the same values is computed once.

Only where that can't be seen: random draws, eager modules and layers that count their calls are never merged, nor what
a user may write into. Neither are custom functions: what their backward makes of a sum of two gradients (clipped, say)
need not be the sum of what it makes of each.
"""

from typing import Any

from norse.compiler.build import identity
from norse.compiler.calls import CALLS, VIEWS
from norse.compiler.draws import draws
from norse.compiler.ir import Graph, Node, Operand, Ref, substitute_inputs
from norse.compiler.ops import OPS
from norse.compiler.passes.fold_constants import left_behind

_COPIES = ("identity", "paced")  # made so that there are two values


def common_subexpressions(graph: Graph) -> Graph:
    """`mul(%x, 2)` behind another `mul(%x, 2)` becomes the first one's value, where it is used."""
    kept = left_behind(graph) | set(graph.outputs)
    changed_in_place = any(node.op == "eager" or node.attrs.get("_in_place") for node in graph.nodes)
    known: dict[str, Operand] = {}
    first: dict[Any, str] = {}
    nodes = []
    for node in graph.nodes:
        node = substitute_inputs(node, known)
        if repeats(node) and (node.tick or not (changed_in_place or node.output in kept)):
            same = first.setdefault(_key(node), node.output)
            if same != node.output and node.output not in kept:
                known[node.output] = Ref(same)
                continue
        nodes.append(node)
    return graph.with_nodes(nodes)


def repeats(node: Node) -> bool:
    """Whether a node gives the same every time, and does nothing else."""
    if draws(node) or node.op in _COPIES or len(node.outputs) > 1:
        return False
    if node.op in OPS:
        return True
    if "_row" in node.attrs:  # a layer
        return not (node.attrs["_row"].random or node.attrs["_counts"] or node.attrs["_in_place"])
    if node.op == "call":
        row = CALLS.get(node.attrs["_target"])
        return node.attrs["_target"] in VIEWS or (row is not None and not row.random and True not in node.inputs)
    return False


def _key(node: Node) -> Any:
    """What equal nodes share. Ticks of different neurons run in different loops, so they share nothing."""
    called = node.attrs.get("_target"), tuple(node.attrs.get("_kwargs", ())), node.attrs.get("_path")
    return node.op, identity(node.inputs), called, node.attrs.get("_over_time"), node.tick, node.tick and node.module
