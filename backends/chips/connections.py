"""Who is connected with whom in a NIR graph, and by how many synapses: counted by running ones through it.

Every layer without a state is linear, and with 1 in place of every weight that isn't zero it counts: ones in front of
it give the number of connections into each of its outputs, and the gradient of their sum the number out of each input.
That holds through strides, paddings, groups, pools and branches.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import networkx
import nir
import torch
from torch import Tensor, nn

from norse.backends.nir_export.diagram import Diagram
from norse.backends.nir_export.layers import BY_PRIMITIVE as LAYERS
from norse.backends.nir_export.neurons import BY_PRIMITIVE as NEURONS

Shape = tuple[int, ...]
NEURON_KINDS = (*NEURONS, nir.Threshold)  # what sends events
WEIGHTED_KINDS = (nir.Linear, nir.Affine, nir.Conv1d, nir.Conv2d)
MOST_VALUES = 2**24  # of one node's output, which is far more than any chip here has neurons


@dataclass(frozen=True)
class Connection:
    """Synapses from an input or a layer of neurons to a layer of neurons.

    Args:
        source: an Input node or neurons.
        target: neurons.
        synapses: how many there are, zeros aside.
        senders: how many of the source have one.
    """

    source: str
    target: str
    synapses: int
    senders: int


@dataclass(frozen=True)
class Counted:
    """What comes out of the counting, by the names of nodes.

    Args:
        taken: the shape of what a node takes.
        maps: the same, of what was flattened as it was before.
        given: the shape of what it gives.
        fan_in: synapses into the neuron of a layer that has most.
        fan_out: out of the neuron, or input, that has most.
        hidden_fan_out: of those, to hidden neurons.
        connections: between layers.
    """

    taken: Mapping[str, Shape]
    maps: Mapping[str, Shape]
    given: Mapping[str, Shape]
    fan_in: Mapping[str, int]
    fan_out: Mapping[str, int]
    hidden_fan_out: Mapping[str, int]
    connections: tuple[Connection, ...]


def count(diagram: Diagram, shapes: Mapping[str, Shape], outputs: frozenset[str]) -> Counted:
    """Counts the synapses of a graph whose inputs and neurons have these shapes; `outputs` are its last neurons."""
    cut = [name for name, node in diagram.nodes.items() if isinstance(node, (nir.Input, *NEURON_KINDS))]
    for name in cut:
        _small(name, shapes[name])
    ones = {name: torch.ones(shapes[name], dtype=torch.float64, requires_grad=True) for name in cut}
    given: dict[str, Tensor] = dict(ones)
    taken: dict[str, Tensor] = {}
    maps: dict[str, Shape] = {name: shapes[name] for name in cut}
    edges = _without_loops(diagram, set(cut))
    for name in networkx.lexicographical_topological_sort(_graph(diagram, edges, set(cut)), key=str):
        node = diagram.nodes[name]
        if isinstance(node, nir.Input):
            continue
        sources = [source for source in diagram.before(name) if (source, name) in edges]
        if not sources:  # what only comes round a loop without neurons
            sources = diagram.before(name)[:1]
            given[sources[0]] = torch.zeros(shapes[sources[0]], dtype=torch.float64)
            maps[sources[0]] = shapes[sources[0]]
        taken[name] = torch.stack(torch.broadcast_tensors(*(given[source] for source in sources))).sum(0)
        seen = maps[sources[0]]
        if name in ones or isinstance(node, nir.Output):
            maps.setdefault(name, seen)
            continue
        given[name] = _counted(node, taken[name], [diagram.nodes[after] for after in diagram.after(name)])
        maps[name] = seen if isinstance(node, nir.Flatten) else tuple(given[name].shape)
        _small(name, tuple(given[name].shape))
    targets = [name for name in cut if name in taken and not isinstance(diagram.nodes[name], nir.Input)]
    connections: list[Connection] = []
    fan_out = {name: torch.zeros(shapes[name], dtype=torch.float64) for name in cut}
    hidden_fan_out = {name: torch.zeros(shapes[name], dtype=torch.float64) for name in cut}
    for target in targets:
        total = taken[target].expand(shapes[target]).sum()
        out_of = torch.autograd.grad(total, list(ones.values()), allow_unused=True, retain_graph=True)
        for source, synapses in zip(ones, out_of, strict=True):
            if synapses is None:
                continue
            senders = int((synapses > 0).sum())
            connections.append(Connection(source, target, int(synapses.sum()), senders))
            fan_out[source] += synapses
            if target not in outputs:
                hidden_fan_out[source] += synapses
    first = {name: maps[diagram.before(name)[0]] for name in taken if diagram.before(name)[0] in maps}
    return Counted(
        {name: tuple(value.shape) for name, value in taken.items()},
        first,
        {name: tuple(value.shape) for name, value in given.items()},
        {name: int(taken[name].max()) for name in targets},
        {name: int(value.max()) for name, value in fan_out.items()},
        {name: int(value.max()) for name, value in hidden_fan_out.items()},
        tuple(connections),
    )


def _small(name: str, shape: Shape) -> None:
    if math.prod(shape) > MOST_VALUES:
        raise ValueError(f"norse.check: node {name!r}: expected at most {MOST_VALUES:,} values, got {list(shape)}")


def _graph(diagram: Diagram, edges: set[tuple[str, str]], cut: set[str]) -> Any:
    graph: Any = networkx.DiGraph()
    graph.add_nodes_from(diagram.nodes)
    graph.add_edges_from(edge for edge in edges if edge[0] not in cut)
    return graph


def _without_loops(diagram: Diagram, cut: set[str]) -> set[tuple[str, str]]:
    """All edges; of a loop without a neuron, the edge that waits a tick is left out: such a loop is gone round once."""
    edges = set(diagram.edges)
    if networkx.is_directed_acyclic_graph(_graph(diagram, edges, cut)):
        return edges
    return {edge for edge in edges if edge not in diagram.delayed or edge[0] in cut}


def _counted(node: Any, ones: Tensor, after: list[Any]) -> Tensor:
    """What a node without a state makes of counts."""
    if isinstance(node, nir.Scale | nir.Delay):
        return ones
    if isinstance(node, nir.Flatten) and any(
        isinstance(other, nir.Linear | nir.Affine) and other.weight.shape[1] == ones.numel() for other in after
    ):
        return ones.flatten()  # also where a writer counted the batch among its dimensions
    module: Any = LAYERS[type(node)].read(node).double()
    if isinstance(node, WEIGHTED_KINDS):
        module.weight = nn.Parameter((module.weight != 0).double(), requires_grad=False)
        module.bias = None
    elif isinstance(node, nir.AvgPool2d):
        module.divisor_override = 1
    return module(ones[None])[0]  # type: ignore[no-any-return]
