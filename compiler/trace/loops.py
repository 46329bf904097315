"""Rolls a user's loop over time, traced tick by tick, into the one tick that it repeats.

`for t in range(x.shape[0]): z, s = self.lif(self.fc(x[t]), s); out.append(z)` is traced at the T of the call, so what
is recorded is right whatever Python did: T copies of the loop's body. Rolling finds them by what they compute, not by
where they stand: the T calls of a neuron are one node if each of their operands is one node too, or the same at every
tick, or the tick of a sequence (`x[t]`), or what another of the nodes was one tick ago: a register. Where the copies
differ in another way, there is no such node, and the reason is told.

What is rolled has the form that a lifted module has: `enter` takes a sequence to its ticks, `leave` back, and `last` is
what the loop leaves behind. A trace of other T is another trace: nothing here holds for more than one.
"""

import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import networkx
import torch

from norse.compiler.errors import Unsupported
from norse.compiler.ir import Graph, Names, Node, Operand, Ref, Register, Type, refs, substitute
from norse.compiler.trace.copies import (
    MAKES_NEW,
    call_of,
    delayed,
    expand,
    has_effects,
    input_of_state,
    is_function,
    needed,
    place_of_tick,
    same,
    settings,
    stacked,
    stacked_along,
    with_keywords,
    zeros,
)

# Of an unrolled loop's neurons, how many calls may stand in a graph one after the other.
_FEW = 8


@dataclass(frozen=True)
class Rolled:
    """The graph, and what those of its outputs are called now that were values of one tick."""

    graph: Graph
    outputs: Mapping[str, str]
    sized: bool = False  # whether it holds for the sizes of this call alone


def roll(graph: Graph, must: bool, by_shape: Callable[[str], bool]) -> Rolled:
    """The graph with its loop over time rolled, if it has one.

    Args:
        graph: the trace of a whole model, types with sizes for axes.
        must: whether the trace depends on a size, so that it is a loop's.
        by_shape: tells of a neuron's path whether its initial state depends on its input's shape alone.

    Raises:
        Unsupported: where the loop's ticks differ.
    """
    calls = _calls_of_neurons(graph)
    length = max((len(nodes) for nodes in calls.values()), default=0)
    if length < 2:
        return Rolled(graph, {})
    try:
        return _Roller(graph, length, by_shape).roll(calls)
    except Unsupported as why:
        if must or length > _FEW:
            raise Unsupported(f"its loop over time is not the same at every tick: {why}") from why
        return Rolled(graph, {})


def _calls_of_neurons(graph: Graph) -> dict[str, list[Node]]:
    calls: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if "_step" in node.attrs and not node.attrs["_over_time"]:
            calls.setdefault(node.attrs["_path"], []).append(node)
    return calls


