"""Random numbers of ticks: kernels draw none, they read what torch's generator drew for all ticks before the loop.

So a seed gives the same spikes whatever the number of threads. On the CPU, uniform numbers are drawn in eager's order:
of a step that draws once a tick, they are eager's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from norse.compiler.errors import Unsupported
from norse.compiler.ir import Graph, Names, Node, Ref, Type
from norse.compiler.ops import OPS
from norse.compiler.passes.infer_types import infer_nodes


@dataclass(frozen=True)
class Draw:
    """One random number for each element of a tick's value of type `type`."""

    make: Callable[..., Tensor]
    type: Type

    def ahead(self, *leading: int, device: torch.device) -> Tensor:
        return self.make((*leading, *self.type.tick_axes), dtype=self.type.dtype, device=device)


def draws(node: Node) -> bool:
    """Whether a node draws random numbers."""
    if node.op == "custom":
        return any(draws(inner) for inner in node.attrs["_forward"].nodes)
    return node.op in OPS and OPS[node.op].draws is not None


def draw_ahead(graph: Graph, types: Mapping[str, Type]) -> tuple[Graph, dict[str, Draw]]:
    """The graph with random numbers as inputs behind its own, in the order in which it drew them."""
    if not any(draws(node) for node in graph.nodes):
        return graph, {}
    ahead = _Ahead(Names(graph.names))
    nodes = [made for node in graph.nodes for made in ahead.replaced(node, types)]
    return replace(graph, inputs=(*graph.inputs, *ahead.found), nodes=tuple(nodes)), ahead.found


class _Ahead:
    def __init__(self, names: Names) -> None:
        self.names = names
        self.found: dict[str, Draw] = {}

    def replaced(self, node: Node, types: Mapping[str, Type]) -> list[Node]:
        if not draws(node):
            return [node]
        if node.op == "custom":
            return [self._custom(node, types)]
        make = OPS[node.op].draws
        assert make is not None
        (like,) = node.uses
        drawn = self.names.fresh("drawn")
        self.found[drawn] = Draw(make, types[like])
        return reading(node, drawn, types[like].dtype, self.names)

    def _custom(self, node: Node, types: Mapping[str, Type]) -> Node:
        """The function of its arguments and of what it draws: forward and backward, which recorded the same draw."""
        forward, backward = node.attrs["_forward"], node.attrs["_backward"]
        inner = dict(zip(forward.inputs, (types[name] for name in node.uses), strict=True))
        infer_nodes(forward.nodes, inner)
        known: dict[str, str] = {}
        for call in forward.nodes:
            if not draws(call):
                continue
            if call.op == "custom":
                raise Unsupported("an autograd.Function that draws random numbers inside of another one")
            make = OPS[call.op].draws
            assert make is not None
            known[call.output] = self.names.fresh("drawn")
            self.found[known[call.output]] = Draw(make, inner[call.uses[0]])
        if any(draws(call) and call.outputs[0] not in known for call in backward.nodes):
            raise Unsupported("the backward of its autograd.Function draws random numbers")
        dtypes = {call.output: inner[call.uses[0]].dtype for call in forward.nodes if call.outputs[0] in known}
        extra = tuple(known.values())
        attrs: dict[str, Any] = {
            **node.attrs,
            "_forward": _with(forward, known, dtypes, len(forward.inputs)),
            "_backward": _with(backward, known, dtypes, len(forward.inputs)),
            "_gradients": (*node.attrs["_gradients"], *(False for _ in extra)),
        }
        return replace(node, inputs=(*node.inputs, *(Ref(name) for name in extra)), attrs=attrs)


def _with(graph: Graph, known: Mapping[str, str], dtypes: Mapping[str, torch.dtype], place: int) -> Graph:
    """The graph that reads its draws from inputs at `place`."""
    names = Names({*graph.names, *known.values()})
    nodes: list[Node] = []
    for node in graph.nodes:
        drawn = known.get(node.outputs[0])
        nodes += [node] if drawn is None else reading(node, drawn, dtypes[node.output], names)
    inputs = (*graph.inputs[:place], *known.values(), *graph.inputs[place:])
    return replace(graph, inputs=inputs, nodes=tuple(nodes))


def reading(node: Node, drawn: str, dtype: torch.dtype, names: Names) -> list[Node]:
    """What a node computes from its random numbers: of `bernoulli(%p)`, whether they are less than p."""
    if node.op != "bernoulli":
        return [replace(node, op="identity", inputs=(Ref(drawn),))]
    less = names.fresh("less")
    return [
        replace(node, op="lt", outputs=(less,), inputs=(Ref(drawn), *node.inputs)),
        replace(node, op="cast", inputs=(Ref(less), dtype)),
    ]
