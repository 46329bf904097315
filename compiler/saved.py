"""What the forward keeps for the backward: the cheapest set of values from which the adjoint can be computed.

Inputs and outputs of a tick are kept by their owners and cost nothing; everything else is recomputed from a minimum cut
between what a tick starts from (registers, synapses) and what the adjoint reads. For LIF that is one value: the
potential before the reset.
"""

from collections.abc import Collection
from dataclasses import replace

import networkx

from norse.compiler.ir import Graph, Node
from norse.compiler.ops import OPS
from norse.compiler.passes.eliminate_dead_code import eliminate_dead_code

_START, _ADJOINT = object(), object()


def choose_saved(tick: Graph, adjoint: Graph, forced: Collection[str]) -> tuple[str, ...]:
    """Forward values to keep for every tick, besides the tick's inputs and outputs. `forced` are among them."""
    forward = _forward_nodes(tick, adjoint)
    free = {*tick.inputs, *tick.outputs, *forced}
    flow = networkx.DiGraph()
    flow.add_nodes_from((_START, _ADJOINT))
    reads = {register.value for register in tick.registers}
    synapses = {node.output for node in forward.values() if OPS[node.op].synapse}
    for name in {*forward, *reads} - free:
        # Only numbers are kept: a decision (bool) is taken again from them.
        keepable = tick.types[name].dtype.is_floating_point if name in tick.types else False
        flow.add_edge((name, "in"), (name, "out"), **({"capacity": 1} if keepable else {}))
        if name in reads | synapses:
            flow.add_edge(_START, (name, "in"))
        elif name in forward:
            flow.add_edges_from(((use, "out"), (name, "in")) for use in forward[name].uses if use not in free)
    for node in adjoint.nodes:
        if node.output not in forward:
            flow.add_edges_from(((use, "out"), _ADJOINT) for use in node.uses if (use, "out") in flow)
    _, (before, _) = networkx.minimum_cut(flow, _START, _ADJOINT)
    cut = {name for name in {*forward, *reads} - free if (name, "in") in before and (name, "out") not in before}
    chosen = cut | {name for name in forced if name not in tick.inputs and name not in tick.outputs}
    order = dict.fromkeys((*(r.value for r in tick.registers), *(node.output for node in tick.nodes), *forward))
    return tuple(name for name in order if name in chosen)


def backward_graph(tick: Graph, adjoint: Graph, saved: tuple[str, ...]) -> Graph:
    """The adjoint that reads what was kept, and computes again what was not."""
    given = {*saved, *tick.outputs}
    nodes = tuple(node for node in adjoint.nodes if node.output not in given)
    registers = {register.value for register in tick.registers}
    inputs = [name for name in adjoint.inputs if name not in registers]
    inputs += [name for name in (*saved, *tick.outputs) if name not in inputs]
    keep = (*adjoint.outputs, *(register.value for register in adjoint.registers))
    pruned = eliminate_dead_code(replace(adjoint, nodes=nodes, inputs=tuple(inputs), outputs=keep))
    used = (
        {use for node in pruned.nodes for use in node.uses} | {r.next for r in pruned.registers} | set(adjoint.outputs)
    )
    return replace(pruned, inputs=tuple(name for name in inputs if name in used), outputs=adjoint.outputs)


def _forward_nodes(tick: Graph, adjoint: Graph) -> dict[str, Node]:
    """The nodes that do not depend on a gradient."""
    known = {*tick.inputs, *(register.value for register in tick.registers)}
    nodes = {}
    for node in adjoint.nodes:
        if all(use in known for use in node.uses):
            nodes[node.output] = node
            known.add(node.output)
    return nodes
