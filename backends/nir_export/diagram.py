"""A NIR graph as it is read: one level, checked, each node with its neighbours."""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx
import nir
import numpy as np

from norse.backends.nir_export.cycles import Edge, delayed_edges
from norse.backends.nir_export.delays import waits
from norse.backends.nir_export.layers import BY_PRIMITIVE as LAYERS
from norse.backends.nir_export.neurons import BY_PRIMITIVE as NEURONS


@dataclass(frozen=True)
class Diagram:
    """Nodes and edges of a graph whose subgraphs were put in its place, and which edges carry the last tick's value."""

    nodes: Mapping[str, Any]
    edges: tuple[Edge, ...]
    delayed: frozenset[Edge]
    metadata: Mapping[str, Any]

    def before(self, name: str) -> list[str]:
        return [source for source, target in self.edges if target == name]

    def after(self, name: str) -> list[str]:
        return [target for source, target in self.edges if source == name]

    def order(self) -> list[str]:
        """The nodes as they are computed in a tick, inputs first."""
        forward: networkx.DiGraph = networkx.DiGraph()
        forward.add_nodes_from(sorted(self.nodes, key=lambda name: not isinstance(self.nodes[name], nir.Input)))
        forward.add_edges_from(edge for edge in self.edges if edge not in self.delayed)
        return list(networkx.topological_sort(forward))

    def of(self, primitive: Any) -> list[str]:
        return [name for name, node in self.nodes.items() if isinstance(node, primitive)]


READ = (nir.Delay, *NEURONS, *LAYERS)  # the primitives that a node can be, besides ports and subgraphs


def read_diagram(graph: Any, dt: Callable[[Sequence[Any], Mapping[str, Any]], float]) -> tuple[Diagram, float]:
    """The graph in one level, and its time step, which `dt` finds from the nodes and the metadata.

    Raises ValueError, with the node's name, where the graph is none that a network can be made of.
    """
    nodes, edges = flattened(graph, "")
    for name, node in nodes.items():
        if not isinstance(node, nir.Input | nir.Output) and type(node) not in READ:
            known = ", ".join(sorted(kind.__name__ for kind in READ))
            raise ValueError(f"node {name!r}: expected one of {known}, got {type(node).__name__}")
    for edge, count in Counter(edges).items():
        if count > 1:  # edges are a set of pairs: to say one again says nothing
            repaired(f"edge {edge[0]!r} -> {edge[1]!r}: it is there {count} times; taken once")
    edges = list(dict.fromkeys(edges))
    inputs = [name for name, node in nodes.items() if isinstance(node, nir.Input)]
    outputs = [name for name, node in nodes.items() if isinstance(node, nir.Output)]
    if not inputs:
        raise ValueError("expected an Input node, got none")
    if not outputs:
        raise ValueError("expected an Output node, got none")
    fed = {target for _, target in edges}
    for name in nodes:
        if name not in fed and name not in inputs:
            raise ValueError(f"node {name!r} ({type(nodes[name]).__name__}): expected an edge into it, got none")
    for source, target in edges:
        for end, kind in ((target, nir.Input), (source, nir.Output)):
            if isinstance(nodes[end], kind):
                way = "into an Input" if kind is nir.Input else "out of an Output"
                raise ValueError(f"edge {source!r} -> {target!r}: expected no edge {way} of the graph")
    metadata = graph.metadata if isinstance(graph.metadata, dict) else {}
    step = dt(list(nodes.values()), metadata)
    stateless = frozenset(name for name, node in nodes.items() if type(node) not in (nir.Delay, *NEURONS))
    waiting = frozenset(name for name, node in nodes.items() if waits(node, step))
    return Diagram(nodes, tuple(edges), delayed_edges(inputs, edges, stateless, waiting), metadata), step


def flattened(graph: Any, prefix: str) -> tuple[dict[str, Any], list[Edge]]:
    """Subgraphs are put in place of their nodes: what enters one goes to where its Input goes."""
    nodes: dict[str, Any] = {}
    edges: list[Edge] = []
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            inner, inner_edges = flattened(node, f"{prefix}{name}.")
            nodes |= inner
            edges += inner_edges
        else:
            nodes[f"{prefix}{name}"] = node
    for source, target in graph.edges:
        for end in (source, target):
            if end not in graph.nodes:
                raise ValueError(f"edge {source!r} -> {target!r}: there is no node {end!r}")
        edges.append((_port(graph, source, prefix, nir.Output), _port(graph, target, prefix, nir.Input)))
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            for kind in (nir.Input, nir.Output):
                edges = _without(nodes, edges, _port(graph, name, prefix, kind))
    return nodes, edges


def _port(graph: Any, name: str, prefix: str, kind: Any) -> str:
    """A node's own name; of a subgraph, that of its Input or Output."""
    node = graph.nodes[name]
    if not isinstance(node, nir.NIRGraph):
        return f"{prefix}{name}"
    ports = [inner for inner, part in node.nodes.items() if isinstance(part, kind)]
    if len(ports) != 1:
        raise ValueError(f"graph {prefix + name!r}: expected one {kind.__name__} node, got {len(ports)}")
    return f"{prefix}{name}.{ports[0]}"


def _without(nodes: dict[str, Any], edges: list[Edge], name: str) -> list[Edge]:
    """The edges with what goes into a node connected to what it goes to."""
    del nodes[name]
    after = [target for source, target in edges if source == name]
    kept: list[Edge] = []
    for source, target in edges:
        if target == name:
            kept += [(source, further) for further in after]
        elif source != name:
            kept.append((source, target))
    return kept


def shape_of(node: Any, most: int) -> tuple[int, ...]:
    """The shape of one sample that an Input or Output node says, of so many values at most."""
    types = node.input_type if isinstance(node, nir.Input) else node.output_type
    value = next(iter(types.values()), None) if types else None
    if value is None:
        raise ValueError("expected a shape, got none")
    sizes = np.atleast_1d(np.asarray(value))
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or (sizes < 1).any():
        raise ValueError(f"expected a shape of positive integers, got {value}")
    shape = tuple(int(size) for size in sizes)
    if math.prod(shape) > most:
        raise ValueError(f"expected a shape of at most {most} values, got {list(shape)}")
    return shape


def repaired(what: str) -> None:
    """Says what was wrong with a file and has been put right."""
    warnings.warn(f"norse.from_nir: {what}", stacklevel=2)
