"""The edges of a graph that is written: which of them carry values of earlier ticks, and how a reader sees it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import networkx
import nir
import numpy as np

from norse.backends.nir_export.cycles import Edge, delayed_edges
from norse.backends.nir_export.delays import waits
from norse.backends.nir_export.neurons import NEURONS

Lagged = tuple[str, str, int]  # an edge, and how many ticks ago its value was
Nodes = dict[str, Any]

_STATEFUL = (nir.Delay, *(row.primitive for row in NEURONS))


def timed_edges(
    nodes: Nodes, lagged: list[Lagged], inputs: Sequence[str], shape: Callable[[str], tuple[int, ...]], dt: float
) -> list[Edge]:
    """The edges, in an order from which a reader sees which of them wait a tick.

    A value of the last tick that closes a cycle comes over an edge that a reader has to delay. Any other, or one
    that the reader would not find, or of several ticks ago, comes through a Delay of its own.

    Args:
        nodes: by name; Delays are added, and lengthened.
        lagged: the edges.
        inputs: the names of the Input nodes.
        shape: tells the shape of what a node gives.
        dt: time step in s.
    """
    lagged = _delays_lengthened(nodes, lagged, dt)
    loops: networkx.DiGraph = networkx.DiGraph([(a, b) for a, b, _ in lagged])
    place = {name: k for k, part in enumerate(networkx.strongly_connected_components(loops)) for name in part}
    twice = Counter((a, b) for a, b, _ in lagged)

    def told(edge: Lagged) -> bool:
        return edge[2] == 1 and place[edge[0]] == place[edge[1]] and twice[edge[:2]] == 1

    kept = _ordered(nodes, _through_delays(nodes, lagged, lambda edge: edge[2] > 0 and not told(edge), shape, dt), dt)
    delayed = frozenset((a, b) for a, b, lag in kept if lag)
    if understood(nodes, [(a, b) for a, b, _ in kept], inputs, dt) != delayed:
        kept = _ordered(nodes, _through_delays(nodes, kept, lambda edge: edge[2] > 0, shape, dt), dt)
    return [(a, b) for a, b, _ in kept]


def understood(nodes: Nodes, edges: Sequence[Edge], inputs: Sequence[str], dt: float) -> frozenset[Edge]:
    """The edges that a reader delays, those into Delays aside, which only cut the Delay in two."""
    stateless = frozenset(name for name, node in nodes.items() if type(node) not in _STATEFUL)
    waiting = frozenset(name for name, node in nodes.items() if waits(node, dt))
    found = delayed_edges(inputs, edges, stateless, waiting)
    return frozenset(edge for edge in found if edge[1] not in waiting)


def _delays_lengthened(nodes: Nodes, lagged: list[Lagged], dt: float) -> list[Lagged]:
    """What a Delay gets from some ticks ago it gets now, and waits longer."""
    for name, node in nodes.items():
        least = min((lag for _, target, lag in lagged if target == name), default=0)
        if isinstance(node, nir.Delay) and least:
            node.delay = (node.delay + np.float64(least * dt)).astype(node.delay.dtype)
            lagged = [(a, b, lag - least if b == name else lag) for a, b, lag in lagged]
    return lagged


def _through_delays(
    nodes: Nodes,
    lagged: list[Lagged],
    chosen: Callable[[Lagged], bool],
    shape: Callable[[str], tuple[int, ...]],
    dt: float,
) -> list[Lagged]:
    """The chosen edges come from new Delays, into which the old ones go."""
    kept: list[Lagged] = []
    added: list[Lagged] = []
    for edge in lagged:
        source, target, lag = edge
        if not chosen(edge):
            kept.append(edge)
            continue
        name, delay = f"{source}_delay" if lag == 1 else f"{source}_delay_{lag}", np.float32(lag * dt)
        while name in nodes and not _delays_alone(nodes[name], delay, source, name, [*lagged, *added]):
            name += "_"
        if name not in nodes:
            nodes[name] = nir.Delay(np.full(shape(source), delay))
            added.append((source, name, 0))
        kept.append((name, target, 0))
    return [*kept, *added]


def _delays_alone(node: Any, delay: Any, source: str, name: str, edges: Sequence[Lagged]) -> bool:
    """Whether a node of that name is the Delay that is wanted: by so much, of this source and no other."""
    into = [edge for edge in edges if edge[1] == name]
    return isinstance(node, nir.Delay) and bool((node.delay == delay).all()) and into == [(source, name, 0)]


def _ordered(nodes: Nodes, edges: list[Lagged], dt: float) -> list[Lagged]:
    """In the order of computation, those that wait aside."""
    forward: networkx.DiGraph = networkx.DiGraph()
    forward.add_nodes_from(nodes)
    forward.add_edges_from((a, b) for a, b, lag in edges if not lag and not waits(nodes[b], dt))
    place = {name: index for index, name in enumerate(networkx.lexicographical_topological_sort(forward, key=str))}
    return sorted(edges, key=lambda edge: place[edge[1]])
