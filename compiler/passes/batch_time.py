"""Batch time: outside the cycles through registers nothing depends on the last tick, so it runs once for all ticks.

That's so for the synapses of a neuron that its own state does not reach (`linear(x, W_in)`), and for every layer that
acts on each tick alone. With `exact`, synapses are called tick by tick as eager does, in a stepped region.
"""

from dataclasses import replace

from norse.compiler.ir import Graph, Names, Node, Operand, Ref, substitute_inputs
from norse.compiler.ops import OPS
from norse.compiler.passes.feedback import STEPPED, cycles, step_feedback

BATCHED, EAGER = "batched", "eager"


def batch_time(graph: Graph, exact: bool = False) -> Graph:
    """Gives nodes outside of neurons' loops their region; what stays without one is for `fuse_loops`."""
    graph = step_feedback(graph)
    cyclic = set().union(*cycles(graph))
    with_synapses = {node.module for node in graph.nodes if node.tick and is_synapse(node)}
    nodes: list[Node] = []
    for node in graph.nodes:
        if not node.region and node.op != "parameter":
            node = replace(node, region=_region(node, graph, cyclic, with_synapses if exact else set()))
        nodes.append(node)
    return _with_reads_over_time(graph.with_nodes(nodes))


def _with_reads_over_time(graph: Graph) -> Graph:
    """A batched synapse of what a register held (`linear(x', W)`, a delay) reads all its ticks: the loop gives them."""
    names, types = Names(graph.names), dict(graph.types)
    known: dict[str, Operand] = {}
    reads = {register.value for register in graph.registers}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.tick and node.region == BATCHED:
            for read in node.uses:
                if read in reads and read not in known:
                    held = names.fresh(read)
                    types[held] = graph.types[read]
                    known[read] = Ref(held)
                    nodes.append(Node("identity", (held,), (Ref(read),), {}, node.module, tick=True))
            node = substitute_inputs(node, known)
        nodes.append(node)
    return _with_reads_behind_loops(graph.with_nodes(nodes).with_types(types))


def _with_reads_behind_loops(graph: Graph) -> Graph:
    """The same for a user's call that reads a register of a cycle without being part of it."""
    made, names, types = graph.producers, Names(graph.names), dict(graph.types)
    held: dict[str, Operand] = {}
    before: dict[int, list[Node]] = {}
    for register in graph.registers:
        home = made.get(register.next)
        if home is None or not any(register.value in n.uses and _runs_apart(n, home) for n in graph.nodes):
            continue
        stepped = home.region.startswith(STEPPED)
        if not (stepped or home.tick):
            continue
        name = names.fresh(register.value)
        types[name], held[register.value] = graph.types[register.value], Ref(name)
        node = Node("identity", (name,), (Ref(register.value),), {}, home.module, True, home.region if stepped else "")
        place = next(k for k, n in enumerate(graph.nodes) if (n.region, n.module) == (home.region, home.module))
        before.setdefault(place, []).append(node)
    nodes: list[Node] = []
    for k, node in enumerate(graph.nodes):
        nodes += before.get(k, [])
        reads = {name: held[name] for name in node.uses if name in held}
        apart = any(_runs_apart(node, made[r.next]) for r in graph.registers if r.value in reads)
        nodes.append(substitute_inputs(node, reads) if apart else node)
    return graph.with_nodes(nodes).with_types(types)


def _runs_apart(node: Node, home: Node) -> bool:
    return not node.tick and node.region in (BATCHED, EAGER) and node.region != home.region


def _region(node: Node, graph: Graph, cyclic: set[str], stepped: set[str]) -> str:
    if not node.tick:
        return EAGER if node.op == "eager" else BATCHED
    if node.module in stepped and graph.types[node.outputs[0]].over_time:
        return f"{STEPPED} {node.module}".strip()
    return BATCHED if is_synapse(node) and node.outputs[0] not in cyclic else ""


def is_synapse(node: Node) -> bool:
    """Whether a node of a step is anything but elementwise."""
    if node.op not in OPS:
        return node.op != "custom"
    return OPS[node.op].synapse or OPS[node.op].reshapes
