"""Writes the graph of rolled loops: each body once, between registers, and what stands before and behind it."""

import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import networkx
import torch

from norse.compiler.errors import Unsupported
from norse.compiler.ir import Graph, Names, Node, Operand, Ref, Register, Type, refs, substitute
from norse.compiler.trace.copies import (
    call_of,
    delayed,
    expand,
    has_effects,
    input_of_state,
    joined,
    needed,
    same,
    side_by_side,
    with_keywords,
    zeros,
)
from norse.compiler.trace.own_memory import runs_alone, with_own_memory
from norse.compiler.trace.ticks import Along, Before, Body, Fixed, Pattern, Same, Slot, Surroundings


@dataclass(frozen=True)
class Rolled:
    """The graph, and what those of its outputs are called now that were values of one tick."""

    graph: Graph
    outputs: Mapping[str, str]
    sized: bool = False  # whether it holds for the sizes of this call alone


def emit(graph: Graph, bodies: Sequence[Body], around: Surroundings, by_shape: Callable[[str], bool]) -> Rolled:
    """The graph with these loops rolled. Raises Unsupported where one of them can't be."""
    return _Emitter(graph, bodies, around, by_shape).emit()


@dataclass(frozen=True)
class _Delay:
    """A value of a tick, read some ticks later: at the first ticks these are read instead."""

    value: str
    initial: tuple[str, ...]
    length: int