class _Roller:
    def __init__(self, graph: Graph, length: int, by_shape: Callable[[str], bool]) -> None:
        self.graph, self.length, self.by_shape = graph, length, by_shape
        self.producers = graph.producers
        self.names = Names(graph.names)
        self.types = dict(graph.types)
        self.values: dict[tuple[str, ...], str] = {}  # the T names of a value -> the name of its tick
        self.member: dict[str, tuple[str, int]] = {}  # each of those names -> the tick's, and which tick it is of
        self.nodes: list[Node] = []  # of the tick, in topological order
        self.ticks: set[str] = set()  # values that differ from tick to tick
        self.fixed: set[str] = set()  # read by every tick alike
        self.held: dict[str, Ref] = {}  # of those, what stands for them in a tick
        self.registers: dict[str, tuple[str, tuple[str, ...]]] = {}  # read -> what it starts with, what feeds it
        self._known: dict[Any, Ref] = {}  # behind the loop: one tick of a value, or all of them
        self.open: set[tuple[str, ...]] = set()

    def roll(self, calls: Mapping[str, list[Node]]) -> Rolled:
        for path, nodes in calls.items():
            if len(nodes) not in (1, self.length):
                raise Unsupported(f'layer "{path}" is called {len(nodes)} times, others {self.length} times')
            if len(nodes) == self.length:
                self._value(tuple(node.outputs[0] for node in nodes))
        for nodes in self._counting().values():  # whether or not their results are used
            if len(nodes) == self.length:
                self._value(tuple(node.outputs[0] for node in nodes))
        for node in self.graph.nodes:
            parts = stacked(node)
            if parts is not None and len(parts) == self.length:
                self._operand(parts)
        fed: set[str] = set()
        while fed != self.registers.keys():  # what feeds a register may read another one
            for read, (_, names) in list(self.registers.items()):
                fed.add(read)
                self._value(names)
        self._check_effects()
        return self._emit()

    # ---- what calls do beside their results ------------------------------------------------------

    def _counting(self) -> dict[str, list[Node]]:
        """The calls of layers that keep statistics of them."""
        found: dict[str, list[Node]] = {}
        for node in self.graph.nodes:
            if node.attrs.get("_counts"):
                found.setdefault(node.attrs["_path"], []).append(node)
        return found

    def _check_effects(self) -> None:
        for path, nodes in self._counting().items():
            ticks = {self.member[node.output][0] for node in nodes if node.output in self.member}
            if ticks and (len(ticks) > 1 or len(nodes) != self.length):
                raise Unsupported(f'layer "{path}" counts its calls, and is not called once at every tick alone')
        uses = Counter(name for node in self.graph.nodes for name in node.uses)
        for node in self.graph.nodes:
            if node.attrs.get("_in_place"):
                (name,) = node.uses
                made_by = self.producers.get(name)
                mine = made_by is not None and (made_by.op in MAKES_NEW or made_by.attrs.get("_in_place"))
                if not mine or uses[name] > 1 or name in self.graph.outputs:
                    raise Unsupported(f"{self._where(node.output)} changes in place what others may read")

    # ---- T values become one ---------------------------------------------------------------------

    def _operand(self, ticks: Sequence[Operand]) -> Operand:
        """The operand of the tick, from those of all ticks."""
        first = ticks[0]
        if all(type(other) is type(first) and other == first for other in ticks):
            self.fixed.update(refs(first))
            return first
        if all(isinstance(other, Ref) for other in ticks):
            return Ref(self._value(tuple(other.name for other in ticks if isinstance(other, Ref))))
        if all(isinstance(other, tuple) and len(other) == len(first) for other in ticks):  # type: ignore[arg-type]
            return tuple(self._operand(parts) for parts in zip(*ticks, strict=True))  # type: ignore[arg-type]
        t = next(t for t, other in enumerate(ticks) if type(other) is not type(first) or other != first)
        raise Unsupported(f"tick {t} has {self._shown(ticks[t])} where tick 0 has {self._shown(first)}")

    def _value(self, names: tuple[str, ...]) -> str:
        """The name of the tick's value, or of the one value that all of them are."""
        if names in self.values:
            return self.values[names]
        if names in self.open:
            raise Unsupported(f"what {self._where(names[0])} makes depends on what it made one tick ago")
        register = self._register(names)
        if register is not None:
            return register
        self.open.add(names)
        for t, name in enumerate(names):
            if name not in self.producers:
                raise Unsupported(f"tick {t} reads {self._where(name)}, and other ticks do not")
            if name in self.member:
                raise Unsupported(f"tick {t} reads what {self._where(name)} makes at tick {self.member[name][1]}")
        nodes = [self.producers[name] for name in names]
        self._check_alike(nodes, names)
        rolled = self._neuron(nodes) if "_step" in nodes[0].attrs else self._plain(nodes)
        self.open.discard(names)
        if rolled is None:  # each is the same, made of what is the same at every tick
            self.values[names] = names[0]
            self.fixed.add(names[0])
        else:
            self._learn(nodes, rolled)
        return self.values[names]

    def _register(self, names: tuple[str, ...]) -> str | None:
        """The value that is what another was one tick ago, if these names are: at the first tick something else."""
        first, *later = names
        nodes = [self.producers.get(name) for name in later]
        if not nodes or not all(nodes) or (first in self.producers and self._alike(first, later[0])):
            return None
        made = [node for node in nodes if node is not None]
        last = self._next_copy(made)
        place = made[0].outputs.index(later[0])
        if last is None or any(node.outputs.index(name) != place for node, name in zip(made, later, strict=True)):
            return None
        read = self.names.fresh(later[0])
        self.fixed.add(first)
        self.types[read] = self.types[later[0]]
        self.values[names] = read
        self.ticks.add(read)
        self.registers[read] = first, (*later, last.outputs[place])
        return read

    def _next_copy(self, nodes: list[Node]) -> Node | None:
        """The node that does at the last tick what these did at the ticks before."""
        copies = [n for n in self.graph.nodes if n.op == nodes[0].op and settings(n) == settings(nodes[0])]
        found = {id(copy): k for k, copy in enumerate(copies)}
        if not all(id(node) in found for node in nodes):
            return None
        places = [found[id(node)] for node in nodes]
        stride = places[1] - places[0] if len(places) > 1 else len(copies) // self.length
        regular = all(b - a == stride for a, b in pairwise(places))
        return copies[places[-1] + stride] if regular and 0 < stride < len(copies) - places[-1] else None

    def _alike(self, one: str, other: str) -> bool:
        a, b = self.producers[one], self.producers[other]
        return (
            a.op == b.op
            and a.module == b.module
            and a.outputs.index(one) == b.outputs.index(other)
            and len(a.inputs) == len(b.inputs)
            and settings(a) == settings(b)
        )

    def _learn(self, nodes: list[Node], rolled: tuple[str, ...]) -> None:
        for place, name in enumerate(rolled):
            names = tuple(node.outputs[place] for node in nodes)
            self.values[names] = name
            self.ticks.add(name)
            self.member.update({each: (name, t) for t, each in enumerate(names)})

    def _check_alike(self, nodes: list[Node], names: tuple[str, ...]) -> None:
        for t, name in enumerate(names):
            if not self._alike(names[0], name) or len({id(n) for n in nodes}) < len(nodes):
                raise Unsupported(f"tick {t} has {self._where(name)} where tick 0 has {self._where(names[0])}")

    def _plain(self, nodes: list[Node]) -> tuple[str, ...] | None:
        """A layer, or a call of the user; None where every tick calls it with the same."""
        first = nodes[0]
        if first.op in ("eager", "last", "enter", "leave", "initial_state") or first.attrs.get("_own_time"):
            raise Unsupported(f"{self._where(first.outputs[0])} can't stand in a tick")
        if first.attrs.get("_target") is operator.getitem:
            source = self._operand([node.inputs[0] for node in nodes])
            if not self._is_tick(source) and any(node.inputs[1] != first.inputs[1] for node in nodes):
                return self._entered(nodes, source)
        inputs = tuple(self._operand(ticks) for ticks in zip(*(node.inputs for node in nodes), strict=True))
        if not any(self._is_tick(Ref(name)) for name in refs(inputs)):
            if not is_function(first):
                raise Unsupported(f"{self._where(first.outputs[0])} is called at every tick with the same")
            return None
        inputs = tuple(self._over_time(operand) for operand in inputs)
        self.nodes.append(replace(first, inputs=inputs, attrs={**with_keywords(first, inputs), "_over_time": True}))
        return first.outputs

    def _is_tick(self, operand: Operand) -> bool:
        return isinstance(operand, Ref) and operand.name in self.ticks

    def _over_time(self, operand: Operand) -> Operand:
        """What the ticks read alike is the same sequence element at every tick, unless it is made of parameters."""
        if isinstance(operand, tuple):
            return tuple(self._over_time(part) for part in operand)
        if not isinstance(operand, Ref) or self._is_tick(operand) or self._of_parameters(operand.name):
            return operand
        if operand.name not in self.held:
            whole = self._call(expand, operand.name, self.length)
            entered = self.names.fresh(operand.name)
            self.types[entered] = self.types[operand.name]
            self.nodes.append(Node("enter", (entered,), (Ref(whole),), {}))
            self.ticks.add(entered)
            self.held[operand.name] = Ref(entered)
        return self.held[operand.name]

    def _of_parameters(self, name: str) -> bool:
        node = self.producers.get(name)
        if node is None or "_row" in node.attrs or "_step" in node.attrs or node.op == "initial_state":
            return False
        return node.op == "parameter" or (bool(node.uses) and all(map(self._of_parameters, node.uses)))

    def _neuron(self, nodes: list[Node]) -> tuple[str, ...]:
        """A cell whose state goes from tick to tick: a neuron over time."""
        first = nodes[0]
        inputs: list[Operand] = []
        carried = []  # states that are not handed on as they are
        for place, (argument, leaf) in enumerate(first.attrs["_step"].inputs):
            ticks = [node.inputs[place] for node in nodes]
            if argument != 1:
                inputs.append(self._over_time(self._operand(ticks)))
                continue
            before = [self._handed_on(state) for state in ticks[1:]]
            if all(name == node.outputs[1 + leaf] for name, node in zip(before, nodes, strict=False)):
                inputs.append(ticks[0])
                continue
            if None in before:
                t = before.index(None) + 1
                raise Unsupported(f'at tick {t}, layer "{first.attrs["_path"]}" is not given the state of tick {t - 1}')
            (start,) = refs(ticks[0])
            inputs.append(self._operand([Ref(start), *(Ref(name) for name in before if name is not None)]))
            carried.append(leaf)
        starts = {id(self.producers[name]): self.producers[name] for name in self._states(first)}
        for node in starts.values():
            given = node.inputs[1:]
            self.fixed.update(refs(given))
            sequence = self._over_time(self._operand([input_of_state(each, self.producers) for each in nodes]))
            self.nodes.append(replace(node, inputs=(sequence, *given), attrs={**node.attrs, "_over_time": True}))
        attrs = {**first.attrs, "_over_time": True, "_carried": tuple(carried)}
        self.nodes.append(replace(first, inputs=tuple(inputs), attrs=attrs))
        return first.outputs

    def _states(self, node: Node) -> list[str]:
        places = zip(node.attrs["_step"].inputs, node.inputs, strict=True)
        return [name for (argument, _), operand in places if argument == 1 for name in refs(operand)]

    def _handed_on(self, state: Operand) -> str | None:
        """What was given as a state, behind the node that checks it."""
        (name,) = refs(state)
        node = self.producers.get(name)
        if node is None or node.op != "initial_state" or node.attrs["_given"] is None:
            return None
        given = node.inputs[1 + node.outputs.index(name)]
        return given.name if isinstance(given, Ref) else None

    def _entered(self, nodes: list[Node], source: Operand) -> tuple[str, ...]:
        """`x[t]`, `x[:, t]`: a sequence at every tick."""
        indices = [node.inputs[1] if isinstance(node.inputs[1], tuple) else (node.inputs[1],) for node in nodes]
        unbound = self._unbound(source)
        if unbound is not None:
            source, dimension = unbound
            indices = [(*(slice(None),) * dimension, *index) for index in indices]
        if not isinstance(source, Ref) or source.name not in self.types:
            raise Unsupported(f"{self._where(nodes[0].output)} indexes something else than a tensor")
        place = place_of_tick(indices)
        index = self._every_index(indices, place)
        value = source.name
        if index != (slice(0, self.length),) or self.types[value].axes[0] != self.length:
            value = self._call(operator.getitem, value, index)
        dimension = sum(isinstance(part, slice) for part in index[:place])
        if dimension:
            value = self._call(torch.movedim, value, dimension, 0)
        entered = nodes[0].output
        self.nodes.append(Node("enter", (entered,), (Ref(value),), {}, nodes[0].module))
        return (entered,)

    def _unbound(self, source: Operand) -> tuple[Ref, int] | None:
        """`x.unbind(d)`: the sequence, and the dimension that is taken apart."""
        node = self.producers.get(source.name) if isinstance(source, Ref) else None
        if node is None or node.attrs.get("_target") not in ("unbind", torch.unbind):
            return None
        dimension = node.inputs[1] if len(node.inputs) > 1 else 0
        if not isinstance(node.inputs[0], Ref) or not isinstance(dimension, int) or dimension < 0:
            return None
        return node.inputs[0], dimension

    def _every_index(self, indices: list[tuple[Any, ...]], place: int) -> tuple[Any, ...]:
        """The index that takes all ticks at once."""
        start = indices[0][place]
        for t, index in enumerate(indices):
            if index[place] != start + t or start < 0:
                raise Unsupported(f"tick {t} reads index {index[place]} of a sequence, where tick 0 reads {start}")
        return (*indices[0][:place], slice(start, start + self.length), *indices[0][place + 1 :])

    def _call(self, target: Any, value: str, *arguments: Any) -> str:
        """A node that calls a torch function on a whole sequence."""
        name = self.names.fresh(value)
        type_ = self.types[value]
        like = target(torch.empty([int(axis) for axis in type_.axes], device="meta"), *arguments)
        self.types[name] = Type(type_.dtype, tuple(like.shape))
        attrs = {"target": f"torch.{target.__name__}", "_target": target, "_kwargs": {}, "_line": None}
        self.nodes.append(Node("call", (name,), (Ref(value), *arguments), attrs))
        return name

    # ---- the graph -------------------------------------------------------------------------------

    def _emit(self) -> Rolled:
        late = self.fixed.intersection(self.member)
        if late:
            raise Unsupported(f"every tick reads {self._where(min(late))}, which the loop itself makes")
        self._delay()
        self._start_apart()
        after = self._after()
        sized = self._start_by_shape()
        behind = {id(node) for node in after}
        rolled = {*self.member, *(name for node in self.nodes for name in node.outputs)}
        nodes = [n for n in self.graph.nodes if id(n) not in behind and rolled.isdisjoint(n.outputs)]
        nodes += self.nodes
        for node in needed([n for n in after if rolled.isdisjoint(n.outputs)], (*self.graph.outputs, *self.fixed)):
            nodes += self._placed(node)
        outputs: dict[str, str] = {}
        for name in self.graph.outputs:
            if name in self.member:
                extra: list[Node] = []
                outputs[name] = self._at(name, extra).name
                nodes += extra
        results = tuple(dict.fromkeys(outputs.get(name, name) for name in self.graph.outputs))
        nodes, registers = self._alive(self._in_order(nodes), results)
        made = {name for node in nodes for name in node.outputs} | {*self.graph.inputs, *(r.value for r in registers)}
        types = {name: type_ for name, type_ in self.types.items() if name in made}
        return Rolled(Graph(self.graph.inputs, tuple(nodes), results, registers, types), outputs, sized)

    def _delay(self) -> None:
        """Outside of cycles, what a value was one tick ago is its sequence, moved by one tick."""
        edges = networkx.DiGraph((use, name) for n in self.nodes for use in n.uses for name in n.outputs)
        edges.add_edges_from((self.values[fed_by], read) for read, (_, fed_by) in self.registers.items())
        circular = {name for c in networkx.strongly_connected_components(edges) if len(c) > 1 for name in c}
        for read, (initial, fed_by) in list(self.registers.items()):
            value = self.values[fed_by]
            if read in circular or read == value:
                continue
            if replace(self.types[initial], spike=False) != replace(self.types[value], spike=False):
                raise Unsupported(f"{self._where(initial)} has not the shape of what stands for it at later ticks")
            whole, moved = self.names.fresh(value), self.names.fresh(read)
            axes = (self.length, *self.types[value].axes)
            self.types[whole] = self.types[moved] = Type(self.types[value].dtype, axes)
            self.nodes += [
                Node("leave", (whole,), (Ref(value),), {}),
                Node("call", (moved,), (Ref(initial), Ref(whole)), call_of(delayed)),
                Node("enter", (read,), (Ref(moved),), {}),
            ]
            del self.registers[read]

    def _start_apart(self) -> None:
        """Gives every register a start that nothing else in the loop reads, so that each has a gradient of its own."""
        read = Counter(use for node in self.nodes for use in node.uses)
        read.update(initial for initial, _ in self.registers.values())
        for register, (initial, fed_by) in list(self.registers.items()):
            if read[initial] > 1:
                start = self.names.fresh(initial)
                self.types[start] = self.types[initial]
                self.nodes.append(Node("call", (start,), (Ref(initial),), call_of(same)))
                self.registers[register] = start, fed_by

    def _start_by_shape(self) -> bool:
        """Inside of feedback, a neuron's input is not there before its initial state: zeros stand for it."""
        edges = networkx.DiGraph((use, name) for n in self.nodes for use in n.uses for name in n.outputs)
        for read, (initial, fed_by) in self.registers.items():
            edges.add_edges_from(((self.values[fed_by], read), (initial, read)))
        component = {name: k for k, c in enumerate(networkx.strongly_connected_components(edges)) for name in c}
        nodes: list[Node] = []
        for node in self.nodes:
            x = node.inputs[0] if node.inputs else None
            circular = isinstance(x, Ref) and component[x.name] == component.get(node.outputs[0])
            if node.op == "initial_state" and isinstance(x, Ref) and circular:
                if not self.by_shape(node.attrs["_path"]):
                    raise Unsupported(
                        f"{self._where(node.outputs[0])} starts from an input that its own output reaches"
                    )
                type_ = self.types[x.name]
                name = self.names.fresh(x.name)
                self.types[name] = type_
                like = next(name for name in self.graph.inputs if name in self.types)
                nodes.append(Node("call", (name,), (Ref(like), type_.axes, type_.dtype), call_of(zeros)))
                node = replace(node, inputs=(Ref(name), *node.inputs[1:]), attrs={**node.attrs, "_over_time": False})
            nodes.append(node)
        sized = len(nodes) > len(self.nodes)
        self.nodes = nodes
        return sized

    def _alive(self, nodes: list[Node], results: tuple[str, ...]) -> tuple[list[Node], tuple[Register, ...]]:
        registers: dict[str, Register] = {}
        while True:  # a register that is read keeps alive what feeds it
            kept = needed(nodes, (*results, *(name for r in registers.values() for name in (r.initial, r.next))))
            read = {name for node in kept for name in node.uses if name in self.registers} - registers.keys()
            if not read:
                return kept, tuple(registers.values())
            for name in sorted(read):
                initial, fed_by = self.registers[name]
                registers[name] = Register(name, initial, self.values[fed_by])

    def _in_order(self, nodes: list[Node]) -> list[Node]:
        """What stands behind one loop may stand before another: every node behind those that it reads."""
        made = {name: place for place, node in enumerate(nodes) for name in node.outputs}
        own = {id(node) for node in self.nodes}
        rolled = {place for place, node in enumerate(nodes) if id(node) in own}
        edges = networkx.DiGraph()
        edges.add_nodes_from(range(len(nodes)))
        for place, node in enumerate(nodes):
            reads = (self.registers[use][0] if use in self.registers else use for use in node.uses)
            edges.add_edges_from((made[name], place) for name in reads if name in made)
        effects = (made.get(n.outputs[0]) for n in self.graph.nodes if has_effects(n))
        edges.add_edges_from(pairwise(place for place in effects if place is not None and place not in rolled))
        try:
            return [nodes[place] for place in networkx.lexicographical_topological_sort(edges)]
        except networkx.NetworkXUnfeasible:
            raise Unsupported("its ticks read what is made of other ticks") from None

    def _after(self) -> list[Node]:
        """What reads the loop's values and is no part of it."""
        dependent = set(self.member)
        found = []
        for node in self.graph.nodes:
            if dependent.intersection(node.uses) and not any(name in self.member for name in node.outputs):
                dependent.update(node.outputs)
                found.append(node)
        return found

    def _placed(self, node: Node) -> list[Node]:
        """A node behind the loop, with what it needs of the loop before it."""
        extra: list[Node] = []
        whole = self._range(stacked(node))
        if whole is not None:
            tick, start, stop = whole
            dimension = stacked_along(node)
            if dimension == 0 and (start, stop) == (0, self.length):
                return [Node("leave", node.outputs, (Ref(tick),), {}, node.module)]
            value = self._sequence(tick, extra)
            if (start, stop) != (0, self.length):
                value = self._sliced(value, start, stop, extra)
            return [*extra, replace(node, inputs=(value, 0, dimension), attrs=call_of(torch.movedim, node))]
        mapping = {name: self._at(name, extra) for name in node.uses if name in self.member}
        inputs = tuple(substitute(operand, mapping) for operand in node.inputs)
        return [*extra, replace(node, inputs=inputs, attrs=with_keywords(node, inputs))]

    def _range(self, parts: Sequence[Operand] | None) -> tuple[str, int, int] | None:
        """The tick's value whose ticks these are, if they are consecutive ones."""
        places = [self.member.get(part.name) if isinstance(part, Ref) else None for part in parts or ()]
        if not places or places[0] is None:
            return None
        tick, start = places[0]
        alike = all(place == (tick, start + k) for k, place in enumerate(places))
        return (tick, start, start + len(places)) if alike else None

    def _at(self, name: str, extra: list[Node]) -> Ref:
        """One tick's value, behind the loop."""
        tick, t = self.member[name]
        if (tick, t) not in self._known:
            type_ = self.types[tick]
            if t == self.length - 1:
                made = self.names.fresh(name)
                extra.append(Node("last", (made,), (Ref(tick),), {}))
            else:
                sequence = self._sequence(tick, extra)
                made = self.names.fresh(name)
                extra.append(Node("call", (made,), (sequence, t), call_of(operator.getitem)))
            self.types[made] = type_
            self._known[tick, t] = Ref(made)
        return self._known[tick, t]

    def _sequence(self, tick: str, extra: list[Node]) -> Ref:
        if tick not in self._known:
            made = self.names.fresh(tick)
            type_ = self.types[tick]
            self.types[made] = Type(type_.dtype, (self.length, *type_.axes), type_.spike)
            extra.append(Node("leave", (made,), (Ref(tick),), {}))
            self._known[tick] = Ref(made)
        return self._known[tick]

    def _sliced(self, value: Ref, start: int, stop: int, extra: list[Node]) -> Ref:
        made = self.names.fresh(value.name)
        type_ = self.types[value.name]
        self.types[made] = Type(type_.dtype, (stop - start, *type_.axes[1:]), type_.spike)
        extra.append(Node("call", (made,), (value, slice(start, stop)), call_of(operator.getitem)))
        return Ref(made)

    # ---- in words --------------------------------------------------------------------------------

    def _where(self, name: str) -> str:
        node = self.producers.get(name)
        if node is None:
            return f"the input %{name}"
        if "_path" in node.attrs:
            return f'layer "{node.attrs["_path"]}"'
        line = node.attrs.get("_line")
        return f"{node.attrs.get('target', node.op)}{f' ({line})' if line else ''}"

    def _shown(self, operand: Operand) -> str:
        return self._where(operand.name) if isinstance(operand, Ref) else repr(operand)
