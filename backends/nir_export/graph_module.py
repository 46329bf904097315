"""A NIR graph that is no chain, as a module of one tick: branches, sums, and cycles that take one tick."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from norse.backends.nir_export.cycles import Edge
from norse.torch.module.stateful import is_stateful


class GraphState(NamedTuple):
    """State of a `GraphModule`.

    Args:
        modules: the state of each module, in their order; None for stateless ones.
        delayed: the last tick's values on the edges that take a tick, in their order.
    """

    modules: list[Any]
    delayed: list[Tensor]


class GraphModule(torch.nn.Module):
    """One tick of a graph of modules, [B, ...] -> [B, ...].

    Args:
        modules: the nodes in the order in which they run, by their names in the graph.
        edges: (from, to); what comes in is added up, in this order.
        delayed: those of the edges that carry the last tick's value (0 before the first), with one sample's shape.
        outputs: the name of each output, and the nodes that it is the sum of.
        inputs: the names of the inputs.

    Returns:
        `forward(x, state=None)` gives (output, GraphState). Several inputs are a dictionary of them by name, and so are
        several outputs.

    Raises:
        ValueError: from forward, if the dictionary has other names than the inputs.

    Example:
        >>> skip = GraphModule({"a": torch.nn.Identity()}, [("in", "a")], {}, {"out": ["a", "in"]}, ["in"])
        >>> skip(torch.ones(1, 2))
        (tensor([[2., 2.]]), GraphState(modules=[None], delayed=[]))
    """

    def __init__(
        self,
        modules: Mapping[str, torch.nn.Module],
        edges: Sequence[Edge],
        delayed: Mapping[Edge, tuple[int, ...]],
        outputs: Mapping[str, Sequence[str]],
        inputs: Sequence[str],
    ) -> None:
        super().__init__()
        self.attributes: dict[str, str] = {}
        for name, module in modules.items():
            attribute = attribute_name(name, self.attributes.values())
            self.attributes[name] = attribute
            self.add_module(attribute, module)
        self.edges, self.delayed, self.outputs = tuple(edges), dict(delayed), dict(outputs)
        self.inputs = tuple(inputs)

    def extra_repr(self) -> str:
        arrows = (f"{a} {'-1 tick->' if (a, b) in self.delayed else '->'} {b}" for a, b in self.edges)
        return ", ".join(arrows)

    def forward(self, x: Any, state: GraphState | None = None) -> tuple[Any, GraphState]:
        """One tick: input(s) and state (or None) -> output(s) and state."""
        values: dict[str, Tensor] = dict(x) if isinstance(x, Mapping) else {self.inputs[0]: x}
        if values.keys() != set(self.inputs):
            got = sorted(values) if isinstance(x, Mapping) else type(x).__name__
            raise ValueError(f"GraphModule: argument x: expects a dictionary of {list(self.inputs)}, got {got}")
        if state is None:
            first = values[self.inputs[0]]
            zeros = [first.new_zeros(first.shape[0], *shape) for shape in self.delayed.values()]
            state = GraphState([None] * len(self.attributes), zeros)
        last = dict(zip(self.delayed, state.delayed, strict=True))
        states = []
        for (name, attribute), before in zip(self.attributes.items(), state.modules, strict=True):
            incoming = [last[a, b] if (a, b) in last else values[a] for a, b in self.edges if b == name]
            module = getattr(self, attribute)
            if is_stateful(module):
                values[name], after = module(_sum(incoming), before)
            else:
                values[name], after = module(_sum(incoming)), None
            states.append(after)
        results = {name: _sum([values[source] for source in sources]) for name, sources in self.outputs.items()}
        output = results if len(results) > 1 else next(iter(results.values()))
        return output, GraphState(states, [values[source] for source, _ in self.delayed])


def attribute_name(name: str, taken: Any = ()) -> str:
    """A node's name as torch takes it for a submodule."""
    wish = name.replace(".", "_") or "node"
    wish = f"node_{wish}" if hasattr(torch.nn.Module, wish) or wish in _RESERVED else wish
    attribute, count = wish, 1
    while attribute in taken:
        attribute, count = f"{wish}_{count}", count + 1
    return attribute


_RESERVED = ("attributes", "edges", "delayed", "inputs", "outputs", "training", "return_hidden")


def _sum(values: Sequence[Tensor]) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total
