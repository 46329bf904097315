"""What the forward keeps for the backward: the cheapest set of values from which the adjoint can be computed.

A minimum cut between what a tick starts from (registers, synapses) and what the adjoint reads: all behind is computed
again. Inputs are there anyway. An output is too, but to read it costs half of what keeping a value does, and forbids
users to change it. For LIF the cut is one value, the potential before the reset: spikes are decided again from it.
"""

from collections.abc import Collection
from dataclasses import replace

import networkx

from norse.compiler.ir import Graph, Node
from norse.compiler.ops import OPS
from norse.compiler.passes.eliminate_dead_code import eliminate_dead_code

_START, _ADJOINT = object(), object()
_WRITE = _READ = 1  # what passing a value through memory costs, each way


def choose_saved(tick: Graph, adjoint: Graph, forced: Collection[str]) -> tuple[str, ...]:
    """What the adjoint reads of the forward, besides the inputs: all of `forced`, and outputs where that is cheap."""
    forward = _forward_nodes(tick, adjoint)
    free = {*tick.inputs, *forced}
    flow = networkx.DiGraph()
    flow.add_nodes_from((_START, _ADJOINT))
    reads = {register.value for register in tick.registers}
    synapses = {node.output for node in forward.values() if OPS[node.op].synapse}
    for name in {*forward, *reads} - free:
        # Only numbers are kept: a decision (bool) is taken again from them, unless it is a state.
        number = name in tick.types and tick.types[name].dtype.is_floating_point
        keepable = number or name in tick.outputs or name in reads
        cost = {"capacity": _READ if name in tick.outputs else _WRITE + _READ} if keepable else {}
        flow.add_edge((name, "in"), (name, "out"), **cost)
        if name in reads | synapses:
            flow.add_edge(_START, (name, "in"))
        elif name in forward:
            flow.add_edges_from(((use, "out"), (name, "in")) for use in forward[name].uses if use not in free)
    for node in adjoint.nodes:
        if node.output not in forward:
            flow.add_edges_from(((use, "out"), _ADJOINT) for use in node.uses if (use, "out") in flow)
    _, (before, _) = networkx.minimum_cut(flow, _START, _ADJOINT)
    cut = {name for name in {*forward, *reads} - free if (name, "in") in before and (name, "out") not in before}
    chosen = cut | (set(forced) - set(tick.inputs))
    order = dict.fromkeys((*(r.value for r in tick.registers), *(node.output for node in tick.nodes), *forward))
    return tuple(name for name in order if name in chosen)


def backward_graph(tick: Graph, adjoint: Graph, saved: tuple[str, ...]) -> Graph:
    """The adjoint that reads what was kept, and computes again what was not."""
    nodes = tuple(node for node in adjoint.nodes if node.output not in saved)
    registers = {register.value for register in tick.registers}
    inputs = [name for name in adjoint.inputs if name not in registers]
    inputs += [name for name in saved if name not in inputs]
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
