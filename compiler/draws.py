"""Random numbers of ticks: drawn inside of a kernel, by a generator that counts, or all ahead of the loop, by torch.

Inside, a number is a function of a key, which torch's generator draws once for each run of the loop, and of tick,
sample, neuron and number of the draw (`c_family/philox.h`). So a seed gives the same spikes for all numbers of threads
and on all devices, and the backward draws again what it needs. Numbers that several neurons share come from torch.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from norse.compiler.errors import Unsupported
from norse.compiler.ir import Graph, Names, Node, Ref, Type, substitute_inputs
from norse.compiler.ops import OPS
from norse.compiler.passes.infer_types import infer_nodes

_AHEAD: Mapping[str, Callable[..., Tensor]] = {"uniform": torch.rand, "normal": torch.randn}
_BLOCK = 4  # words that the generator makes at once


@dataclass(frozen=True)
class Draw:
    """One random number for each element of a tick's value of type `type`, drawn ahead."""

    make: Callable[..., Tensor]
    type: Type

    def ahead(self, *leading: int, device: torch.device) -> Tensor:
        return self.make((*leading, *self.type.tick_axes), dtype=self.type.dtype, device=device)


@dataclass
class Drawn:
    """A tick that draws no more: its inputs stand for its random numbers, `ahead` and `key`, behind its own inputs."""

    graph: Graph
    ahead: dict[str, Draw] = field(default_factory=dict)
    key: str | None = None  # what the numbers that are drawn inside are made of; its type has the axes of one of them

    @property
    def inputs(self) -> tuple[str, ...]:
        return (*self.ahead, *(() if self.key is None else (self.key,)))


def draws(node: Node) -> bool:
    """Whether a node draws random numbers."""
    if node.op == "custom":
        return any(draws(inner) for inner in node.attrs["_forward"].nodes)
    return node.op in OPS and OPS[node.op].draws is not None


def new_key() -> Tensor:
    """64 random bits of torch's default generator, so that torch.manual_seed decides and every call differs."""
    return torch.randint(-(2**63), 2**63 - 1, (), dtype=torch.int64, device="cpu")


def draw_ahead(graph: Graph, types: Mapping[str, Type]) -> Drawn:
    """The graph with all random numbers as inputs, in the order in which it drew them."""
    return _without_draws(graph, types, None)


def draw_inside(graph: Graph, types: Mapping[str, Type], shape: tuple[int, ...]) -> Drawn:
    """The graph with `uniform` and `normal` in place of what draws a number for each element of a tick of `shape`."""
    return _without_draws(graph, types, shape)


def _without_draws(graph: Graph, types: Mapping[str, Type], inside: tuple[int, ...] | None) -> Drawn:
    if not any(draws(node) for node in graph.nodes):
        return Drawn(graph)
    taking = _Taking(Names(graph.names), inside)
    nodes = [made for node in graph.nodes for made in taking.replaced(node, types)]
    drawn = taking.drawn
    return replace(drawn, graph=replace(graph, inputs=(*graph.inputs, *drawn.inputs), nodes=tuple(nodes)))


