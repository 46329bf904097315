"""Submodules as graphs of their own: what a module's nodes are, inside of one node of the graph around it."""

from collections.abc import Mapping, Sequence
from typing import Any

import networkx
import nir
import numpy as np

from norse.backends.nir_export.cycles import Edge

Shape = tuple[int, ...]


def nested(
    nodes: Mapping[str, Any], edges: Sequence[Edge], paths: Mapping[str, tuple[str, ...]], shapes: Mapping[str, Shape]
) -> tuple[dict[str, Any], list[Edge]]:
    """The nodes and edges with a NIRGraph for each submodule that can be one.

    It can if it holds two nodes or more, if what enters it goes to the same of its nodes from everywhere, if what
    leaves it comes from the same of its nodes, and if no cycle passes its border: which edge of one waits would then
    depend on how a reader orders the two levels.

    Args:
        nodes: of one level.
        edges: between them.
        paths: the modules that a node is in, outermost first, its own last.
        shapes: of what each node gives, of one sample.

    Returns:
        Nodes and edges of the outer level.
    """
    made, outer = dict(nodes), list(edges)
    for module in dict.fromkeys(path[0] for path in paths.values() if len(path) > 1):
        inside = [name for name in nodes if len(paths.get(name, ())) > 1 and paths[name][0] == module]
        if len(inside) > 1 and has_one_door(inside, outer) and module not in made:
            last = next(a for a, b in outer if a in inside and b not in inside)
            made, outer = _enclosed(module, inside, made, outer, paths, shapes)
            shapes = {**shapes, module: shapes[last]}
    return made, outer


def has_one_door(inside: Sequence[str], edges: Sequence[Edge]) -> bool:
    """Whether one value enters these nodes and one leaves them, neither as part of a cycle."""
    part = set(inside)
    entering = [edge for edge in edges if edge[1] in part and edge[0] not in part]
    leaving = [edge for edge in edges if edge[0] in part and edge[1] not in part]
    whole: networkx.DiGraph = networkx.DiGraph(edges)
    place = {name: k for k, found in enumerate(networkx.strongly_connected_components(whole)) for name in found}
    if not entering or not leaving or any(place[a] == place[b] for a, b in (*entering, *leaving)):
        return False
    return _is_product(entering) and _is_product(leaving)


def _is_product(edges: Sequence[Edge]) -> bool:
    sources, targets = {a for a, _ in edges}, {b for _, b in edges}
    return len(set(edges)) == len(sources) * len(targets)


def _enclosed(
    module: str,
    inside: Sequence[str],
    nodes: Mapping[str, Any],
    edges: Sequence[Edge],
    paths: Mapping[str, tuple[str, ...]],
    shapes: Mapping[str, Shape],
) -> tuple[dict[str, Any], list[Edge]]:
    part = set(inside)
    short = {name: _without(name, module, part) for name in inside}
    first = next(a for a, b in edges if b in part and a not in part)
    last = next(a for a, b in edges if a in part and b not in part)
    entry, leave = free_name("input", short.values()), free_name("output", short.values())
    inner: dict[str, Any] = {entry: nir.Input({"input": np.array(shapes[first])})}
    inner |= {short[name]: nodes[name] for name in inside}
    inner[leave] = nir.Output({"output": np.array(shapes[last])})
    within, outer = [], []
    for a, b in edges:
        if a in part or b in part:
            within.append((short[a] if a in part else entry, short[b] if b in part else leave))
        if a not in part or b not in part:
            outer.append((module if a in part else a, module if b in part else b))
    inner_paths = {short[name]: paths[name][1:] for name in inside}
    inner_shapes = {short[name]: shapes[name] for name in inside} | {entry: shapes[first]}
    inner_nodes, inner_edges = nested(inner, list(dict.fromkeys(within)), inner_paths, inner_shapes)
    graph = nir.NIRGraph(inner_nodes, inner_edges, metadata={}, type_check=False)
    kept: dict[str, Any] = {}
    for name, node in nodes.items():
        if name == inside[0]:
            kept[module] = graph
        if name not in part:
            kept[name] = node
    return kept, list(dict.fromkeys(outer))


def _without(name: str, module: str, others: set[str]) -> str:
    short = name.removeprefix(f"{module}_")
    taken = short in others and not short.startswith(f"{module}_")  # else that one is shortened too
    return short if short and not taken else name


def free_name(wish: str, taken: Any) -> str:
    """A name that is not taken."""
    while wish in taken:
        wish += "_"
    return wish
