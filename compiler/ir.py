"""The IR: an immutable graph of named values, the same for the network level and the tick level.

Every node describes one tick. Nothing crosses a tick but a `Register`: read, it gives what its `next` value was one
tick ago, or its `initial` value at the first tick. Read registers as sources and the nodes are in topological order.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import EllipsisType
from typing import Any, Union

import networkx
import torch

TIME, BATCH = "T", "B"


@dataclass(frozen=True, slots=True)
class Type:
    """What a value is: its dtype, its named axes (sizes of features are numbers), and whether it is 0/1."""

    dtype: torch.dtype
    axes: tuple[str | int, ...] = ()
    spike: bool = False

    @property
    def over_time(self) -> bool:
        return TIME in self.axes

    @property
    def tick_axes(self) -> tuple[str | int, ...]:
        """The axes that one tick has: all but time."""
        return tuple(axis for axis in self.axes if axis != TIME)

    def __str__(self) -> str:
        kind = "spike" if self.spike else "analog"
        dtype = "" if self.dtype == torch.float32 else f" {str(self.dtype).removeprefix('torch.')}"
        return f"{kind}[{', '.join(map(str, self.axes))}]{dtype}"


@dataclass(frozen=True, slots=True)
class Ref:
    """An operand that is another node's (or an input's, or a register's) value."""

    name: str

    def __str__(self) -> str:
        return f"%{self.name}"


# A node's operand: a value, or a constant of the trace (number, string, dtype, None, part of an index, or a tuple of
# operands).
Operand = Union[  # noqa: UP007
    Ref, int, float, bool, str, None, torch.dtype, slice, EllipsisType, tuple["Operand", ...]
]


@dataclass(frozen=True, slots=True)
class Node:
    """One operation of one tick.

    `module` is the path of the module that it belongs to ("" is the root); `tick` says that it is part of a neuron's
    step; `region` is how it will run, once the passes have decided.
    """

    op: str
    outputs: tuple[str, ...]
    inputs: tuple[Operand, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    module: str = ""
    tick: bool = False
    region: str = ""

    @property
    def output(self) -> str:
        (name,) = self.outputs
        return name

    @property
    def uses(self) -> tuple[str, ...]:
        """The names of the values that it reads, in order."""
        return tuple(refs(self.inputs))


@dataclass(frozen=True, slots=True)
class Register:
    """The only thing that crosses a tick: `value` is `initial` at the first tick, then the last tick's `next`."""

    value: str
    initial: str
    next: str


@dataclass(frozen=True)
class Graph:
    """`inputs`, then `nodes` in topological order, then `outputs`; `types` where they are known.

    `notes` are remarks by value, for readers: printed behind the node that makes the value.
    """

    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    registers: tuple[Register, ...] = ()
    types: Mapping[str, Type] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        from norse.compiler.text import print_graph

        return print_graph(self)

    @property
    def names(self) -> set[str]:
        made = {name for node in self.nodes for name in node.outputs}
        return made | set(self.inputs) | {register.value for register in self.registers}

    @property
    def producers(self) -> dict[str, Node]:
        return {name: node for node in self.nodes for name in node.outputs}

    def with_nodes(self, nodes: Iterable[Node]) -> "Graph":
        return replace(self, nodes=tuple(nodes))

    def with_types(self, types: Mapping[str, Type]) -> "Graph":
        return replace(self, types=dict(types))

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Draws the graph as .svg, .png, .pdf or .dot, with pydot and Graphviz; dashed edges lead to the next tick."""
        from norse.compiler.draw import draw

        draw(self, path)

    def to_networkx(self) -> networkx.MultiDiGraph:
        """The graph for networkx: a vertex a value, with its `node` and `type`; an edge a use. The edge that closes a
        register, from its next value to its read, has `tick=True`."""
        graph: networkx.MultiDiGraph = networkx.MultiDiGraph()
        for name in self.inputs:
            graph.add_node(name, op="input", type=self.types.get(name))
        for register in self.registers:
            graph.add_node(register.value, op="register", type=self.types.get(register.value))
            graph.add_edge(register.initial, register.value, tick=False)
        for node in self.nodes:
            for name in node.outputs:
                graph.add_node(name, op=node.op, node=node, type=self.types.get(name))
                graph.add_edges_from((use, name, {"tick": False}) for use in node.uses)
        graph.add_edges_from((register.next, register.value, {"tick": True}) for register in self.registers)
        return graph


def refs(operand: Operand) -> Iterable[str]:
    """The names that an operand, or a tuple of operands, reads."""
    if isinstance(operand, Ref):
        yield operand.name
    elif isinstance(operand, tuple):
        for part in operand:
            yield from refs(part)


def substitute(operand: Operand, mapping: Mapping[str, Any]) -> Operand:
    """The operand with every value in `mapping` replaced by what it maps to."""
    if isinstance(operand, Ref):
        return mapping.get(operand.name, operand)  # type: ignore[no-any-return]
    if isinstance(operand, tuple):
        return tuple(substitute(part, mapping) for part in operand)
    return operand


def substitute_inputs(node: Node, mapping: Mapping[str, Operand]) -> Node:
    return replace(node, inputs=tuple(substitute(operand, mapping) for operand in node.inputs))


class Names:
    """Gives names that are not taken: `v`, `v_1`, `v_2`, ..."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def fresh(self, wish: str) -> str:
        name, count = wish, self._next.get(wish, 0)
        while name in self._taken:
            count += 1
            name = f"{wish}_{count}"
        self._next[wish] = count
        self._taken.add(name)
        return name


def inline(
    callee: Graph, arguments: Mapping[str, Operand], results: Mapping[str, str], names: Names, module: str
) -> tuple[list[Node], dict[str, Operand]]:
    """A step's nodes with `arguments` for its inputs; and what each of its values is called now.

    `results` are the names that some of its values get; the others get fresh ones.
    """
    mapping: dict[str, Operand] = dict(arguments)
    nodes = []
    for node in callee.nodes:
        outputs = tuple(results.get(name) or names.fresh(name) for name in node.outputs)
        nodes.append(replace(substitute_inputs(node, mapping), outputs=outputs, module=module, tick=True))
        mapping.update({old: Ref(new) for old, new in zip(node.outputs, outputs, strict=True)})
    return nodes, mapping


def renamed(graph: Graph, mapping: Mapping[str, str]) -> Graph:
    """The graph with other names for its values."""
    operands = {old: Ref(new) for old, new in mapping.items()}
    nodes = (
        replace(substitute_inputs(node, operands), outputs=tuple(mapping[name] for name in node.outputs))
        for node in graph.nodes
    )
    return Graph(
        tuple(mapping[name] for name in graph.inputs),
        tuple(nodes),
        tuple(mapping[name] for name in graph.outputs),
        tuple(Register(mapping[r.value], mapping[r.initial], mapping[r.next]) for r in graph.registers),
        {mapping[name]: type_ for name, type_ in graph.types.items() if name in mapping},
    )