class _Taking:
    """Takes the draws out of a graph. `inside`: the shape of those that a kernel draws."""

    def __init__(self, names: Names, inside: tuple[int, ...] | None) -> None:
        self.names, self._inside = names, inside
        self.drawn = Drawn(Graph((), (), ()))
        self._words = 0  # that draws inside have taken so far

    def replaced(self, node: Node, types: Mapping[str, Type]) -> list[Node]:
        if not draws(node):
            return [node]
        if node.op == "custom":
            return [self._custom(node, types)]
        return _reading(node, self._source(node, types), types[node.uses[0]].dtype, self.names)

    def _source(self, node: Node, types: Mapping[str, Type]) -> Node:
        """A node that gives the random numbers in another one, of an output of its own."""
        kind, like = OPS[node.op].draws, types[node.uses[0]]
        assert kind is not None
        if like.tick_axes != self._inside:
            name = self.names.fresh("drawn")
            self.drawn.ahead[name] = Draw(_AHEAD[kind], like)
            return Node("identity", ("",), (Ref(name),))
        if self.drawn.key is None:
            self.drawn.key = self.names.fresh("key")
        words = OPS[kind].words * (2 if like.dtype == torch.float64 else 1)
        self._words = -(-self._words // words) * words  # of one block: a block has a multiple of them
        slot, self._words = self._words, self._words + words
        return Node(kind, ("",), (Ref(self.drawn.key), slot, like.dtype))

    def _custom(self, node: Node, types: Mapping[str, Type]) -> Node:
        """The function of its arguments and of what it draws: forward and backward, which recorded the same draw."""
        forward, backward = node.attrs["_forward"], node.attrs["_backward"]
        inner = dict(zip(forward.inputs, (types[name] for name in node.uses), strict=True))
        infer_nodes(forward.nodes, inner)
        sources: dict[str, Node] = {}
        for call in forward.nodes:
            if draws(call):
                if call.op == "custom":
                    raise Unsupported("an autograd.Function that draws random numbers inside of another one")
                sources[call.output] = self._source(call, inner)
        if any(draws(call) and call.outputs[0] not in sources for call in backward.nodes):
            raise Unsupported("the backward of its autograd.Function draws random numbers")
        dtypes = {name: inner[name].dtype for name in sources}
        extra = tuple(dict.fromkeys(use for source in sources.values() for use in source.uses))
        attrs: dict[str, Any] = {
            **node.attrs,
            "_forward": _with(forward, sources, dtypes, extra, len(forward.inputs)),
            "_backward": _with(backward, sources, dtypes, extra, len(forward.inputs)),
            "_gradients": (*node.attrs["_gradients"], *(False for _ in extra)),
        }
        return replace(node, inputs=(*node.inputs, *(Ref(name) for name in extra)), attrs=attrs)


def _with(
    graph: Graph, sources: Mapping[str, Node], dtypes: Mapping[str, torch.dtype], extra: tuple[str, ...], place: int
) -> Graph:
    """The graph with its random numbers from `sources`, which read `extra` inputs at `place`."""
    inner = Names(graph.names)
    renamed = {name: inner.fresh(name) for name in extra}
    nodes: list[Node] = []
    for node in graph.nodes:
        source = sources.get(node.outputs[0])
        if source is None:
            nodes.append(node)
        else:
            operands = {name: Ref(new) for name, new in renamed.items()}
            nodes += _reading(node, substitute_inputs(source, operands), dtypes[node.output], inner)
    return replace(graph, inputs=(*graph.inputs[:place], *renamed.values(), *graph.inputs[place:]), nodes=tuple(nodes))


def _reading(node: Node, source: Node, dtype: torch.dtype, names: Names) -> list[Node]:
    """What a node computes from its random numbers: of `bernoulli(%p)`, whether they are less than p.

    Where p is no probability, torch raises an error, and kernels give NaN.
    """
    if node.op != "bernoulli":
        return [replace(node, op=source.op, inputs=source.inputs)]
    (p,) = node.inputs
    number, less, spike, low, high, right = map(names.fresh, ("number", "less", "spike", "low", "high", "right"))
    return [
        replace(node, op=source.op, outputs=(number,), inputs=source.inputs),
        replace(node, op="lt", outputs=(less,), inputs=(Ref(number), p)),
        replace(node, op="cast", outputs=(spike,), inputs=(Ref(less), dtype)),
        replace(node, op="ge", outputs=(low,), inputs=(p, 0)),
        replace(node, op="le", outputs=(high,), inputs=(p, 1)),
        replace(node, op="logical_and", outputs=(right,), inputs=(Ref(low), Ref(high))),
        replace(node, op="where", inputs=(Ref(right), Ref(spike), math.nan)),
    ]
