"""Feedback: cycles through registers that lead through more than one neuron's own step.

A layer's spikes that enter another layer a tick later, a state that the user changes between ticks: such a cycle can't
be one native loop, and runs tick by tick in a region `stepped`, its neurons' parts in native ticks. A cycle of
elementwise arithmetic alone (a trace that decays, a running maximum) is a native loop like a neuron's.
"""

from collections.abc import Iterator
from dataclasses import replace

import networkx

from norse.compiler.errors import Unsupported
from norse.compiler.ir import Graph, Node
from norse.compiler.ops import OPS

STEPPED = "stepped"


def cycles(graph: Graph) -> list[set[str]]:
    """The strongly connected components of the graph across ticks: the values of each cycle through registers."""
    edges = networkx.DiGraph(graph.to_networkx())
    edges.add_edges_from(_kept_in_order(graph))
    components = networkx.strongly_connected_components(edges)
    return [c for c in components if len(c) > 1 or any(edges.has_edge(name, name) for name in c)]


def _kept_in_order(graph: Graph) -> Iterator[tuple[str, str]]:
    """Modules that run as they are may do more than they return: those of one loop take turns, as in eager."""
    last: dict[str, str] = {}
    for node in graph.nodes:
        loop = node.attrs.get("_loop")
        if loop is None:
            continue
        if loop in last:
            yield from ((last[loop], node.outputs[0]), (node.outputs[0], last[loop]))
        last[loop] = node.outputs[0]


def step_feedback(graph: Graph) -> Graph:
    """Gives the nodes of such cycles their region, and puts each region's nodes next to each other."""
    place = {name: k for k, node in enumerate(graph.nodes) for name in node.outputs}
    nodes = list(graph.nodes)

    def of(cycle: set[str]) -> list[Node]:
        return [nodes[k] for k in sorted({place[name] for name in cycle if name in place})]

    homes: set[str] = set()  # of cycles: regions, and the modules that stand for those of arithmetic
    for cycle in sorted(_of_one_neuron_joined(graph), key=lambda names: min(place.get(name, 0) for name in names)):
        members = of(cycle)
        neurons = {node.module for node in members if node.tick}
        if len(neurons) <= 1 and all(node.tick for node in members):
            continue
        home = f"{members[0].module} (loop {len(homes) + 1})".strip()
        homes.add(home)
        if all(_is_elementwise(node) for node in members):
            nodes = [replace(n, tick=True, module=home) if not cycle.isdisjoint(n.outputs) else n for n in nodes]
            continue
        region = f"{STEPPED} {home}"
        homes.add(region)
        nodes = [replace(node, region=region) if _belongs(node, cycle, neurons) else node for node in nodes]
    return graph.with_nodes(_together(graph, nodes, homes)) if homes else graph


def _of_one_neuron_joined(graph: Graph) -> list[set[str]]:
    """The cycles, those through one neuron as one: its membrane and its synapse may have a cycle each."""
    homes = networkx.Graph()
    found = cycles(graph)
    makers = graph.producers
    for k, cycle in enumerate(found):
        homes.add_node(k)
        members = (makers[name] for name in cycle if name in makers)
        homes.add_edges_from((k, node.module) for node in members if node.tick)
    groups = ([k for k in group if isinstance(k, int)] for group in networkx.connected_components(homes))
    return [set().union(*(found[k] for k in group)) for group in groups]


def _is_elementwise(node: Node) -> bool:
    return not node.tick and node.op in OPS and not OPS[node.op].synapse


def _belongs(node: Node, cycle: set[str], neurons: set[str]) -> bool:
    """Whether it is of the cycle, or of a neuron that is: a neuron's tick is not torn apart."""
    of_neuron = node.tick and node.module in neurons and node.region != "prologue"
    return of_neuron or not cycle.isdisjoint(node.outputs)


def _together(graph: Graph, nodes: list[Node], homes: set[str]) -> list[Node]:
    """The nodes in an order in which those of one cycle stand next to each other."""
    group: dict[int, int | str] = {}
    for k, node in enumerate(nodes):
        group[k] = next((home for home in (node.region, node.module) if home in homes), k)
    made = {name: group[k] for k, node in enumerate(nodes) for name in node.outputs}
    first: dict[int | str, int] = {}
    for k in range(len(nodes)):
        first.setdefault(group[k], k)
    initial = {register.value: register.initial for register in graph.registers}
    fed_by = {register.value: register.next for register in graph.registers}
    edges = networkx.DiGraph()
    edges.add_nodes_from(first)
    for k, node in enumerate(nodes):
        reads = (initial.get(use, use) for use in node.uses)
        edges.add_edges_from((made[name], group[k]) for name in reads if name in made and made[name] != group[k])
        held = (made[fed_by[use]] for use in node.uses if use in fed_by and not node.tick)
        edges.add_edges_from((home, group[k]) for home in held if isinstance(home, str) and home != group[k])
    try:
        order = {
            name: at for at, name in enumerate(networkx.lexicographical_topological_sort(edges, key=first.__getitem__))
        }
    except networkx.NetworkXUnfeasible:
        raise Unsupported("its feedback can't be cut into regions") from None
    return [nodes[k] for k in sorted(range(len(nodes)), key=lambda k: (order[group[k]], k))]
