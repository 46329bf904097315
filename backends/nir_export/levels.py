"""Modules of a network that was read in one level, put together again as the graphs in graphs that they came from."""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx
import nir
from torch import nn

import norse.torch as snn
from norse.backends.nir_export.cycles import Edge
from norse.backends.nir_export.graph_module import GraphModule, attribute_name
from norse.backends.nir_export.nested import free_name, has_one_door

Path = tuple[str, ...]


def paths_of(graph: Any, inside: Path = ()) -> dict[str, Path]:
    """Of each node in one level, with its graphs' names before its own, the graphs that it is in, outermost first.

    A graph of one node counts as that node: `to_nir` writes no such graph.
    """
    found: dict[str, Path] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            inner = paths_of(node, (*inside, name))
            found |= inner if len(inner) > 1 else dict.fromkeys(inner, inside)
        elif not inside or not isinstance(node, nir.Input | nir.Output):
            found[".".join((*inside, name))] = inside
    return found


@dataclass(frozen=True)
class Level:
    """Modules by their names, in the order in which they run, and what leads to what.

    Args:
        modules: the nodes.
        paths: the graphs that a node is in, inside of this level.
        edges: between nodes, from inputs and into outputs.
        delayed: those of them that carry the last tick's value, with its shape.
        inputs: names of what comes in.
        outputs: names of what goes out.
    """

    modules: Mapping[str, nn.Module]
    paths: Mapping[str, Path]
    edges: Sequence[Edge]
    delayed: Mapping[Edge, tuple[int, ...]]
    inputs: Sequence[str]
    outputs: Sequence[str]

    def module(self) -> nn.Module:
        """One module of all: a chain as a SequentialState, another graph as a GraphModule."""
        level = self
        for name in dict.fromkeys(path[0] for path in self.paths.values() if path):
            inside = [node for node in level.modules if level.paths[node][:1] == (name,)]
            part = set(inside)
            waits = any((a in part) != (b in part) for a, b in level.delayed)  # at the border: nowhere to wait there
            if name not in level.modules and not waits and has_one_door(inside, level.edges):
                level = level._with(name, inside)
        return level._built()

    def _with(self, name: str, inside: Sequence[str]) -> "Level":
        """The level in which these nodes are one."""
        part = set(inside)
        short = {node: node.removeprefix(f"{name}.") for node in inside}
        entry, leave = free_name("input", short.values()), free_name("output", short.values())
        within: dict[Edge, None] = {}
        outer: dict[Edge, None] = {}
        for a, b in self.edges:
            if a in part or b in part:
                within[short.get(a, entry), short.get(b, leave)] = None
            if a not in part or b not in part:
                outer[name if a in part else a, name if b in part else b] = None
        inner = Level(
            {short[node]: self.modules[node] for node in inside},
            {short[node]: self.paths[node][1:] for node in inside},
            list(within),
            {(short[a], short[b]): shape for (a, b), shape in self.delayed.items() if a in part},
            [entry],
            [leave],
        )
        modules: dict[str, nn.Module] = {}
        for node, module in self.modules.items():
            if node not in part:
                modules[node] = module
            elif name not in modules:
                modules[name] = inner.module()
        paths = {node: path for node, path in self.paths.items() if node not in part} | {name: ()}
        delayed = {edge: shape for edge, shape in self.delayed.items() if edge[0] not in part}
        return Level(_in_order(modules, outer, delayed), paths, list(outer), delayed, self.inputs, self.outputs)

    def _built(self) -> nn.Module:
        if not self.delayed and self._is_chain():
            taken: OrderedDict[str, nn.Module] = OrderedDict()
            for name, module in self.modules.items():
                taken[attribute_name(name, taken)] = module
            return snn.SequentialState(taken)
        outputs = {sink: [a for a, b in self.edges if b == sink] for sink in self.outputs}
        edges = [(a, b) for a, b in self.edges if b not in self.outputs]
        return GraphModule(self.modules, edges, self.delayed, outputs, self.inputs)

    def _is_chain(self) -> bool:
        into, out = Counter(b for _, b in self.edges), Counter(a for a, _ in self.edges)
        ends = len(self.inputs) == len(self.outputs) == 1
        single = all(into[name] == out[name] == 1 for name in self.modules)
        return ends and single and out[self.inputs[0]] == into[self.outputs[0]] == 1


def _in_order(
    modules: Mapping[str, nn.Module], edges: Mapping[Edge, None], delayed: Mapping[Edge, Any]
) -> dict[str, nn.Module]:
    forward: networkx.DiGraph = networkx.DiGraph()
    forward.add_nodes_from(modules)
    forward.add_edges_from((a, b) for a, b in edges if (a, b) not in delayed and a in modules and b in modules)
    place = {name: k for k, name in enumerate(modules)}
    order = networkx.lexicographical_topological_sort(forward, key=place.__getitem__)
    return {name: modules[name] for name in order}
