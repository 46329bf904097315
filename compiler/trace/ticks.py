"""What the ticks of a user's loop have in common: for each operand of its body, where it comes from at every tick.

An operand is the same at all ticks, or made in the same tick, or some ticks ago, or the next element of a sequence.
Nothing else can be rolled, so the ticks that a loop may have end before the first one that reads something else.
"""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Union

from norse.compiler.ir import Node, Operand, Ref, Type
from norse.compiler.trace.copies import is_function, state_places

_MOST_DELAY = 64  # ticks that a value may be read later

Row = Sequence[Node]


@dataclass(frozen=True)
class Fixed:
    """The same at every tick: a constant, or a value from outside."""

    operand: Operand


@dataclass(frozen=True)
class Same:
    """What this slot of the body makes at this tick."""

    slot: int
    place: int


@dataclass(frozen=True)
class Before:
    """What a slot made `len(initial)` ticks ago; at the first ticks, these values from outside."""

    slot: int
    place: int
    initial: tuple[str, ...]


@dataclass(frozen=True)
class Along:
    """Element `start + t * step` of a sequence."""

    sequence: "Sequenced"
    start: int
    step: int


@dataclass(frozen=True)
class Sequenced:
    """A value with an index that has a hole for the number; without an index, a value of a loop's ticks."""

    source: str
    before: tuple[Any, ...] | None = None  # parts of the index in front of the number
    after: tuple[Any, ...] = ()


Pattern = Union[Fixed, Same, Before, Along, tuple["Pattern", ...]]  # noqa: UP007


@dataclass(frozen=True)
class Slot:
    """One node of the body: patterns of its operands, or of the element that it reads."""

    patterns: tuple[Pattern, ...]
    reads: Pattern | None = None  # of a `getitem` of a sequence: the whole node
    fixed: bool = False  # it computes the same at every tick


class Surroundings:
    """What is known of the graph around a loop."""

    def __init__(self, producers: Mapping[str, Node], types: Mapping[str, Type]) -> None:
        self.producers, self.types = producers, types
        self.member: dict[str, tuple[str, int]] = {}  # values of loops that are rolled -> the tick's value, the tick
        self.alias: dict[str, str] = {}  # what is computed at every tick alike -> the first of them

    def handed_on(self, name: str) -> str:
        """What was given as a state, behind the node that checks it."""
        node = self.producers.get(name)
        if node is None or node.op != "initial_state" or node.attrs["_given"] is None:
            return name
        given = node.inputs[1 + node.outputs.index(name)]
        return given.name if isinstance(given, Ref) else name

    def element(self, name: str, hole: int) -> tuple[Any, int | None]:
        """Of which sequence a value is an element, and which one; of what is none, itself."""
        name = self.alias.get(name, name)
        if name in self.member:
            value, t = self.member[name]
            return Sequenced(value), t
        node = self.producers.get(name)
        if node is None or node.attrs.get("_target") is not operator.getitem or not isinstance(node.inputs[0], Ref):
            return name, None
        source = self.alias.get(node.inputs[0].name, node.inputs[0].name)
        index = node.inputs[1] if isinstance(node.inputs[1], tuple) else (node.inputs[1],)
        places = [k for k, part in enumerate(index) if type(part) is int]
        if source not in self.types or source in self.member or len(places) <= hole:
            return name, None
        place = places[hole]
        before, number = index[:place], index[place]
        if any(type(part) not in (int, slice) for part in before) or any(map(_gathers, index[place + 1 :])):
            return name, None
        size = self.types[source].axes[place]
        assert isinstance(number, int) and isinstance(size, int)
        shown = tuple(map(_shown, before)), tuple(map(_shown, index[place + 1 :]))
        return (source, *shown, Sequenced(source, before, index[place + 1 :])), number % size if size else number


def _gathers(part: Any) -> bool:
    return not (part is None or part is Ellipsis or type(part) in (int, slice))


def _shown(part: Any) -> Any:
    return type(part), repr(part)


@dataclass(frozen=True)
class _Key:
    """Where an operand comes from, seen from its tick: equal keys mean the same place."""

    what: Any
    number: int | None = None
    distance: int | None = None  # in ticks, of what the loop itself makes

    @property
    def inside(self) -> bool:
        return self.distance is not None