class _Emitter:
    def __init__(
        self, graph: Graph, bodies: Sequence[Body], around: Surroundings, by_shape: Callable[[str], bool]
    ) -> None:
        self.graph, self.bodies, self.around, self.by_shape = graph, bodies, around, by_shape
        self.producers = graph.producers
        self.names = Names(graph.names)
        self.types = dict(graph.types)
        self.nodes: list[Node] = []
        self.ticks: set[str] = set()  # values that differ from tick to tick
        self.lengths: dict[str, int] = {}  # of the loops that make them
        self.delays: dict[str, _Delay] = {}
        self.registers: dict[str, tuple[str, str]] = {}  # read -> what it starts with, what feeds it
        self._known: dict[Any, Ref] = {}  # what has been made of a loop's values, or of a sequence's

    def emit(self) -> Rolled:
        of_body = {id(node): body for body in self.bodies for row in body.rows for node in row}
        starting = self._starting(of_body)
        written: set[int] = set()
        for node in self.graph.nodes:
            body = of_body.get(id(node))
            if body is not None and id(body) not in written:
                written.add(id(body))
                self._body(body)
            if body is None and node.outputs[0] not in starting:
                self._place(node)
        self._delay()
        self._start_apart()
        sized = self._start_by_shape()
        outputs = {name: self._outside(name).name for name in self.graph.outputs}
        results = tuple(dict.fromkeys(outputs.values()))
        nodes, registers = self._alive(self._in_order(), results)
        made = {name for node in nodes for name in node.outputs} | {*self.graph.inputs, *(r.value for r in registers)}
        types = {name: type_ for name, type_ in self.types.items() if name in made}
        outputs = {old: new for old, new in outputs.items() if old != new}
        rolled = Graph(self.graph.inputs, tuple(nodes), results, registers, types)
        return Rolled(with_own_memory(self.graph, rolled, self._called), outputs, sized)

    def _called(self, name: str) -> str:
        """What a value that is read outside of loops is called now."""
        name = self.around.alias.get(name, name)
        known = self._known.get(self.around.member[name]) if name in self.around.member else None
        return name if known is None else known.name

    def _starting(self, of_body: Mapping[int, Body]) -> set[str]:
        """Outputs of the nodes that make or check the states that a loop's neurons are given."""
        found: set[str] = set()
        for node in self.graph.nodes:
            if id(node) in of_body and "_step" in node.attrs:
                found.update(name for made in self._states(node) for name in made.outputs)
        return found

    def _states(self, neuron: Node) -> list[Node]:
        places = zip(neuron.attrs["_step"].inputs, neuron.inputs, strict=True)
        names = [name for (argument, _), operand in places if argument == 1 for name in refs(operand)]
        return list({id(self.producers[name]): self.producers[name] for name in names}.values())

    # ---- bodies ----------------------------------------------------------------------------------

    def _body(self, body: Body) -> None:
        for k, slot in enumerate(body.slots):
            nodes = [row[k] for row in body.rows]
            if slot.fixed:
                self._place(nodes[0])
                continue
            self.lengths.update(dict.fromkeys(nodes[0].outputs, len(nodes)))
            self.ticks.update(nodes[0].outputs)
            if slot.reads is not None:
                self._read(nodes[0], slot.reads, len(nodes))
            elif "_step" in nodes[0].attrs:
                self._neuron(body, k, nodes)
            else:
                self._plain(body, slot, nodes)

    def _read(self, node: Node, pattern: Pattern, length: int) -> None:
        assert isinstance(pattern, Along)
        self.nodes.append(Node("enter", node.outputs, (self._elements(pattern, length),), {}, node.module))

    def _plain(self, body: Body, slot: Slot, nodes: Sequence[Node]) -> None:
        """A layer, or a call of the user."""
        first, length = nodes[0], len(nodes)
        inputs = tuple(self._moving(self._operand(body, pattern), length) for pattern in slot.patterns)
        if not any(name in self.ticks for name in refs(inputs)):
            raise Unsupported(f"{_named(first)} is called at every tick with the same")
        attrs = {**with_keywords(first, inputs), "_over_time": True}
        if first.op == "eager":
            attrs["_loop"] = body.rows[0][0].outputs[0]
        self.nodes.append(replace(first, inputs=inputs, attrs=attrs))

    def _neuron(self, body: Body, place: int, nodes: Sequence[Node]) -> None:
        """A cell whose state goes from tick to tick: a neuron over time."""
        first, length = nodes[0], len(nodes)
        inputs: list[Operand] = []
        carried = []  # states that are not handed on as they are
        needed_states: list[Node] = []
        given = zip(first.attrs["_step"].inputs, first.inputs, body.slots[place].patterns, strict=True)
        for (argument, leaf), operand, pattern in given:
            if argument != 1:
                inputs.append(self._moving(self._operand(body, pattern), length))
                continue
            own = isinstance(pattern, Before) and (pattern.slot, pattern.place) == (place, 1 + leaf)
            if own and self._is_state_of(first, leaf, operand):
                inputs += [self._outside(self.around.handed_on(name)) for name in refs(operand)]
                continue
            if not isinstance(pattern, Same):
                needed_states += [self.producers[name] for name in refs(operand)]
            if own:
                inputs.append(operand)
                continue
            carried.append(leaf)
            inputs.append(self._moving(self._operand(body, pattern), length))
        for node in {id(node): node for node in needed_states}.values():
            stops: list[int] = []
            pattern = body.pattern([input_of_state(each, self.producers) for each in nodes], stops, False)
            if min(stops) < length:
                raise Unsupported(f"{_named(first)} is not given its input at every tick")
            sequence = self._moving(self._operand(body, pattern), length)
            states = tuple(self._outer(operand) for operand in node.inputs[1:])
            self.nodes.append(replace(node, inputs=(sequence, *states), attrs={**node.attrs, "_over_time": True}))
        attrs = {**first.attrs, "_over_time": True, "_carried": tuple(carried)}
        self.nodes.append(replace(first, inputs=tuple(inputs), attrs=attrs))

    def _is_state_of(self, neuron: Node, leaf: int, operand: Operand) -> bool:
        """Whether a state comes from another loop of this very neuron, so that nothing has to be checked."""
        (name,) = refs(operand)
        given = self.around.handed_on(name)
        made = self.producers.get(given) if given != name else None
        if made is None or "_step" not in made.attrs or made.attrs["_path"] != neuron.attrs["_path"]:
            return False
        return made.outputs[1 + leaf] == given

    # ---- operands of a tick ----------------------------------------------------------------------

    def _operand(self, body: Body, pattern: Pattern) -> Operand:
        if isinstance(pattern, tuple):
            return tuple(self._operand(body, part) for part in pattern)
        if isinstance(pattern, Fixed):
            return self._outer(pattern.operand)
        if isinstance(pattern, Along):
            return self._entered(pattern, len(body.rows))
        value = body.rows[0][pattern.slot].outputs[pattern.place]
        if isinstance(pattern, Same):
            return Ref(value)
        return self._before(value, pattern.initial, len(body.rows))

    def _before(self, value: str, initial: tuple[str, ...], length: int) -> Ref:
        key = "before", value, initial
        if key not in self._known:
            read = self.names.fresh(value)
            self.types[read] = self.types[value]
            self.ticks.add(read)
            self.delays[read] = _Delay(value, tuple(self._outside(name).name for name in initial), length)
            self._known[key] = Ref(read)
        return self._known[key]

    def _entered(self, pattern: Along, length: int) -> Ref:
        key = "entered", pattern, length
        if key not in self._known:
            sequence = self._elements(pattern, length)
            type_ = self.types[sequence.name]
            entered = self.names.fresh(sequence.name)
            self.types[entered] = Type(type_.dtype, type_.axes[1:], type_.spike)
            self.nodes.append(Node("enter", (entered,), (sequence,), {}))
            self.ticks.add(entered)
            self._known[key] = Ref(entered)
        return self._known[key]

    def _moving(self, operand: Operand, length: int) -> Operand:
        """What the ticks read alike is the same sequence element at every tick, unless it is made of parameters."""
        if isinstance(operand, tuple):
            return tuple(self._moving(part, length) for part in operand)
        if not isinstance(operand, Ref) or operand.name in self.ticks or self._of_parameters(operand.name):
            return operand
        key = "held", operand.name, length
        if key not in self._known:
            whole = self._call(expand, operand.name, length)
            entered = self.names.fresh(operand.name)
            self.types[entered] = self.types[operand.name]
            self.nodes.append(Node("enter", (entered,), (Ref(whole),), {}))
            self.ticks.add(entered)
            self._known[key] = Ref(entered)
        return self._known[key]

    def _of_parameters(self, name: str) -> bool:
        node = self.producers.get(name)
        if node is None or "_row" in node.attrs or "_step" in node.attrs or node.op in ("initial_state", "eager"):
            return False
        return node.op == "parameter" or (bool(node.uses) and all(map(self._of_parameters, node.uses)))

    # ---- sequences -------------------------------------------------------------------------------

    def _elements(self, pattern: Along, length: int) -> Ref:
        """Those elements of a sequence that a loop reads, time first."""
        of = pattern.sequence
        if of.before is None:
            return self._some(self._sequence(of.source), pattern.start, pattern.step, length)
        value, dimension = self._outside(of.source).name, sum(isinstance(part, slice) for part in of.before)
        low = min(pattern.start, pattern.start + (length - 1) * pattern.step)
        index = (*of.before, slice(low, low + (length - 1) * abs(pattern.step) + 1, abs(pattern.step)), *of.after)
        whole = (slice(0, length, 1),)
        if index != whole or self.types[value].axes[0] != length:
            value = self._call(operator.getitem, value, index)
        if dimension:
            value = self._call(torch.movedim, value, dimension, 0)
        return Ref(value if pattern.step > 0 else self._call(torch.flip, value, (0,)))

    def _some(self, sequence: Ref, start: int, step: int, count: int) -> Ref:
        """Elements of a sequence that has time first."""
        if (start, step, count) == (0, 1, self.types[sequence.name].axes[0]):
            return sequence
        key = "some", sequence.name, start, step, count
        if key not in self._known:
            low = min(start, start + (count - 1) * step)
            part = self._call(operator.getitem, sequence.name, slice(low, low + (count - 1) * abs(step) + 1, abs(step)))
            self._known[key] = Ref(part if step > 0 else self._call(torch.flip, part, (0,)))
        return self._known[key]

    def _sequence(self, tick: str) -> Ref:
        key = "sequence", tick
        if key not in self._known:
            made = self.names.fresh(tick)
            type_ = self.types[tick]
            self.types[made] = Type(type_.dtype, (self.lengths[tick], *type_.axes), type_.spike)
            self.nodes.append(Node("leave", (made,), (Ref(tick),), {}))
            self._known[key] = Ref(made)
        return self._known[key]

    def _call(self, target: Any, value: str, *arguments: Any) -> str:
        """A node that calls a torch function on a whole sequence."""
        name = self.names.fresh(value)
        type_ = self.types[value]
        like = target(torch.empty([int(axis) for axis in type_.axes], device="meta"), *arguments)
        self.types[name] = Type(type_.dtype, tuple(like.shape))
        self.nodes.append(Node("call", (name,), (Ref(value), *arguments), call_of(target)))
        return name

    # ---- what stands around loops ----------------------------------------------------------------

    def _outer(self, operand: Operand) -> Operand:
        return substitute(operand, {name: self._outside(name) for name in refs(operand)})

    def _outside(self, name: str) -> Ref:
        """A value, as it is known outside of loops: of a loop's values, those of one tick."""
        name = self.around.alias.get(name, name)
        if name not in self.around.member:
            return Ref(name)
        key = self.around.member[name]
        if key not in self._known:
            tick, t = key
            last = t == self.lengths[tick] - 1
            sequence = None if last else self._sequence(tick)
            made = self.names.fresh(name)
            self.types[made] = self.types[tick]
            if sequence is None:
                self.nodes.append(Node("last", (made,), (Ref(tick),), {}))
            else:
                self.nodes.append(Node("call", (made,), (sequence, t), call_of(operator.getitem)))
            self._known[key] = Ref(made)
        return self._known[key]

    def _place(self, node: Node) -> None:
        """A node outside of loops, with what it reads of them."""
        found = joined(node)
        if found is not None and any(isinstance(x, Ref) and x.name in self.around.member for x in found[0]):
            self._join(node, *found)
            return
        inputs = tuple(self._outer(operand) for operand in node.inputs)
        self.nodes.append(replace(node, inputs=inputs, attrs=with_keywords(node, inputs)))

    def _join(self, node: Node, parts: Sequence[Operand], dimension: int) -> None:
        """`torch.stack` or `torch.cat` of values of loops: their sequences, put together."""
        stacks = node.attrs["_target"] is torch.stack
        before = len(self.nodes)
        pieces = [self._piece(piece, stacks, dimension) for piece in self._pieces(parts)]
        if len(pieces) > 1:
            of = call_of(torch.cat, node)
            whole = self.names.fresh(node.output)
            axes = [self.types[piece.name].axes for piece in pieces]
            along = 0 if stacks else dimension
            like = torch.cat([torch.empty([int(a) for a in each], device="meta") for each in axes], along)
            self.types[whole] = Type(self.types[node.output].dtype, tuple(like.shape))
            self.nodes.append(Node("call", (whole,), (tuple(pieces), along), of, node.module))
            pieces = [Ref(whole)]
        if stacks:
            turned = Node("call", node.outputs, (pieces[0], 0, dimension), call_of(torch.movedim, node), node.module)
            if dimension != 0:
                self.nodes.append(turned)
                return
            made = self.nodes[before:]
            # Made just now, so nobody reads it yet, nor writes into it.
            if [each.op for each in made] == ["leave"] and not any(map(runs_alone, self.graph.nodes)):
                self.nodes[-1] = replace(made[0], outputs=node.outputs, module=node.module)
                self._known["sequence", made[0].inputs[0].name] = Ref(node.output)  # type: ignore[union-attr]
                return
            self.nodes.append(Node("call", node.outputs, (pieces[0],), call_of(same, node), node.module))
        else:
            self.nodes.append(Node("call", node.outputs, (pieces[0],), call_of(same, node), node.module))

    def _pieces(self, parts: Sequence[Operand]) -> list[Along | list[str]]:
        """Consecutive ticks of one value, or other values one by one."""
        pieces: list[Any] = []
        for part in parts:
            name = part.name if isinstance(part, Ref) else ""
            name = self.around.alias.get(name, name)
            if name not in self.around.member:
                if not pieces or not isinstance(pieces[-1], list):
                    pieces.append([])
                pieces[-1].append(name)
                continue
            tick, t = self.around.member[name]
            if pieces and isinstance(pieces[-1], tuple):
                known, start, step, count = pieces[-1]
                if known == tick and ((count == 1 and t != start) or (count > 1 and t == start + count * step)):
                    pieces[-1] = tick, start, t - start if count == 1 else step, count + 1
                    continue
            pieces.append((tick, t, 1, 1))
        return pieces

    def _piece(self, piece: Any, stacks: bool, dimension: int) -> Ref:
        if isinstance(piece, list):
            made = self.names.fresh(piece[0])
            type_ = self.types[piece[0]]
            target = torch.stack if stacks else torch.cat
            along = 0 if stacks else dimension
            metas = [torch.empty([int(axis) for axis in self.types[name].axes], device="meta") for name in piece]
            self.types[made] = Type(type_.dtype, tuple(target(metas, along).shape))
            operand = (tuple(self._outside(name) for name in piece), along)
            self.nodes.append(Node("call", (made,), operand, call_of(target)))
            return Ref(made)
        tick, start, step, count = piece
        sequence = self._some(self._sequence(tick), start, step, count)
        return sequence if stacks else Ref(self._call(side_by_side, sequence.name, dimension))

    # ---- what crosses a tick ---------------------------------------------------------------------

    def _delay(self) -> None:
        """Outside of cycles, what a value was some ticks ago is its sequence, moved. Inside, registers keep it."""
        edges = networkx.DiGraph((use, name) for n in self.nodes for use in n.uses for name in n.outputs)
        edges.add_edges_from((delay.value, read) for read, delay in self.delays.items())
        circular = {name for c in networkx.strongly_connected_components(edges) if len(c) > 1 for name in c}
        for read, delay in self.delays.items():
            if read in circular:
                self._keep(read, delay)
            else:
                self._move(read, delay)

    def _move(self, read: str, delay: _Delay) -> None:
        type_ = self.types[delay.value]
        for name in delay.initial:
            if (self.types[name].dtype, self.types[name].axes) != (type_.dtype, type_.axes):
                raise Unsupported(f"%{name} has not the shape of what stands for it at later ticks")
        whole, moved = self._sequence(delay.value), self.names.fresh(read)
        self.types[moved] = self.types[whole.name]
        self.nodes += [
            Node("call", (moved,), (whole, *map(Ref, delay.initial)), call_of(delayed)),
            Node("enter", (read,), (Ref(moved),), {}),
        ]

    def _keep(self, read: str, delay: _Delay) -> None:
        fed_by = delay.value
        for initial in reversed(delay.initial[1:]):
            held, handed_on = self.names.fresh(read), self.names.fresh(read)
            self.types[held] = self.types[handed_on] = self.types[delay.value]
            self.registers[held] = initial, fed_by
            self.nodes.append(Node("identity", (handed_on,), (Ref(held),), {"_over_time": True}))
            fed_by = handed_on
        self.registers[read] = delay.initial[0], fed_by

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
            edges.add_edges_from(((fed_by, read), (initial, read)))
        component = {name: k for k, c in enumerate(networkx.strongly_connected_components(edges)) for name in c}
        nodes: list[Node] = []
        for node in self.nodes:
            x = node.inputs[0] if node.inputs else None
            circular = isinstance(x, Ref) and component.get(x.name) == component.get(node.outputs[0])
            if node.op == "initial_state" and isinstance(x, Ref) and circular:
                if not self.by_shape(node.attrs["_path"]):
                    raise Unsupported(f"{_named(node)} starts from an input that its own output reaches")
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

    # ---- order -----------------------------------------------------------------------------------

    def _in_order(self) -> list[Node]:
        """What stands behind one loop may stand before another: every node behind those that it reads."""
        made = {name: place for place, node in enumerate(self.nodes) for name in node.outputs}
        edges = networkx.DiGraph()
        edges.add_nodes_from(range(len(self.nodes)))
        for place, node in enumerate(self.nodes):
            reads = (self.registers[use][0] if use in self.registers else use for use in node.uses)
            edges.add_edges_from((made[name], place) for name in reads if name in made)
        edges.add_edges_from((made[before], made[after]) for before, after in pairwise(self._effects()))
        try:
            return [self.nodes[place] for place in networkx.lexicographical_topological_sort(edges)]
        except networkx.NetworkXUnfeasible:
            raise Unsupported("its ticks read what is made of other ticks") from None

    def _effects(self) -> list[str]:
        """Nodes that do more than they return, in eager's order: a loop's do it at all ticks before what is behind."""
        when = {id(node): place for place, node in enumerate(self.graph.nodes)}
        inside = {id(node) for body in self.bodies for row in body.rows for node in row}
        found = [(when[id(n)], when[id(n)], n) for n in self.graph.nodes if has_effects(n) and id(n) not in inside]
        for body in self.bodies:
            for k, node in enumerate(body.rows[0]):
                if has_effects(node) and not node.attrs.get("_in_place"):
                    found.append((when[id(node)], when[id(body.rows[-1][k])], node))
        found.sort(key=lambda each: each[0])
        body_of = {id(node): id(body) for body in self.bodies for node in body.rows[0]}
        for (_, end, one), (begin, _, other) in combinations(found, 2):
            together = body_of.get(id(one)) == body_of.get(id(other))
            if begin < end and not _independent(one, other, together):
                raise Unsupported(f"{_named(other)} counts its calls, and is not called once at every tick alone")
        return [node.outputs[0] for _, _, node in found]

    def _alive(self, nodes: list[Node], results: tuple[str, ...]) -> tuple[list[Node], tuple[Register, ...]]:
        registers: dict[str, Register] = {}
        while True:  # a register that is read keeps alive what feeds it
            kept = needed(nodes, (*results, *(name for r in registers.values() for name in (r.initial, r.next))))
            read = {name for node in kept for name in node.uses if name in self.registers} - registers.keys()
            if not read:
                return kept, tuple(registers.values())
            for name in sorted(read):
                registers[name] = Register(name, *self.registers[name])


def _independent(one: Node, other: Node, together: bool) -> bool:
    """Whether all calls of the one may come before all of the other; opaque ones of a loop keep their order in it."""
    if one.op == other.op == "eager":
        return together
    if "eager" in (one.op, other.op):
        return bool(one.attrs.get("_of_torch", False) or other.attrs.get("_of_torch", False))
    return one.attrs.get("_path") != other.attrs.get("_path")


def _named(node: Node) -> str:
    if "_path" in node.attrs:
        return f'layer "{node.attrs["_path"]}"'
    line = node.attrs.get("_line")
    return f"{node.attrs.get('target', node.op)}{f' ({line})' if line else ''}"
