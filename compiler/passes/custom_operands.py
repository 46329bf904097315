"""How a custom node reads its operands: as rows of a tick, as matrices of products, or after the loop alone."""

from collections.abc import Iterable
from dataclasses import dataclass

from norse.compiler.ir import Graph, Node


@dataclass(frozen=True)
class Operands:
    """`matrices` and `passive` are places among the operands, all others are rows.

    A passive operand is read by no tick. It is the input of a synapse, of which the backward makes the gradient of the
    weight, or that weight, or unused. `after` are the backward's products that lead to nothing but gradients of passive
    operands (`gradient @ W`): they are made for all ticks at once, when the loop is through.
    """

    matrices: frozenset[int]
    passive: frozenset[int]
    after: frozenset[str]


def operands_of(node: Node) -> Operands:
    """Of a custom node whose graphs are normalised."""
    count = len(node.inputs)
    forward, backward = _Uses(node.attrs["_forward"], count), _Uses(node.attrs["_backward"], count)
    rows = forward.rows | backward.rows
    gradients = [place for place, has in enumerate(node.attrs["_gradients"]) if has]
    targets = dict(zip(gradients, node.attrs["_backward"].outputs, strict=True))
    unread = {targets[place] for place in targets if place not in rows}
    after = frozenset(
        name for name in backward.products if (led_to := backward.leads_to(name)) and unread.issuperset(led_to)
    )
    matrices = frozenset(forward.matrices(()) | backward.matrices(after)) - rows
    passive = frozenset(range(count)) - rows - matrices
    return Operands(matrices, passive, after)


def passive_inputs(tick: Graph) -> frozenset[str]:
    """The inputs that no tick reads."""
    passive: set[str] = set()
    others = set(tick.outputs) | {register.next for register in tick.registers}
    for node in tick.nodes:
        places = operands_of(node).passive if node.op == "custom" else ()
        passive.update(use for place, use in enumerate(node.uses) if place in places)
        others.update(use for place, use in enumerate(node.uses) if place not in places)
    return frozenset(passive.intersection(tick.inputs) - others)


def matrices(nodes: Iterable[Node]) -> frozenset[str]:
    """What products inside of a loop read, those of customs too. (Of a network, of which no type is known.)"""
    found: set[str] = set()
    for node in nodes:
        if node.op == "linear":
            found.update(node.uses[1:2])
        elif node.op == "custom":
            found.update(node.uses[place] for place in operands_of(node).matrices)
    return frozenset(found)


class _Uses:
    """How one of a custom's graphs reads the first `count` of its inputs."""

    def __init__(self, graph: Graph, count: int) -> None:
        self.graph = graph
        self._place = {name: place for place, name in enumerate(graph.inputs[:count])}
        self._transposed = {node.output: node.uses[0] for node in graph.nodes if node.op == "transpose"}
        self._summed = self._summed_over_samples()  # shaped as a weight
        self.products = {node.output: node for node in graph.nodes if node.op == "linear"}
        self._outputs = frozenset(graph.outputs)
        self.rows = {self._place[name] for name in self._read_as_rows() if name in self._place}

    def _summed_over_samples(self) -> set[str]:
        found: set[str] = set()
        for node in self.graph.nodes:
            if node.op == "outer" or found.intersection(node.uses):
                found.update(node.outputs)
        return found

    def _read_as_rows(self) -> Iterable[str]:
        for node in self.graph.nodes:
            if node.op == "linear":
                yield from (node.uses[0], *node.uses[2:])
            elif node.op == "outer":
                yield node.uses[0]
            elif node.op != "transpose" and not self._summed.intersection(node.outputs):
                yield from node.uses

    def matrices(self, after: Iterable[str]) -> set[int]:
        inside = [node for name, node in self.products.items() if name not in set(after)]
        names = (self._transposed.get(node.uses[1], node.uses[1]) for node in inside)
        return {self._place[name] for name in names if name in self._place}

    def leads_to(self, name: str) -> set[str]:
        """The outputs that a value reaches."""
        reached = {name}
        for node in self.graph.nodes:
            if reached.intersection(node.uses):
                reached.update(node.outputs)
        return reached & self._outputs
