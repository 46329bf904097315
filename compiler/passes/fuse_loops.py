"""Fuse loops: a neuron's elementwise nodes and registers become loops, as few as the synapses between them allow.

A value's depth is the number of batched nodes on the longest way to it. Nodes of one neuron and one depth have no
batched node between them, so they fit into one loop, whole cycles included. Those that nothing connects and whose ticks
have other shapes (a trace at every synapse, beside the neurons) get a loop each.
"""

from dataclasses import replace

import networkx

from norse.compiler.ir import TIME, Graph, Node
from norse.compiler.ops import broadcast
from norse.compiler.passes.feedback import STEPPED

LOOP = "loop"

Axes = tuple[str | int, ...]


def fuse_loops(graph: Graph) -> Graph:
    """Gives the nodes that have no region yet the region `loop <module>`, and puts each neuron's regions in order."""
    depth = _depths(graph)
    ordered: list[Node] = []
    run: list[Node] = []
    for node in graph.nodes:
        if run and (not node.tick or node.region == "prologue" or node.module != run[-1].module):
            ordered += _in_order(run, depth, graph)
            run = []
        if node.tick and node.region != "prologue":
            run.append(node)
        else:
            ordered.append(node)
    return graph.with_nodes([*ordered, *_in_order(run, depth, graph)])


def _in_order(neuron: list[Node], depth: dict[str, int], graph: Graph) -> list[Node]:
    """One neuron's nodes: at each depth its loops, then the batched nodes that read them."""
    shape = _shapes_of_loops([node for node in neuron if not node.region], graph)
    loops = dict.fromkeys((depth[n.outputs[0]], shape[n.outputs[0]]) for n in neuron if not n.region)
    number = {loop: index for index, loop in enumerate(sorted(loops, key=lambda loop: loop[0]))}

    def placed(node: Node) -> Node:
        if node.region:
            return node
        index = number[depth[node.outputs[0]], shape[node.outputs[0]]]
        return replace(node, region=f"{LOOP} {node.module}{f'.{index}' if index else ''}".strip())

    def key(node: Node) -> tuple[int, bool, int]:
        at = depth[node.outputs[0]]
        return at, bool(node.region), 0 if node.region else number[at, shape[node.outputs[0]]]

    if any(node.region.startswith(STEPPED) for node in neuron):
        return neuron
    return [placed(node) for node in sorted(neuron, key=key)]


def _shapes_of_loops(nodes: list[Node], graph: Graph) -> dict[str, Axes]:
    """For every value the shape of a tick of all that is connected with it."""
    made = {name for node in nodes for name in node.outputs}
    inside = made | {register.value for register in graph.registers if register.next in made}
    edges: networkx.Graph = networkx.Graph()
    edges.add_nodes_from(made)
    edges.add_edges_from((use, name) for node in nodes for use in node.uses for name in node.outputs if use in inside)
    edges.add_edges_from((node.outputs[0], name) for node in nodes for name in node.outputs)
    edges.add_edges_from((r.value, r.next) for r in graph.registers if r.next in made)
    shapes: dict[str, Axes] = {}
    for component in networkx.connected_components(edges):
        shapes.update(dict.fromkeys(component, broadcast(*(graph.types[name] for name in component))))
    return {name: tuple(axis for axis in axes if axis != TIME) for name, axes in shapes.items()}


def _depths(graph: Graph) -> dict[str, int]:
    """The depth of every value, as late as its own neuron's other values allow; all of a cycle have the same."""
    edges = networkx.DiGraph(graph.to_networkx())
    edges.add_edges_from((register.value, register.next) for register in graph.registers)  # read and fed in one loop
    barriers = {name for node in graph.nodes if node.region and node.region != "prologue" for name in node.outputs}
    module = {
        name: node.module for node in graph.nodes if node.tick and node.region != "prologue" for name in node.outputs
    }
    components = networkx.condensation(edges)
    members = components.nodes.data("members")
    order = list(networkx.topological_sort(components))
    depth: dict[int, int] = {}
    for component in order:
        before = (depth[c] + any(name in barriers for name in members[c]) for c in components.predecessors(component))
        depth[component] = max(before, default=0)
    home = {c: {module.get(name) for name in members[c]} - {None} for c in order}
    for component in reversed(order):
        if home[component] and barriers.isdisjoint(members[component]):
            later = (depth[c] for c in components.successors(component) if home[c] & home[component])
            depth[component] = max(depth[component], min(later, default=0))
    return {name: depth[components.graph["mapping"][name]] for name in edges}
