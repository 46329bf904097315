"""Takes out of custom functions what does not need to be inside of a loop over time.

What an autograd.Function computes from weights and parameters alone (`relu(W)`, `dt * tau_mem_inv`) becomes nodes in
front of it, which are hoisted into the prologue, and so does the product of its input with a weight, which runs for all
ticks at once. The function gets their results as further operands, to which no gradient leads: its backward says what
the gradients of its own operands are.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from enum import IntEnum
from typing import Any

from norse.compiler.build import identity
from norse.compiler.draws import draws
from norse.compiler.ir import Graph, Names, Node, Ref, substitute, substitute_inputs
from norse.compiler.ops import OPS


class _Depends(IntEnum):
    """On what a value depends, besides weights and parameters."""

    FIXED = 0  # on nothing
    INPUT = 1  # on the input of the tick
    STATE = 2  # on the state, or on gradients


def hoist_from_customs(graph: Graph, fixed: Collection[str], input_: Collection[str]) -> Graph:
    """Of a step's graph, `fixed` are its weights and parameters, `input_` is what else does not depend on its state."""
    depends = {name: _Depends.STATE for name in graph.inputs}
    depends |= dict.fromkeys(input_, _Depends.INPUT) | dict.fromkeys(fixed, _Depends.FIXED)
    hoisting = _Hoisting(Names(graph.names))
    nodes: list[Node] = []
    for node in graph.nodes:
        node_depends = max((depends[use] for use in node.uses), default=_Depends.FIXED)
        if draws(node):
            node_depends = _Depends.STATE
        elif node.op == "custom" and node_depends != _Depends.FIXED:
            node = hoisting.of(node, depends)
            nodes += hoisting.take()
        depends.update(dict.fromkeys(node.outputs, node_depends))
        nodes.append(node)
    return graph.with_nodes(nodes)


class _Hoisting:
    """Nodes that were taken out, each once."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._made: dict[Any, str] = {}
        self._new: list[Node] = []

    def take(self) -> list[Node]:
        new, self._new = self._new, []
        return new

    def of(self, node: Node, depends: Mapping[str, _Depends]) -> Node:
        """The custom node without what could be hoisted from it."""
        count = len(node.inputs)
        known = [depends[use] for use in node.uses]
        forward, of_forward = self._without(node.attrs["_forward"], node, known)
        backward, of_backward = self._without(node.attrs["_backward"], node, known)
        extra = tuple(dict.fromkeys((*of_forward.values(), *of_backward.values())))
        attrs = {
            **node.attrs,
            "_forward": _with_inputs(forward, of_forward, extra, count),
            "_backward": _with_inputs(backward, of_backward, extra, count),
            "_gradients": (*node.attrs["_gradients"], *(False for _ in extra)),
        }
        return replace(node, inputs=(*node.inputs, *map(Ref, extra)), attrs=attrs)

    def _without(self, graph: Graph, node: Node, known: list[_Depends]) -> tuple[Graph, dict[str, str]]:
        """The graph without its hoisted nodes; and of their values those that it reads, with their names outside."""
        graph = _needed(graph)
        depends = dict.fromkeys(graph.inputs, _Depends.STATE) | dict(zip(graph.inputs, known, strict=False))
        for inner in graph.nodes:
            of_inner = max((depends[use] for use in inner.uses), default=_Depends.FIXED)
            movable = inner.op in OPS and not draws(inner)
            depends.update(dict.fromkeys(inner.outputs, of_inner if movable else _Depends.STATE))
        leaving: set[str] = set()
        for inner in reversed(graph.nodes):  # with all that they are computed from
            if leaving.intersection(inner.outputs) or _leaves(inner, depends):
                leaving.update((*inner.outputs, *inner.uses))
        outer: dict[str, Any] = dict(zip(graph.inputs, node.inputs, strict=False))
        for inner in graph.nodes:
            if leaving.intersection(inner.outputs):
                outer[inner.output] = Ref(self._hoisted(inner, outer, node.module))
        rest = [inner for inner in graph.nodes if not leaving.intersection(inner.outputs)]
        read = dict.fromkeys((*(use for inner in rest for use in inner.uses), *graph.outputs))
        moved = {name: outer[name].name for name in read if name in leaving and name not in graph.inputs}
        one = {place: name for name, place in reversed(moved.items())}  # of what was computed twice, one name
        names = {name: Ref(one[place]) for name, place in moved.items()}
        nodes = tuple(substitute_inputs(inner, names) for inner in rest)
        outputs = tuple(names[name].name if name in names else name for name in graph.outputs)
        return replace(graph, nodes=nodes, outputs=outputs), {name: place for place, name in one.items()}

    def _hoisted(self, inner: Node, outer: Mapping[str, Any], module: str) -> str:
        operands = tuple(substitute(operand, outer) for operand in inner.inputs)
        key = inner.op, tuple(o.name if isinstance(o, Ref) else identity(o) for o in operands)
        if key not in self._made:
            name = self._names.fresh(inner.output)
            self._made[key] = name
            self._new.append(replace(substitute_inputs(inner, outer), outputs=(name,), module=module))
        return self._made[key]


def _leaves(node: Node, depends: Mapping[str, _Depends]) -> bool:
    """Whether to compute it ahead. A transpose is left where it is read: kernels read matrices either way."""
    if depends[node.outputs[0]] == _Depends.FIXED:
        return node.op != "transpose" and bool(node.uses)
    return node.op == "linear" and depends[node.outputs[0]] == _Depends.INPUT and _fixed_weight(node, depends)


def _fixed_weight(node: Node, depends: Mapping[str, _Depends]) -> bool:
    return depends[node.uses[1]] == _Depends.FIXED


def _with_inputs(graph: Graph, moved: Mapping[str, str], extra: tuple[str, ...], place: int) -> Graph:
    """The graph with `extra` inputs at `place`, by the names that the hoisted values have inside of it."""
    names, inside = Names(graph.names), {outer: inner for inner, outer in moved.items()}
    new = tuple(inside.get(name) or names.fresh(name) for name in extra)
    return replace(graph, inputs=(*graph.inputs[:place], *new, *graph.inputs[place:]))


def _needed(graph: Graph) -> Graph:
    """The graph without what none of its outputs needs."""
    alive = set(graph.outputs)
    for node in reversed(graph.nodes):
        if alive.intersection(node.outputs):
            alive.update(node.uses)
    return graph.with_nodes(node for node in graph.nodes if alive.intersection(node.outputs))
