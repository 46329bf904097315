"""What the forward keeps for the backward: the cheapest set of values from which the adjoint can be computed.

A minimum cut between what a tick starts from (registers, synapses) and what the adjoint reads: all behind is computed
again. Inputs are there anyway. An output is too, but to read it costs half of what keeping a value does, and forbids
users to change it. For LIF the cut is one value, the potential before the reset: spikes are decided again from it.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import networkx

from norse.compiler.ir import Graph, Node, Ref, Type
from norse.compiler.ops import OPS
from norse.compiler.passes.eliminate_dead_code import eliminate_dead_code

START, _ADJOINT = object(), object()
_WRITE = _READ = 1  # what passing a value through memory costs, each way


def choose_saved(tick: Graph, adjoint: Graph, forced: Collection[str]) -> tuple[str, ...]:
    """What the adjoint reads of the forward, besides the inputs: all of `forced`, and outputs where that is cheap."""
    reads = {register.value for register in tick.registers}

    def cost(name: str) -> float | None:
        # Only numbers are kept: a decision (bool) is taken again from them, unless it is a state.
        number = name in tick.types and tick.types[name].dtype.is_floating_point
        return _cost(tick, name) if number or name in tick.outputs or name in reads else None

    _, cut = cut_of(flow_of(tick, adjoint, forced, cost))
    chosen = cut | (set(forced) - set(tick.inputs))
    made = (node.output for node in tick.nodes)
    order = dict.fromkeys((*(r.value for r in tick.registers), *made, *forward_nodes(tick, adjoint)))
    return tuple(name for name in order if name in chosen)


def cost_of(tick: Graph, saved: Collection[str]) -> float:
    return sum(_cost(tick, name) for name in saved)


def _cost(tick: Graph, name: str) -> float:
    return _READ if name in tick.outputs else _WRITE + _READ


def flow_of(
    tick: Graph, adjoint: Graph, forced: Collection[str], cost: Callable[[str], float | None]
) -> networkx.DiGraph:
    """The network whose minimum cut is what is kept. `cost` of keeping a value: None for what can't be."""
    forward = forward_nodes(tick, adjoint)
    free = {*tick.inputs, *forced}
    flow = networkx.DiGraph()
    flow.add_nodes_from((START, _ADJOINT))
    reads = {register.value for register in tick.registers}
    synapses = {node.output for node in forward.values() if OPS[node.op].synapse and node.output in tick.types}
    for name in {*forward, *reads} - free:
        capacity = cost(name)
        flow.add_edge((name, "in"), (name, "out"), **({} if capacity is None else {"capacity": capacity}))
        if name in reads | synapses:
            flow.add_edge(START, (name, "in"))
        elif name in forward:
            flow.add_edges_from(((use, "out"), (name, "in")) for use in values_read(forward[name]) if use not in free)
    for node in adjoint.nodes:
        if node.output not in forward:
            flow.add_edges_from(((use, "out"), _ADJOINT) for use in values_read(node) if (use, "out") in flow)
    return flow


def cut_of(flow: networkx.DiGraph) -> tuple[float, set[str]]:
    """What the cheapest set of values costs, and which these are."""
    cost, (before, _) = networkx.minimum_cut(flow, START, _ADJOINT)
    names = (vertex[0] for vertex in flow if isinstance(vertex, tuple))
    return cost, {name for name in names if (name, "in") in before and (name, "out") not in before}


def values_read(node: Node) -> tuple[str, ...]:
    """What a node reads, without what it is only shaped as."""
    return () if node.op == "full_like" else node.uses


def backward_graph(tick: Graph, adjoint: Graph, saved: tuple[str, ...], types: Mapping[str, Type]) -> Graph:
    """The adjoint that reads what was kept, and computes again what was not. `types`: of forward's values and seeds."""
    like = next((name for name in adjoint.inputs if name not in tick.names and types[name].tick_axes), None)
    nodes = tuple(
        shaped
        for node in adjoint.nodes
        if node.output not in saved
        for shaped in (_shaped_as(like, node, types) if like is not None else (node,))
    )
    registers = {register.value for register in tick.registers}
    inputs = [name for name in adjoint.inputs if name not in registers]
    inputs += [name for name in saved if name not in inputs]
    keep = (*adjoint.outputs, *(register.value for register in adjoint.registers))
    pruned = eliminate_dead_code(replace(adjoint, nodes=nodes, inputs=tuple(inputs), outputs=keep))
    used = (
        {use for node in pruned.nodes for use in node.uses} | {r.next for r in pruned.registers} | set(adjoint.outputs)
    )
    return replace(pruned, inputs=tuple(name for name in inputs if name in used), outputs=adjoint.outputs)


def _shaped_as(like: str, node: Node, types: Mapping[str, Type]) -> tuple[Node, ...]:
    """`full_like` of a gradient, which is there in any case, in place of that of a value of forward."""
    if node.op != "full_like" or not (known := types.get(node.uses[0])) or not known.tick_axes:
        return (node,)
    if known.dtype == types[like].dtype:
        return (replace(node, inputs=(Ref(like), *node.inputs[1:])),)
    filled = replace(node, outputs=(f"{node.output} filled",), inputs=(Ref(like), *node.inputs[1:]))
    return filled, Node("cast", node.outputs, (Ref(filled.output), known.dtype))


def forward_nodes(tick: Graph, adjoint: Graph) -> dict[str, Node]:
    """The nodes that do not depend on a gradient."""
    known = {*tick.inputs, *(register.value for register in tick.registers)}
    nodes = {}
    for node in adjoint.nodes:
        if all(use in known for use in node.uses):
            nodes[node.output] = node
            known.add(node.output)
    return nodes