class Body:
    """The slots of equal ticks; `stops` tells for each of them how many ticks it holds for."""

    def __init__(self, rows: Sequence[Row], around: Surroundings) -> None:
        self.rows, self.around = rows, around
        self.index = {
            name: (t, slot, place)
            for t, row in enumerate(rows)
            for slot, node in enumerate(row)
            for place, name in enumerate(node.outputs)
        }
        self.slots: list[Slot] = []
        self.stops: list[int] = []
        self._fixed: set[int] = set()
        for slot in range(len(rows[0])):
            self._add(slot)
        for k, made in enumerate(self.slots):  # what is the same at every tick has no ticks to be read later
            late = (leaf for leaf in _leaves(made.patterns) if isinstance(leaf, Before) and leaf.slot in self._fixed)
            self.stops[k] = min([self.stops[k], *(len(leaf.initial) for leaf in late)])

    @property
    def length(self) -> int:
        return min(self.stops)

    @property
    def reads_a_sequence(self) -> bool:
        patterns = [leaf for slot in self.slots for leaf in _leaves((slot.patterns, slot.reads))]
        return any(isinstance(leaf, Along) for leaf in patterns)

    def _add(self, slot: int) -> None:
        nodes = [row[slot] for row in self.rows]
        stops: list[int] = []
        patterns = tuple(
            self.pattern([node.inputs[k] for node in nodes], stops, k in state_places(nodes[0]))
            for k in range(len(nodes[0].inputs))
        )
        reads = None
        if nodes[0].attrs.get("_target") is operator.getitem and isinstance(patterns[0], Fixed):
            ints = sum(type(part) is int for part in _parts(nodes[0].inputs[1]))
            found = [
                self._outside([Ref(node.output) for node in nodes], hole, own=True) for hole in range(max(ints, 1))
            ]
            stop, reads = max(found, key=lambda each: each[0])
            if isinstance(reads, Fixed):
                reads = None
            else:
                stops = [stop]
        fixed = reads is None and all(isinstance(leaf, Fixed) for leaf in _leaves(patterns)) and is_function(nodes[0])
        if fixed:
            self._fixed.add(slot)
        self.slots.append(Slot(patterns, reads, fixed))
        self.stops.append(min(stops, default=len(self.rows)))

    def pattern(self, ticks: Sequence[Operand], stops: list[int], state: bool) -> Pattern:
        """The pattern, for as many ticks as are added to `stops`."""
        first = ticks[0]
        if isinstance(first, tuple):
            whole = next(
                (t for t, x in enumerate(ticks) if not isinstance(x, tuple) or len(x) != len(first)), len(ticks)
            )
            stops.append(whole)
            return tuple(
                self.pattern([x[k] for x in ticks[:whole]], stops, state)  # type: ignore[index]
                for k in range(len(first))
            )
        if isinstance(first, Ref) and first.name not in self.index and all(x == first for x in ticks):
            stops.append(len(ticks))
            return Fixed(Ref(self.around.alias.get(first.name, first.name)))
        stop, pattern = self._leaf(ticks, state)
        stops.append(stop)
        return pattern

    def _leaf(self, ticks: Sequence[Operand], state: bool) -> tuple[int, Pattern]:
        keys = [self._key(t, x, 0, state) for t, x in enumerate(ticks)]
        first = keys[0]
        if first.inside:
            return _extent(keys, 0), Same(*first.what)
        m = next((t for t, key in enumerate(keys) if key.inside), len(keys))
        latest = 1 if state else _MOST_DELAY
        if m < len(keys) and keys[m].distance == m and m <= latest:
            initial = tuple(x.name for x in ticks[:m] if isinstance(x, Ref))
            slot, place = keys[m].what
            if len(initial) == m and (state or self._of_one_type((*initial, self.rows[0][slot].outputs[place]))):
                return _extent(keys, m), Before(slot, place, initial)
        return self._outside(ticks[:m], 0)

    def _of_one_type(self, names: Sequence[str]) -> bool:
        types = [self.around.types.get(name) for name in names]
        return all(t is not None and (t.dtype, t.axes) == (types[0].dtype, types[0].axes) for t in types)  # type: ignore[union-attr]

    def _outside(self, ticks: Sequence[Operand], hole: int, own: bool = False) -> tuple[int, Pattern]:
        """Of values from outside the loop, or of its own elements of sequences."""
        keys = [self._key(t, x, hole, False, own) for t, x in enumerate(ticks)]
        first = keys[0]
        step = 0
        if len(keys) > 1 and first.number is not None and keys[1].number is not None and keys[1].what == first.what:
            step = keys[1].number - first.number
        stop = 1
        for before, key in pairwise(keys):
            alike = key.what == first.what and not key.inside
            if not alike or (first.number is not None and key.number != before.number + step):  # type: ignore[operator]
                break
            stop += 1
        if step == 0 or first.number is None:
            return stop, Fixed(ticks[0])
        sequence = first.what if isinstance(first.what, Sequenced) else first.what[-1]
        return stop, Along(sequence, first.number, step)

    def _key(self, t: int, x: Operand, hole: int, state: bool, own: bool = False) -> _Key:
        if not isinstance(x, Ref):
            return _Key((type(x), repr(x)))
        name = self.around.handed_on(x.name) if state else x.name
        if name in self.index and not own:
            tick, slot, place = self.index[name]
            if slot in self._fixed and tick == t:
                return _Key(self.rows[0][slot].outputs[place])
            return _Key((slot, place), distance=t - tick)
        what, number = self.around.element(name, hole)
        if isinstance(what, tuple) and what[0] in self.index:  # an element of what the loop itself makes
            tick, slot, place = self.index[what[0]]
            if slot not in self._fixed or tick != t:
                return _Key(name)
            source = self.rows[0][slot].outputs[place]
            what = (source, *what[1:3], Sequenced(source, what[3].before, what[3].after))
        return _Key(what, number)


def _extent(keys: Sequence[_Key], start: int) -> int:
    return next((t for t in range(start, len(keys)) if keys[t] != keys[start]), len(keys))


def _parts(index: Operand) -> tuple[Operand, ...]:
    return index if isinstance(index, tuple) else (index,)


def _leaves(pattern: Any) -> list[Any]:
    if isinstance(pattern, tuple):
        return [leaf for part in pattern for leaf in _leaves(part)]
    return [] if pattern is None else [pattern]


def common(rows: Sequence[Row], around: Surroundings) -> Body:
    """The body that the first ticks have in common: as many as possible."""
    body = Body(rows, around)
    while body.length < len(body.rows):
        body = Body(body.rows[: body.length], around)
    return body


def extended(rows: Sequence[Row], earlier: Mapping[int, Node], around: Surroundings) -> Body | None:
    """The body of those slots alone that have one more tick, of these nodes, in front of the others."""
    slots = sorted(earlier)
    while slots:
        body = Body([[earlier[k] for k in slots], *([row[k] for k in slots] for row in rows)], around)
        kept = [k for k, stop in zip(slots, body.stops, strict=True) if stop == len(rows) + 1]
        if kept == slots:
            return body
        slots = kept
    return None
